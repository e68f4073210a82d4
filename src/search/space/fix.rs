//! Taking parameters out of a space because the user has set them.

use serde_json::Value;

use super::domain::{same, text};
use super::{Forbidden, Parameter, Space};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::journal::event::Params;

/// What [`Space::fix_all`] did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fixed {
    /// Parameters that left the space because they were given, with the values given.
    pub fixed: Params,
    /// Parameters that left with them, because they have no effect then.
    pub dropped: Vec<String>,
}

impl Space {
    /// Takes `key` out of the space, because it always has `value`. Conditions on it are decided: children that can no
    /// longer be active leave as well. Returns whether it was searched.
    ///
    /// # Errors
    /// When the forbidden combinations then leave no point; the space is as before.
    pub fn fix(&mut self, key: &str, value: &Value) -> Result<bool, Problems> {
        Ok(self.fix_one(key, value)?.is_some())
    }

    /// [`Space::fix`] for several keys; keys that are not searched are passed over.
    ///
    /// # Errors
    /// When the values given leave no point; the space is as before.
    pub fn fix_all<'a>(&mut self, given: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Result<Fixed, Problems> {
        let mut space = self.clone();
        let mut result = Fixed::default();
        for (key, value) in given {
            if let Some(dropped) = space.fix_one(key, value)? {
                result.fixed.insert(key.to_owned(), value.clone());
                result.dropped.extend(dropped);
            } else if let Some(at) = result.dropped.iter().position(|k| k == key) {
                // An earlier value had already made it idle; it was searched all the same.
                result.dropped.remove(at);
                result.fixed.insert(key.to_owned(), value.clone());
            }
        }
        *self = space;
        Ok(result)
    }

    /// The keys that left with `key`; `None` when it is not searched.
    fn fix_one(&mut self, key: &str, value: &Value) -> Result<Option<Vec<String>>, Problems> {
        if !self.contains(key) {
            return Ok(None);
        }
        let is = |values: &[Value]| values.iter().any(|w| same(w, value));
        let mut dropped = Vec::new();
        let mut params: Vec<Parameter> = Vec::new();
        for parameter in self.params.iter().filter(|p| p.key != key) {
            let idle =
                parameter.when.iter().any(|c| (c.parent == key && !is(&c.values)) || dropped.contains(&c.parent));
            if idle {
                dropped.push(parameter.key.clone());
            } else {
                let when = parameter.when.iter().filter(|c| c.parent != key).cloned().collect();
                let own = match &parameter.link {
                    Some(link) if link.of() == key => link.resolved(parameter, value).ok_or_else(|| {
                        self.leaves_nothing(key, value, &format!("{} has no value then", parameter.key))
                    })?,
                    // What it depends on is gone: the default of that one stands in, as where it has no effect.
                    Some(link) if dropped.iter().any(|k| k == link.of()) => {
                        let base = self.base(link, &Params::new());
                        link.resolved(parameter, &base).ok_or_else(|| {
                            self.leaves_nothing(key, value, &format!("{} has no value then", parameter.key))
                        })?
                    }
                    _ => parameter.clone(),
                };
                params.push(Parameter { when, ..own });
            }
        }
        let mut forbidden = Vec::new();
        for clause in &self.forbidden {
            let met = |(k, values): &(String, Vec<Value>)| k != key || is(values);
            let idle = clause.terms.iter().any(|(k, _)| dropped.contains(k));
            if idle || !clause.terms.iter().all(met) {
                continue;
            }
            let terms: Vec<_> = clause.terms.iter().filter(|(k, _)| k != key).cloned().collect();
            if terms.is_empty() {
                return Err(self.leaves_nothing(key, value, &clause.describe()));
            }
            forbidden.push(Forbidden { terms });
        }
        let rest = |point: &Params| {
            let agrees = point.get(key).is_none_or(|v| same(v, value));
            let keep = |(k, _): &(&String, &Value)| *k != key && !dropped.contains(k);
            agrees.then(|| point.iter().filter(keep).map(|(k, v)| (k.clone(), v.clone())).collect::<Params>())
        };
        let initial: Vec<Params> = self.initial.iter().filter_map(rest).collect();
        let fixed = Self::new(self.name.clone(), params.clone(), forbidden.clone(), initial)
            // A child that became unconditional is missing from points in which it was idle.
            .or_else(|_| Self::new(self.name.clone(), params, forbidden, Vec::new()));
        let fixed = fixed.map_err(|flaws| {
            let why: Vec<String> = flaws.into_iter().map(|f| f.what).collect();
            self.leaves_nothing(key, value, &why.join("; "))
        })?;
        // Where the value was another one, an earlier point still tells something of the rest.
        *self = Self { earlier: std::mem::take(&mut self.earlier), ..fixed };
        Ok(Some(dropped))
    }

    fn leaves_nothing(&self, key: &str, value: &Value, why: &str) -> Problems {
        let what = format!("{key}={} leaves nothing of the search space {}: {why}", text(value), self.name);
        let help = "choose another value, or another automl.search_space, or train once with --automl off";
        Problems::one(ExitCode::Usage, Problem::new(what).help(help))
    }
}
