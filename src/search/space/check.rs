//! What can be wrong with a space, found before anything runs.

use serde_json::Value;

use super::domain::{same, text};
use super::joint::{self, Joint};
use super::{Domain, Forbidden, Link, Parameter, Space, nearest};
use crate::base::diagnostic::Problem;

/// Where a flaw is: the parser knows the line of each of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A field (`low`, `when` …) of the parameter with this index.
    Param(usize, &'static str),
    /// The combination with this index.
    Forbidden(usize),
    /// The initial point with this index.
    Initial(usize),
    /// The space as a whole.
    Space,
}

/// Something wrong with a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl From<Flaw> for Problem {
    fn from(flaw: Flaw) -> Self {
        Self::new(flaw.what).help(flaw.help)
    }
}

#[derive(Default)]
struct Flaws(Vec<Flaw>);

impl Flaws {
    fn add(&mut self, place: Place, what: impl Into<String>, help: impl Into<String>) {
        self.0.push(Flaw { place, what: what.into(), help: help.into() });
    }
}

/// Everything wrong with these parts, apart from their initial points.
pub(super) fn check(params: &[Parameter], forbidden: &[Forbidden]) -> Vec<Flaw> {
    let mut flaws = Flaws(alone(params));
    for i in 0..params.len() {
        link(&mut flaws, params, i);
        conditions(&mut flaws, params, i);
    }
    for (i, clause) in forbidden.iter().enumerate() {
        terms(&mut flaws, params, i, clause);
    }
    // What follows only makes sense for parts that are sound one by one.
    if flaws.0.is_empty() {
        reachable(&mut flaws, params, forbidden);
    }
    flaws.0
}

/// Everything wrong with parameters that has nothing to do with other parameters.
pub(super) fn alone(params: &[Parameter]) -> Vec<Flaw> {
    let mut flaws = Flaws::default();
    for (i, parameter) in params.iter().enumerate() {
        if params[..i].iter().any(|p| p.key == parameter.key) {
            flaws.add(Place::Param(i, ""), format!("{} is declared twice", parameter.key), "keep one of the two");
        }
        domain(&mut flaws, i, parameter);
        if !(0.0..=1.0).contains(&parameter.confidence) {
            let what = format!("{}: confidence {} is not from 0 to 1", parameter.key, parameter.confidence);
            flaws.add(Place::Param(i, "confidence"), what, "0 is a guess, 1 is certain");
        }
        for (field, value) in [("default", &parameter.default), ("good", &parameter.good)] {
            if let Some(value) = value
                && let Err(expected) = parameter.domain.accepts(value)
            {
                let what =
                    format!("{}: the {field} value {} is outside the parameter's range", parameter.key, text(value));
                flaws.add(Place::Param(i, field), what, format!("write {expected}"));
            }
        }
    }
    flaws.0
}

/// Everything wrong with the initial points of a space that is otherwise sound.
pub(super) fn check_points(space: &Space) -> Vec<Flaw> {
    let mut flaws = Flaws::default();
    for (i, point) in space.initial.iter().enumerate() {
        if let Err(problems) = space.validate(point) {
            for problem in problems.list {
                let help = problem.help.unwrap_or_else(|| "an initial point must be a point of the space".to_owned());
                flaws.add(Place::Initial(i), format!("initial point {}: {}", i + 1, problem.what), help);
            }
        }
    }
    flaws.0
}

fn domain(flaws: &mut Flaws, i: usize, parameter: &Parameter) {
    let key = &parameter.key;
    match &parameter.domain {
        Domain::Float { low, high, log, step } => {
            let finite = low.is_finite() && high.is_finite();
            range(flaws, i, key, (*low, *high), finite, *log);
            if let Some(step) = step {
                grid(flaws, i, key, *step, high - low, *log);
            }
        }
        Domain::Int { low, high, log, step } => {
            range(flaws, i, key, (*low as f64, *high as f64), true, *log);
            if *step != 1 {
                grid(flaws, i, key, *step as f64, (high - low) as f64, *log);
            }
        }
        Domain::Categorical(values) | Domain::Ordinal(values) => {
            if values.is_empty() {
                flaws.add(Place::Param(i, "choices"), format!("{key} has no choices"), "list at least one");
            }
            for (at, value) in values.iter().enumerate() {
                if values[..at].iter().any(|v| same(v, value)) {
                    let what = format!("{key}: the choice {} stands there twice", text(value));
                    flaws.add(Place::Param(i, "choices"), what, "keep one of the two");
                }
            }
            if matches!(parameter.domain, Domain::Ordinal(_)) {
                let numbers: Option<Vec<f64>> = values.iter().map(Value::as_f64).collect();
                if !numbers.is_some_and(|n| n.windows(2).all(|w| w[0] <= w[1])) {
                    let what = format!("{key}: the choices of an ordinal are numbers in increasing order");
                    flaws.add(Place::Param(i, "choices"), what, "sort them, or use `type: categorical`");
                }
            }
        }
        Domain::Bool | Domain::Constant(_) => {}
    }
}

fn range(flaws: &mut Flaws, i: usize, key: &str, (low, high): (f64, f64), finite: bool, log: bool) {
    if !finite {
        let help = "give both ends: a search needs a finite range";
        flaws.add(Place::Param(i, "high"), format!("{key}: the range is not finite"), help);
    } else if low > high {
        flaws.add(Place::Param(i, "low"), format!("{key}: low {low} is above high {high}"), "exchange the two");
    } else if log && low <= 0.0 {
        let help = "a logarithmic range starts above 0; for example low: 1e-7";
        flaws.add(Place::Param(i, "low"), format!("{key}: log with low {low}"), help);
    }
}

fn grid(flaws: &mut Flaws, i: usize, key: &str, step: f64, extent: f64, log: bool) {
    let place = || Place::Param(i, "step");
    if log {
        flaws.add(place(), format!("{key}: log and step exclude each other"), "leave one of them out");
    } else if !(step > 0.0 && step.is_finite()) {
        flaws.add(place(), format!("{key}: step must be above 0"), "for example step: 0.1");
    } else if step > extent {
        let what = format!("{key}: step {step} is wider than the range");
        flaws.add(place(), what, "widen the range, or use `type: constant`");
    } else if extent / step > 1e9 {
        flaws.add(place(), format!("{key}: step {step} is too fine for the range"), "leave step out");
    }
}

/// What a linked parameter depends on must be a number that comes before it; a total must be divisible by all its values.
fn link(flaws: &mut Flaws, params: &[Parameter], i: usize) {
    let (key, Some(link)) = (&params[i].key, &params[i].link) else { return };
    let place = || Place::Param(i, "of");
    let Some(at) = params.iter().position(|p| p.key == link.of()) else {
        let near = nearest(link.of(), params.iter().map(|p| p.key.as_str()));
        let help = near.map_or("name a parameter of the same space".to_owned(), |n| format!("did you mean {n}?"));
        flaws.add(place(), format!("{key}: `of` names {}, which is not in the space", link.of()), help);
        return;
    };
    let (other, parent) = (&params[at], link.of());
    if at >= i {
        flaws.add(place(), format!("{key}: `of` names {parent}, which comes later"), "move it above");
        return;
    }
    if other.link.is_some() {
        flaws.add(place(), format!("{key}: {parent} depends on another parameter itself"), "name that one");
        return;
    }
    match link {
        Link::Factor(_) => {
            let positive = match &other.domain {
                Domain::Float { low, .. } => *low > 0.0,
                Domain::Int { low, .. } => *low > 0,
                domain => {
                    (0..domain.choices().unwrap_or(0)).all(|c| domain.choice(c).as_f64().is_some_and(|v| v > 0.0))
                }
            };
            if !positive {
                let what = format!("{key}: a ratio of {parent}, which is not always above 0");
                flaws.add(place(), what, "let its range start above 0");
            }
        }
        Link::Share(_) => {
            let total = super::domain::whole(&params[i].domain.choice(0)).unwrap_or(0);
            let values: Option<Vec<Value>> = match &other.domain {
                Domain::Float { .. } | Domain::Bool => None,
                domain => domain
                    .cardinality()
                    .filter(|n| *n <= 1024)
                    .map(|n| (0..n).map(|c| domain.value_at((c as f64 + 0.5) / n as f64)).collect()),
            };
            let divides = |v: &Value| super::domain::whole(v).is_some_and(|v| v > 0 && total % v == 0);
            match values.as_ref().map(|list| list.iter().find(|v| !divides(v))) {
                Some(None) => {}
                Some(Some(odd)) => {
                    let what = format!("{key}: the total {total} cannot be divided by {parent} = {}", text(odd));
                    flaws.add(place(), what, format!("let every value of {parent} divide it"));
                }
                None => {
                    let what = format!("{key}: a share of {parent}, which is not one of a few whole numbers");
                    flaws.add(place(), what, format!("make {parent} an ordinal or int"));
                }
            }
        }
    }
}

fn conditions(flaws: &mut Flaws, params: &[Parameter], i: usize) {
    let key = &params[i].key;
    let place = || Place::Param(i, "when");
    for condition in &params[i].when {
        let parent_key = &condition.parent;
        let Some(at) = params.iter().position(|p| p.key == *parent_key) else {
            let near = nearest(parent_key, params.iter().map(|p| p.key.as_str()));
            let help = near
                .map_or("conditions name parameters of the same space".to_owned(), |n| format!("did you mean {n}?"));
            flaws.add(place(), format!("{key}: `when` names {parent_key}, which is not in the space"), help);
            continue;
        };
        if at >= i {
            let what = format!("{key}: `when` names {parent_key}, which comes later");
            flaws.add(place(), what, "move the parent above its children");
        } else if params[at].domain.choices().is_none() || params[at].link.is_some() {
            let what = format!("{key}: `when` names {parent_key}, which has no choices");
            flaws.add(place(), what, "conditions work on categorical, ordinal, bool and constant parameters");
        } else {
            impossible(flaws, &place(), key, "when", &params[at], &condition.values);
        }
    }
}

/// Values that the parameter can never have.
fn impossible(flaws: &mut Flaws, place: &Place, subject: &str, field: &str, parent: &Parameter, values: &[Value]) {
    if values.is_empty() {
        flaws.add(
            place.clone(),
            format!("{subject}: `{field}` lists no value of {}", parent.key),
            parent.domain.describe(),
        );
    }
    for value in values.iter().filter(|v| parent.domain.index_of(v).is_none()) {
        let what = format!("{subject}: {} is never {}", parent.key, text(value));
        flaws.add(place.clone(), what, format!("it is {}", parent.domain.describe()));
    }
}

fn terms(flaws: &mut Flaws, params: &[Parameter], i: usize, clause: &Forbidden) {
    let place = Place::Forbidden(i);
    if clause.terms.is_empty() {
        flaws.add(
            place,
            "an empty combination forbids everything",
            "remove it, or say which values exclude each other",
        );
        return;
    }
    for (key, values) in &clause.terms {
        let Some(parameter) = params.iter().find(|p| p.key == *key) else {
            let near = nearest(key, params.iter().map(|p| p.key.as_str()));
            let help = near
                .map_or("combinations name parameters of the same space".to_owned(), |n| format!("did you mean {n}?"));
            flaws.add(place.clone(), format!("`forbid` names {key}, which is not in the space"), help);
            continue;
        };
        if parameter.domain.choices().is_none() || parameter.link.is_some() {
            let help = "combinations work on categorical, ordinal, bool and constant parameters";
            flaws.add(place.clone(), format!("`forbid` names {key}, which has no choices"), help);
        } else {
            impossible(flaws, &place, "forbid", "forbid", parameter, values);
        }
    }
}

fn reachable(flaws: &mut Flaws, params: &[Parameter], forbidden: &[Forbidden]) {
    let named = forbidden.iter().flat_map(|f| f.terms.iter().map(|(key, _)| key.as_str()));
    let members = joint::with_ancestors(params, named);
    if joint::combinations(params, &members).is_none() {
        let what = format!("the combinations of the parameters under `forbid` are more than {}", joint::LIMIT);
        flaws.add(Place::Space, what, "name fewer parameters, or parameters with fewer choices");
        return;
    }
    let parents = params.iter().flat_map(|p| p.when.iter().map(|c| c.parent.as_str()));
    let all = joint::with_ancestors(
        params,
        parents.chain(forbidden.iter().flat_map(|f| f.terms.iter().map(|(k, _)| k.as_str()))),
    );
    if !forbidden.is_empty() && Joint::of(params, forbidden).rows().is_empty() {
        flaws.add(Place::Forbidden(0), "every combination is forbidden", "allow at least one");
        return;
    }
    // Too many parents to list: then only single conditions are checked.
    let Some(rows) = joint::combinations(params, &all) else { return };
    let rows: Vec<_> =
        rows.into_iter().filter(|(c, _)| !forbidden.iter().any(|f| joint::forbids(f, params, &all, c))).collect();
    for (i, parameter) in params.iter().enumerate().filter(|(_, p)| !p.when.is_empty()) {
        if !rows.iter().any(|(choices, _)| joint::is_active(params, &all, choices, i)) {
            let what = format!("{} can never be active", parameter.key);
            flaws.add(
                Place::Param(i, "when"),
                what,
                "its conditions and the forbidden combinations exclude each other",
            );
        }
    }
}
