//! The pieces of a space file, each with what is wrong with its form.

use serde_json::Value;

use super::domain::{text, whole};
use super::expression;
use super::{CONFIDENCE, Condition, Domain, Earlier, Link, Parameter, nearest};
use crate::base::diagnostic::Problem;
use crate::base::yaml::{At, Entry, Kind, Node, Source};
use crate::journal::event::Params;

const KINDS: [&str; 8] = ["float", "int", "categorical", "ordinal", "bool", "constant", "ratio", "share"];

/// Reads pieces and keeps what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) source: Source<'a>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn add(&mut self, at: At, what: impl Into<String>, help: impl Into<String>) {
        self.problems.push(self.source.problem(at, what, help));
    }

    /// `{score: 0.9, point: {key: value}}`.
    pub(super) fn earlier(&mut self, node: &Node) -> Option<Earlier> {
        let (mut params, mut score) = (None, None);
        for entry in self.map(node, "an earlier point") {
            match entry.key.as_str() {
                "point" => {
                    let values = self.map(&entry.value, "`point`");
                    params = Some(values.iter().map(|e| (e.key.clone(), e.value.to_json())).collect::<Params>());
                }
                "score" => score = entry.value.to_json().as_f64().filter(|s| (0.0..=1.0).contains(s)),
                _ => self.unknown(entry, &["point", "score"]),
            }
        }
        let found = params.zip(score).map(|(params, score)| Earlier { params, score });
        if found.is_none() {
            self.add(node.at, "an earlier point needs `point` and a `score` from 0 to 1", "1 is the best of its study");
        }
        found
    }

    pub(super) fn map<'n>(&mut self, node: &'n Node, subject: &str) -> &'n [Entry] {
        match &node.kind {
            Kind::Map(entries) => {
                for (i, entry) in entries.iter().enumerate() {
                    if entries[..i].iter().any(|e| e.key == entry.key) {
                        self.add(entry.at, format!("{} stands there twice", entry.key), "keep one of the two");
                    }
                }
                entries
            }
            _ => {
                self.add(node.at, format!("{subject} must be a mapping"), "write `key: value` lines");
                &[]
            }
        }
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, subject: &str) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            _ => {
                self.add(node.at, format!("{subject} must be a list"), "write `- …` lines, or `[…]`");
                &[]
            }
        }
    }

    /// The fields of a parameter, which may be written in one line.
    pub(super) fn fields(&mut self, entry: &Entry) -> Vec<Entry> {
        let Kind::Scalar(Value::String(line)) = &entry.value.kind else {
            return self.map(&entry.value, "a parameter").to_vec();
        };
        expression::fields(line, entry.value.at).unwrap_or_else(|why| {
            self.add(entry.value.at, format!("{}: {why}", entry.key), "for example log(1e-6, 1e-3)");
            Vec::new()
        })
    }

    pub(super) fn unknown(&mut self, entry: &Entry, known: &[&str]) {
        let near = nearest(&entry.key, known.iter().copied());
        let help = near.map_or_else(|| format!("known here: {}", known.join(", ")), |n| format!("did you mean {n}?"));
        self.add(entry.at, format!("unknown key {}", entry.key), help);
    }

    pub(super) fn parameter(&mut self, entry: &Entry, fields: &[Entry]) -> Option<Parameter> {
        let before = self.problems.len();
        if fields.is_empty() && matches!(entry.value.kind, Kind::Scalar(Value::String(_))) {
            // The line was not understood, which has been said.
            return None;
        }
        let field = |name: &str| fields.iter().find(|f| f.key == name);
        let kind = match field("type") {
            Some(f) => text(&f.value.to_json()),
            None => {
                self.add(entry.at, format!("{} has no type", entry.key), format!("one of {}", KINDS.join(", ")));
                return None;
            }
        };
        let own: &[&str] = match kind.as_str() {
            "float" => &["low", "high", "log", "step"],
            "int" => &["low", "high", "log", "step", "power"],
            "ratio" => &["of", "low", "high", "log"],
            "share" => &["of", "total"],
            "categorical" | "ordinal" => &["choices"],
            "bool" => &[],
            "constant" => &["value"],
            _ => {
                let near = nearest(&kind, KINDS.into_iter());
                let help =
                    near.map_or_else(|| format!("one of {}", KINDS.join(", ")), |n| format!("did you mean {n}?"));
                self.add(field("type").map_or(entry.at, |f| f.value.at), format!("unknown type {kind}"), help);
                return None;
            }
        };
        let common = ["type", "default", "good", "confidence", "when"];
        for f in fields.iter().filter(|f| !own.contains(&f.key.as_str()) && !common.contains(&f.key.as_str())) {
            let known: Vec<&str> = own.iter().chain(&common).copied().collect();
            self.unknown(f, &known);
        }
        let domain = self.domain(&kind, entry, fields)?;
        let when = field("when").map_or(&[][..], |f| self.map(&f.value, "`when`"));
        let condition = |e: &Entry| Condition { parent: e.key.clone(), values: values(&e.value) };
        let value = |name: &str| field(name).map(|f| f.value.to_json()).filter(|v| !v.is_null());
        let confidence = match field("confidence") {
            None => CONFIDENCE,
            Some(f) => self.number(entry, Some(f), "confidence")?,
        };
        let link = match (kind.as_str(), field("of").map(|f| text(&f.value.to_json()))) {
            ("ratio", Some(of)) => Some(Link::Factor(of)),
            ("share", Some(of)) => Some(Link::Share(of)),
            ("ratio" | "share", None) => {
                self.add(entry.at, format!("{} has no `of`", entry.key), "name the parameter that it depends on");
                return None;
            }
            _ => None,
        };
        let parameter = Parameter {
            key: entry.key.clone(),
            domain,
            confidence,
            link,
            when: when.iter().map(condition).collect(),
            default: value("default"),
            good: value("good"),
        };
        (self.problems.len() == before).then_some(parameter)
    }

    fn domain(&mut self, kind: &str, entry: &Entry, fields: &[Entry]) -> Option<Domain> {
        let field = |name: &str| fields.iter().find(|f| f.key == name);
        Some(match kind {
            "float" => {
                let low = self.number(entry, field("low"), "low");
                let high = self.number(entry, field("high"), "high");
                let step = field("step").map(|f| self.number(entry, Some(f), "step"));
                Domain::Float { low: low?, high: high?, log: self.flag(field("log")), step: step.flatten() }
            }
            "ratio" => {
                let low = self.number(entry, field("low"), "low");
                let high = self.number(entry, field("high"), "high");
                // Factors are ratios: by ratio, unless said otherwise.
                let log = field("log").is_none() || self.flag(field("log"));
                Domain::Float { low: low?, high: high?, log, step: None }
            }
            "share" => Domain::Constant(self.whole(entry, field("total"), "total")?.into()),
            "int" if field("power").is_some() => {
                let low = self.whole(entry, field("low"), "low");
                let high = self.whole(entry, field("high"), "high");
                let power = self.whole(entry, field("power"), "power");
                let (low, high, power) = (low?, high?, power?);
                if power < 2 || low < 1 || field("log").or(field("step")).is_some() {
                    let help = "power is at least 2, low at least 1, and neither log nor step stands beside it";
                    self.add(entry.at, format!("{}: no powers of {power} from {low}", entry.key), help);
                    return None;
                }
                Domain::Ordinal(powers(low, high, power).into_iter().map(Value::from).collect())
            }
            "int" => {
                let low = self.whole(entry, field("low"), "low");
                let high = self.whole(entry, field("high"), "high");
                let step = field("step").map_or(Some(1), |f| self.whole(entry, Some(f), "step"));
                Domain::Int { low: low?, high: high?, log: self.flag(field("log")), step: step? }
            }
            "categorical" | "ordinal" => {
                let Some(f) = field("choices") else {
                    self.add(entry.at, format!("{} has no choices", entry.key), "add choices: […]");
                    return None;
                };
                let choices = self.list(&f.value, "`choices`").iter().map(Node::to_json).collect();
                if kind == "ordinal" { Domain::Ordinal(choices) } else { Domain::Categorical(choices) }
            }
            "constant" => match field("value") {
                Some(f) => Domain::Constant(f.value.to_json()),
                None => {
                    self.add(entry.at, format!("{} has no value", entry.key), "add value: …");
                    return None;
                }
            },
            _ => Domain::Bool,
        })
    }

    fn number(&mut self, entry: &Entry, field: Option<&Entry>, name: &str) -> Option<f64> {
        let found = field.and_then(|f| f.value.to_json().as_f64());
        if found.is_none() {
            self.missing(entry, field, name, "a finite number");
        }
        found
    }

    fn whole(&mut self, entry: &Entry, field: Option<&Entry>, name: &str) -> Option<i64> {
        let found = field.and_then(|f| whole(&f.value.to_json()));
        if found.is_none() {
            self.missing(entry, field, name, "a whole number");
        }
        found
    }

    fn missing(&mut self, entry: &Entry, field: Option<&Entry>, name: &str, wanted: &str) {
        match field {
            None => self.add(entry.at, format!("{} has no {name}", entry.key), format!("add {name}: {wanted}")),
            Some(f) => self.add(f.value.at, format!("{}: {name} must be {wanted}", entry.key), "for example 1e-5 or 3"),
        }
    }

    fn flag(&mut self, field: Option<&Entry>) -> bool {
        match field.map(|f| (f.value.to_json(), f.value.at)) {
            None => false,
            Some((Value::Bool(on), _)) => on,
            Some((_, at)) => {
                self.add(at, "log must be true or false", "write log: true");
                false
            }
        }
    }
}

/// The powers of `base` from `low` to `high`.
pub(super) fn powers(low: i64, high: i64, base: i64) -> Vec<i64> {
    let all = std::iter::successors(Some(1_i64), |p| p.checked_mul(base)).take_while(|p| *p <= high);
    all.filter(|p| *p >= low).collect()
}

/// One value, or a list of them.
pub(super) fn values(node: &Node) -> Vec<Value> {
    match &node.kind {
        Kind::List(items) => items.iter().map(Node::to_json).collect(),
        _ => vec![node.to_json()],
    }
}
