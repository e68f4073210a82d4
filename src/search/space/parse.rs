//! Space files. Every problem of a file is reported at once, each with its line.
//!
//! ```yaml
//! parameters:
//!   model.freeze_text_encoder: {type: bool, default: false}
//!   train.optim.text_lr: {type: float, low: 1e-7, high: 1e-3, log: true, good: 1e-5, when: {model.freeze_text_encoder: false}}
//! forbid:
//!   - {model.freeze_vision_encoder: true, model.freeze_text_encoder: true}
//! initial:
//!   - {model.freeze_text_encoder: false, train.optim.text_lr: 1e-5}
//! earlier:
//!   - {score: 0.9, point: {train.optim.text_lr: 3e-5}}
//! ```

use serde_json::Value;

use super::domain::{text, whole};

use super::expression;
use super::{CONFIDENCE, Condition, Domain, Earlier, Flaw, Forbidden, Link, Parameter, Place, Space, nearest};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::yaml::{At, Entry, Kind, Node, Source};
use crate::journal::event::Params;

const KINDS: [&str; 8] = ["float", "int", "categorical", "ordinal", "bool", "constant", "ratio", "share"];

/// Where the pieces of a file stand.
#[derive(Default)]
struct Places {
    params: Vec<(At, Vec<(String, At)>)>,
    forbidden: Vec<At>,
    initial: Vec<At>,
}

struct Reader<'a> {
    source: Source<'a>,
    problems: Vec<Problem>,
}

impl Space {
    /// Reads a space file; `name` is what problems call it.
    ///
    /// # Errors
    /// Everything wrong with the file, in its order.
    pub fn parse_yaml(text: &str, name: &str) -> Result<Self, Problems> {
        let source = Source { name, text };
        let mut reader = Reader { source, problems: Vec::new() };
        let root = source.read().map_err(|p| Problems::one(ExitCode::Usage, p))?;
        let (mut params, mut forbidden, mut initial, mut earlier) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut places = Places::default();
        for entry in reader.map(&root, "a search space") {
            match entry.key.as_str() {
                "parameters" => {
                    for e in reader.map(&entry.value, "`parameters`") {
                        let fields = reader.fields(e);
                        places.params.push((e.at, fields.iter().map(|f| (f.key.clone(), f.at)).collect()));
                        if let Some(parameter) = reader.parameter(e, &fields) {
                            params.push(parameter);
                        }
                    }
                }
                "forbid" => {
                    for item in reader.list(&entry.value, "`forbid`") {
                        places.forbidden.push(item.at);
                        let terms = reader.map(item, "a forbidden combination");
                        forbidden.push(Forbidden {
                            terms: terms.iter().map(|e| (e.key.clone(), values(&e.value))).collect(),
                        });
                    }
                }
                "initial" => {
                    for item in reader.list(&entry.value, "`initial`") {
                        places.initial.push(item.at);
                        let point = reader.map(item, "an initial point");
                        initial.push(point.iter().map(|e| (e.key.clone(), e.value.to_json())).collect::<Params>());
                    }
                }
                "earlier" => {
                    for item in reader.list(&entry.value, "`earlier`") {
                        earlier.extend(reader.earlier(item));
                    }
                }
                _ => reader.unknown(entry, &["parameters", "forbid", "initial", "earlier"]),
            }
        }
        if places.params.is_empty() && reader.problems.is_empty() {
            reader.add(root.at, "the space has no parameters", "add `parameters:` with at least one");
        }
        if reader.problems.is_empty() {
            match Self::new(name, params, forbidden, initial) {
                Ok(space) => return Ok(space.with_earlier(earlier)),
                Err(flaws) => reader.problems.extend(flaws.into_iter().map(|f| places.problem(&source, f))),
            }
        }
        reader.problems.sort_by_key(|p| p.at.as_ref().map(|at| (at.line, at.column)));
        Err(Problems::new(ExitCode::Usage, reader.problems))
    }
}

impl Space {
    /// This space with the parameter `key` as `line` says (`log(1e-6, 1e-3)`, see [`expression::FORMS`]), or without it when
    /// the line is `off`. A parameter that was there keeps its conditions, and its default and good values where they fit.
    ///
    /// # Errors
    /// What is wrong with the line, or with the space then.
    pub fn with_line(&self, key: &str, line: &str) -> Result<Self, Problems> {
        let name = format!("automl.space.{key}");
        let source = Source { name: &name, text: line };
        let mut reader = Reader { source, problems: Vec::new() };
        let node = source.read().map_err(|p| Problems::one(ExitCode::Usage, p))?;
        let mut params = self.params.clone();
        let at = params.iter().position(|p| p.key == key);
        if expression::is_off(&node) {
            params.retain(|p| p.key != key);
        } else {
            let entry = Entry { key: key.to_owned(), at: node.at, value: node };
            let fields = reader.fields(&entry);
            let parameter = reader.parameter(&entry, &fields);
            let Some(mut parameter) = parameter.filter(|_| reader.problems.is_empty()) else {
                return Err(Problems::new(ExitCode::Usage, reader.problems));
            };
            match at {
                Some(at) => {
                    let old = &params[at];
                    let fits = |value: &Option<Value>| {
                        value.clone().filter(|v| old.link == parameter.link && parameter.domain.accepts(v).is_ok())
                    };
                    parameter.when = old.when.clone();
                    parameter.default = parameter.default.clone().or_else(|| fits(&old.default));
                    if parameter.good.is_none() {
                        parameter.good = fits(&old.good);
                        parameter.confidence = old.confidence;
                    }
                    params[at] = parameter;
                }
                None => params.push(parameter),
            }
        }
        // Initial points that no longer fit are left out: they were meant for other ranges.
        let bare = Self::new(self.name.clone(), params.clone(), self.forbidden.clone(), Vec::new());
        let bare = bare.map_err(|flaws| {
            let with_name = |f: Flaw| Problem::new(format!("{name}: {}", f.what)).help(f.help);
            Problems::new(ExitCode::Usage, flaws.into_iter().map(with_name).collect())
        })?;
        let initial = self.initial.iter().filter(|point| bare.validate(point).is_ok()).cloned().collect();
        Ok(Self { initial, earlier: self.earlier.clone(), ..bare })
    }
}

impl Places {
    fn problem(&self, source: &Source<'_>, flaw: Flaw) -> Problem {
        let at = match flaw.place {
            Place::Param(i, field) => self
                .params
                .get(i)
                .map(|(at, fields)| fields.iter().find(|(name, _)| name == field).map_or(*at, |(_, at)| *at)),
            Place::Forbidden(i) => self.forbidden.get(i).copied(),
            Place::Initial(i) => self.initial.get(i).copied(),
            Place::Space => None,
        };
        source.problem(at.unwrap_or(At { line: 1, column: 1 }), flaw.what, flaw.help)
    }
}

impl<'a> Reader<'a> {
    fn add(&mut self, at: At, what: impl Into<String>, help: impl Into<String>) {
        self.problems.push(self.source.problem(at, what, help));
    }

    /// `{score: 0.9, point: {key: value}}`.
    fn earlier(&mut self, node: &Node) -> Option<Earlier> {
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

    fn map<'n>(&mut self, node: &'n Node, subject: &str) -> &'n [Entry] {
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

    fn list<'n>(&mut self, node: &'n Node, subject: &str) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            _ => {
                self.add(node.at, format!("{subject} must be a list"), "write `- …` lines, or `[…]`");
                &[]
            }
        }
    }

    /// The fields of a parameter, which may be written in one line.
    fn fields(&mut self, entry: &Entry) -> Vec<Entry> {
        let Kind::Scalar(Value::String(line)) = &entry.value.kind else {
            return self.map(&entry.value, "a parameter").to_vec();
        };
        expression::fields(line, entry.value.at).unwrap_or_else(|why| {
            self.add(entry.value.at, format!("{}: {why}", entry.key), "for example log(1e-6, 1e-3)");
            Vec::new()
        })
    }

    fn unknown(&mut self, entry: &Entry, known: &[&str]) {
        let near = nearest(&entry.key, known.iter().copied());
        let help = near.map_or_else(|| format!("known here: {}", known.join(", ")), |n| format!("did you mean {n}?"));
        self.add(entry.at, format!("unknown key {}", entry.key), help);
    }

    fn parameter(&mut self, entry: &Entry, fields: &[Entry]) -> Option<Parameter> {
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
            self.missing(entry, field, name, "a number");
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
fn values(node: &Node) -> Vec<Value> {
    match &node.kind {
        Kind::List(items) => items.iter().map(Node::to_json).collect(),
        _ => vec![node.to_json()],
    }
}
