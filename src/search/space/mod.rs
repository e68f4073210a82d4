//! The search space: which spec keys a study varies, over which values, and which combinations make sense.
//!
//! Invariant: a [`Space`] that exists has passed [`check`]: it holds at least one point, every parameter can be active and
//! [`Space::point_at`] turns any point of the unit cube into a valid one without trial and error.

pub mod bundled;
mod check;
pub mod domain;
mod earlier;
pub mod expression;
mod fix;
mod joint;
mod link;
mod parse;
pub mod point;
mod reader;
mod schema;
mod write;

use serde_json::Value;

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::journal::event::Params;

pub use check::{Flaw, Place};
pub use domain::Domain;
pub use earlier::Earlier;
pub use fix::Fixed;
pub use link::Link;
pub use point::{Coordinate, Point};

use joint::Joint;

/// A parameter is active only while another one has one of these values.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The other parameter's key.
    pub parent: String,
    /// Its values.
    pub values: Vec<Value>,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The spec key.
    pub key: String,
    /// Its values.
    pub domain: Domain,
    /// Conditions, all of which must hold for it to be active.
    pub when: Vec<Condition>,
    /// The value of the default point.
    pub default: Option<Value>,
    /// A value known to be good: the search looks around it first, but not only there.
    pub good: Option<Value>,
    /// How sure that is, from 0 (a guess) to 1 (certain).
    pub confidence: f64,
    /// How its value depends on another one's; the domain, the default and the good value are then factors or a total.
    pub link: Option<Link>,
}

/// The confidence of a good value that says nothing of it.
pub const CONFIDENCE: f64 = 0.5;

impl Parameter {
    /// An unconditional parameter.
    pub fn new(key: impl Into<String>, domain: Domain) -> Self {
        let (when, confidence) = (Vec::new(), CONFIDENCE);
        Self { key: key.into(), domain, when, default: None, good: None, confidence, link: None }
    }

    /// Width of the distribution around the good value, in units of the range: 0.16 for a guess, hardly any for certainty.
    pub fn spread(&self) -> f64 {
        (0.16 * (1.0 - self.confidence)).max(0.01)
    }

    /// The value of the default point: the default, or what is known to be good, or the middle; of what has no order the
    /// first choice.
    pub fn default_value(&self) -> Value {
        self.default.clone().or_else(|| self.good.clone()).unwrap_or_else(|| match self.domain {
            Domain::Categorical(_) | Domain::Bool | Domain::Constant(_) => self.domain.choice(0),
            _ => self.domain.value_at(0.5),
        })
    }
}

/// A combination that is never tried: every key has one of the values listed for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Forbidden {
    /// Keys with their values.
    pub terms: Vec<(String, Vec<Value>)>,
}

/// A search space.
#[derive(Clone, Debug)]
pub struct Space {
    name: String,
    params: Vec<Parameter>,
    forbidden: Vec<Forbidden>,
    initial: Vec<Params>,
    earlier: Vec<Earlier>,
    joint: Joint,
}

impl Space {
    /// A space of these parts; parents stand before their children.
    ///
    /// # Errors
    /// Everything that is wrong with them, see [`check`].
    pub fn new(
        name: impl Into<String>,
        params: Vec<Parameter>,
        forbidden: Vec<Forbidden>,
        initial: Vec<Params>,
    ) -> Result<Self, Vec<Flaw>> {
        let flaws = check::check(&params, &forbidden);
        if !flaws.is_empty() {
            return Err(flaws);
        }
        let joint = Joint::of(&params, &forbidden);
        let space = Self { name: name.into(), params, forbidden, initial, earlier: Vec::new(), joint };
        let flaws = check::check_points(&space);
        if flaws.is_empty() { Ok(space) } else { Err(flaws) }
    }

    /// The name of the file or of the bundled space.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parameters, parents before children.
    pub fn params(&self) -> &[Parameter] {
        &self.params
    }

    /// The combinations that are never tried.
    pub fn constraints(&self) -> &[Forbidden] {
        &self.forbidden
    }

    /// Points to try first, in this order.
    pub fn initial(&self) -> &[Params] {
        &self.initial
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.params.len()
    }

    /// Whether nothing is searched.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// Whether `key` is searched.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The parameter of this key.
    pub fn get(&self, key: &str) -> Option<&Parameter> {
        self.params.iter().find(|p| p.key == key)
    }

    /// The point of the defaults; where the defaults are a forbidden combination, the nearest allowed one in the order of
    /// the parameters.
    pub fn default_point(&self) -> Params {
        self.params_of(&self.point_towards(|p| Some(p.default_value())))
    }

    /// Whether `params` is exactly one point: every active parameter and no other, each in its domain, no forbidden
    /// combination.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn validate(&self, params: &Params) -> Result<(), Problems> {
        let mut list = Vec::new();
        let mut seen = Params::new();
        for parameter in &self.params {
            let key = &parameter.key;
            let active = parameter.when.iter().all(|c| holds(c, &seen));
            match (active, params.get(key)) {
                (true, Some(value)) => {
                    let own = self.own_value(parameter, value, params);
                    if let Err(expected) = parameter.domain.accepts(&own) {
                        let expected = match &parameter.link {
                            Some(link) => format!("{expected}, in relation to {}", link.of()),
                            None => expected,
                        };
                        list.push(
                            Problem::new(format!("{key}: {} is outside the search space", domain::text(value)))
                                .help(expected),
                        );
                    }
                    seen.insert(key.clone(), value.clone());
                }
                (true, None) => list.push(Problem::new(format!("{key} is missing")).help(parameter.domain.describe())),
                (false, Some(_)) => {
                    let why = parameter.when.iter().map(show_condition).collect::<Vec<_>>().join(" and ");
                    list.push(
                        Problem::new(format!("{key} has no effect here")).help(format!("it is active only when {why}")),
                    );
                }
                (false, None) => {}
            }
        }
        for key in params.keys().filter(|k| !self.contains(k)) {
            let near = nearest(key, self.params.iter().map(|p| p.key.as_str()));
            let help = near.map_or_else(
                || "`cliptune space show SPEC` lists what is searched".into(),
                |n| format!("did you mean {n}?"),
            );
            list.push(Problem::new(format!("{key} is not searched")).help(help));
        }
        for clause in self.forbidden.iter().filter(|f| f.matches(&seen)) {
            list.push(Problem::new(format!("the space forbids {}", clause.describe())));
        }
        if list.is_empty() { Ok(()) } else { Err(Problems::new(ExitCode::Usage, list)) }
    }

    /// Asks `accepts` about valid points that together hold both ends of every range and every choice. This is how a caller
    /// that knows the spec's schema makes sure that no trial can be an invalid spec.
    ///
    /// # Errors
    /// A problem for each distinct reason to refuse a point, with the value that met it first.
    pub fn check_against(&self, mut accepts: impl FnMut(&Params) -> Result<(), Vec<String>>) -> Result<(), Problems> {
        let mut list = Vec::new();
        let mut known: Vec<String> = Vec::new();
        for p in &self.params {
            let values: Vec<Value> = match p.domain.choices() {
                Some(count) => (0..count).map(|i| p.domain.choice(i)).collect(),
                None => vec![p.domain.value_at(0.0), p.domain.value_at(1.0)],
            };
            for value in values {
                let Some(Err(reasons)) = self.point_with(&p.key, &value).map(|point| accepts(&point)) else { continue };
                for why in reasons {
                    if !known.contains(&why) {
                        let what = format!("search space {}: {} = {}: {why}", self.name, p.key, domain::text(&value));
                        let help = "a space may only hold keys of the train schema, with values that it accepts";
                        list.push(Problem::new(what).help(help));
                        known.push(why);
                    }
                }
            }
        }
        if list.is_empty() { Ok(()) } else { Err(Problems::new(ExitCode::Usage, list)) }
    }

    /// The default point, changed so that `key` is active and has `value`; `None` when the space does not allow it there.
    fn point_with(&self, key: &str, value: &Value) -> Option<Params> {
        let mut wanted = Params::from([(key.to_owned(), value.clone())]);
        let mut open = vec![key.to_owned()];
        while let Some(child) = open.pop() {
            for condition in self.get(&child).into_iter().flat_map(|p| &p.when) {
                wanted.insert(condition.parent.clone(), condition.values.first()?.clone());
                open.push(condition.parent.clone());
            }
        }
        let point = self.point_towards(|p| Some(wanted.get(&p.key).cloned().unwrap_or_else(|| p.default_value())));
        let at = self.params.iter().position(|p| p.key == key)?;
        let reached = match point.get(at).copied().flatten()? {
            Coordinate::Unit(unit) => self.params[at].domain.value_at(unit),
            Coordinate::Choice(choice) => self.params[at].domain.choice(choice),
        };
        domain::same(&reached, value).then(|| self.params_of(&point))
    }

    /// Number of points; `None` when a parameter is continuous or there are more than `limit`.
    pub fn cardinality(&self, limit: u64) -> Option<u64> {
        let product = self.params.iter().try_fold(1_u64, |n, p| n.checked_mul(p.domain.cardinality()?))?;
        (product <= limit).then_some(product)
    }
}

impl Forbidden {
    /// Whether `params` is this combination.
    pub fn matches(&self, params: &Params) -> bool {
        self.terms
            .iter()
            .all(|(key, values)| params.get(key).is_some_and(|v| values.iter().any(|w| domain::same(v, w))))
    }

    /// The combination in words.
    pub fn describe(&self) -> String {
        let term = |(key, values): &(String, Vec<Value>)| format!("{key} = {}", any_of(values));
        self.terms.iter().map(term).collect::<Vec<_>>().join(" with ")
    }
}

/// A condition in words.
pub fn show_condition(condition: &Condition) -> String {
    format!("{} = {}", condition.parent, any_of(&condition.values))
}

fn any_of(values: &[Value]) -> String {
    values.iter().map(domain::text).collect::<Vec<_>>().join(" or ")
}

fn holds(condition: &Condition, params: &Params) -> bool {
    params.get(&condition.parent).is_some_and(|v| condition.values.iter().any(|w| domain::same(v, w)))
}

/// The name nearest to a misspelt one, when one is near.
fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|n| (strsim::jaro_winkler(wrong, n), n));
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8).map(|(_, n)| n)
}
