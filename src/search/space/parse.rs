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

use super::reader::{Reader, values};
use super::{Flaw, Forbidden, Parameter, Place, Space};
use super::{check, expression};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::yaml::{At, Entry, Source};
use crate::journal::event::Params;

/// Where the pieces of a file stand.
#[derive(Default)]
struct Places {
    params: Vec<(At, Vec<(String, At)>)>,
    forbidden: Vec<At>,
    initial: Vec<At>,
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
        let mut understood = true;
        for entry in reader.map(&root, "a search space") {
            match entry.key.as_str() {
                "parameters" => {
                    for e in reader.map(&entry.value, "`parameters`") {
                        let fields = reader.fields(e);
                        if params.iter().any(|p: &Parameter| p.key == e.key) {
                            continue;
                        }
                        if let Some(parameter) = reader.parameter(e, &fields) {
                            places.params.push((e.at, fields.iter().map(|f| (f.key.clone(), f.at)).collect()));
                            params.push(parameter);
                        } else {
                            understood = false;
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
        if params.is_empty() && reader.problems.is_empty() {
            reader.add(root.at, "the space has no parameters", "add `parameters:` with at least one");
        }
        // What one parameter's line hides, the others' conditions cannot be held against; each on its own still can.
        let made = if understood { Self::new(name, params, forbidden, initial) } else { Err(check::alone(&params)) };
        match made {
            Ok(space) if reader.problems.is_empty() => return Ok(space.with_earlier(earlier)),
            Ok(_) => {}
            Err(flaws) => reader.problems.extend(flaws.into_iter().map(|f| places.problem(&source, f))),
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
