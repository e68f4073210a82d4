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
//! ```

use serde_json::Value;

use super::domain::{text, whole};

use super::{Condition, Domain, Flaw, Forbidden, Parameter, Place, Space, nearest};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::yaml::{At, Entry, Kind, Node, Source};
use crate::journal::event::Params;

const KINDS: [&str; 6] = ["float", "int", "categorical", "ordinal", "bool", "constant"];

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
        let (mut params, mut forbidden, mut initial) = (Vec::new(), Vec::new(), Vec::new());
        let mut places = Places::default();
        for entry in reader.map(&root, "a search space") {
            match entry.key.as_str() {
                "parameters" => {
                    for e in reader.map(&entry.value, "`parameters`") {
                        let fields = reader.map(&e.value, "a parameter");
                        places.params.push((e.at, fields.iter().map(|f| (f.key.clone(), f.at)).collect()));
                        if let Some(parameter) = reader.parameter(e, fields) {
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
                _ => reader.unknown(entry, &["parameters", "forbid", "initial"]),
            }
        }
        if places.params.is_empty() && reader.problems.is_empty() {
            reader.add(root.at, "the space has no parameters", "add `parameters:` with at least one");
        }
        if reader.problems.is_empty() {
            match Self::new(name, params, forbidden, initial) {
                Ok(space) => return Ok(space),
                Err(flaws) => reader.problems.extend(flaws.into_iter().map(|f| places.problem(&source, f))),
            }
        }
        reader.problems.sort_by_key(|p| p.at.as_ref().map(|at| (at.line, at.column)));
        Err(Problems::new(ExitCode::Usage, reader.problems))
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

    fn unknown(&mut self, entry: &Entry, known: &[&str]) {
        let near = nearest(&entry.key, known.iter().copied());
        let help = near.map_or_else(|| format!("known here: {}", known.join(", ")), |n| format!("did you mean {n}?"));
        self.add(entry.at, format!("unknown key {}", entry.key), help);
    }

    fn parameter(&mut self, entry: &Entry, fields: &[Entry]) -> Option<Parameter> {
        let before = self.problems.len();
        let field = |name: &str| fields.iter().find(|f| f.key == name);
        let kind = match field("type") {
            Some(f) => text(&f.value.to_json()),
            None => {
                self.add(entry.at, format!("{} has no type", entry.key), format!("one of {}", KINDS.join(", ")));
                return None;
            }
        };
        let own: &[&str] = match kind.as_str() {
            "float" | "int" => &["low", "high", "log", "step"],
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
        let common = ["type", "default", "good", "when"];
        for f in fields.iter().filter(|f| !own.contains(&f.key.as_str()) && !common.contains(&f.key.as_str())) {
            let known: Vec<&str> = own.iter().chain(&common).copied().collect();
            self.unknown(f, &known);
        }
        let domain = self.domain(&kind, entry, fields)?;
        let when = field("when").map_or(&[][..], |f| self.map(&f.value, "`when`"));
        let condition = |e: &Entry| Condition { parent: e.key.clone(), values: values(&e.value) };
        let value = |name: &str| field(name).map(|f| f.value.to_json()).filter(|v| !v.is_null());
        let parameter = Parameter {
            key: entry.key.clone(),
            domain,
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

/// One value, or a list of them.
fn values(node: &Node) -> Vec<Value> {
    match &node.kind {
        Kind::List(items) => items.iter().map(Node::to_json).collect(),
        _ => vec![node.to_json()],
    }
}
