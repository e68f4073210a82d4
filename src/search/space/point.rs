//! Points as the samplers see them: one coordinate a parameter, none where the parameter is inactive.

use serde_json::Value;

use super::domain::same;
use super::joint::Row;
use super::{Parameter, Space};
use crate::journal::event::Params;

/// Where a point lies along one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coordinate {
    /// Along a range, in `[0, 1]` (after the logarithm and after rounding to the grid).
    Unit(f64),
    /// The number of a choice. [`UNKNOWN`] stands for a value that is not among the choices.
    Choice(usize),
}

/// The choice that is none of the space's: the baseline of a study may have one.
pub const UNKNOWN: usize = usize::MAX;

/// A point: a coordinate for each parameter in the order of the space, `None` where it is inactive.
pub type Point = Vec<Option<Coordinate>>;

/// Builds a point parameter by parameter.
#[derive(Clone)]
struct Walk<'a> {
    space: &'a Space,
    point: Point,
    /// The combinations that agree with the choices so far.
    alive: Vec<&'a Row>,
}

impl<'a> Walk<'a> {
    fn new(space: &'a Space) -> Self {
        Self { space, point: Vec::with_capacity(space.len()), alive: space.joint.rows().iter().collect() }
    }

    fn is_active(&self, parameter: &Parameter) -> bool {
        parameter.when.iter().all(|condition| {
            let Some(at) = self.space.params.iter().position(|p| p.key == condition.parent) else { return false };
            match self.point.get(at).copied().flatten() {
                Some(Coordinate::Choice(c)) if c != UNKNOWN => {
                    let value = self.space.params[at].domain.choice(c);
                    condition.values.iter().any(|w| same(w, &value))
                }
                _ => false,
            }
        })
    }

    /// Widths of the choices of parameter `index`, summing to one; `None` when all are equally wide.
    fn widths(&self, index: usize, count: usize) -> Option<Vec<f64>> {
        let at = self.space.joint.member(index)?;
        let mut widths = vec![0.0; count];
        for (choices, weight) in &self.alive {
            if let Some(choice) = choices[at] {
                widths[choice] += weight;
            }
        }
        let total: f64 = widths.iter().sum();
        widths.iter_mut().for_each(|w| *w /= total);
        (total > 0.0).then_some(widths)
    }

    fn push(&mut self, index: usize, coordinate: Option<Coordinate>) {
        if let Some(at) = self.space.joint.member(index) {
            let choice = match coordinate {
                Some(Coordinate::Choice(c)) => Some(c),
                _ => None,
            };
            self.alive.retain(|(choices, _)| choices[at] == choice);
        }
        self.point.push(coordinate);
    }
}

/// The choice at `unit` and the middle of its cell, for cells of these widths (all equal when `None`).
fn pick(unit: f64, count: usize, widths: Option<&[f64]>) -> usize {
    let unit = if unit.is_finite() { unit.clamp(0.0, 1.0) } else { 0.5 };
    let Some(widths) = widths else { return ((unit * count as f64) as usize).min(count.saturating_sub(1)) };
    let mut end = 0.0;
    let mut last = 0;
    for (choice, width) in widths.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        end += width;
        last = choice;
        if unit < end {
            break;
        }
    }
    last
}

impl Space {
    /// The point at a place of the unit cube (one number in `[0, 1]` a parameter). Every place gives a valid point.
    pub fn point_at(&self, cube: &[f64]) -> Point {
        let mut walk = Walk::new(self);
        for (index, parameter) in self.params.iter().enumerate() {
            let unit = cube.get(index).copied().unwrap_or(0.5);
            let coordinate = walk.is_active(parameter).then(|| match parameter.domain.choices() {
                Some(count) => Coordinate::Choice(pick(unit, count, walk.widths(index, count).as_deref())),
                None => snapped(parameter, unit),
            });
            walk.push(index, coordinate);
        }
        walk.point
    }

    /// A place of the unit cube whose point is `point`; inactive parameters lie at `filler()`.
    pub fn cube_of(&self, point: &Point, mut filler: impl FnMut() -> f64) -> Vec<f64> {
        let mut walk = Walk::new(self);
        let mut cube = Vec::with_capacity(self.len());
        for (index, parameter) in self.params.iter().enumerate() {
            let coordinate = point.get(index).copied().flatten();
            cube.push(match coordinate {
                Some(Coordinate::Unit(unit)) => unit,
                Some(Coordinate::Choice(choice)) if choice != UNKNOWN => {
                    let count = parameter.domain.choices().unwrap_or(1);
                    match walk.widths(index, count) {
                        Some(w) => w[..choice].iter().sum::<f64>() + 0.5 * w[choice],
                        None => (choice as f64 + 0.5) / count as f64,
                    }
                }
                _ => filler(),
            });
            walk.push(index, coordinate);
        }
        cube
    }

    /// The values of a point.
    pub fn params_of(&self, point: &Point) -> Params {
        let mut params = Params::new();
        for (parameter, coordinate) in self.params.iter().zip(point) {
            let own = match coordinate {
                None | Some(Coordinate::Choice(UNKNOWN)) => continue,
                Some(Coordinate::Unit(unit)) => parameter.domain.value_at(*unit),
                Some(Coordinate::Choice(choice)) => parameter.domain.choice(*choice),
            };
            let value = match &parameter.link {
                Some(link) => link.value(&own, &self.base(link, &params)),
                None => own,
            };
            params.insert(parameter.key.clone(), value);
        }
        params
    }

    /// The point of `params`, which need not be valid: numbers outside move to the nearest end, values that are not among
    /// the choices become [`UNKNOWN`], inactive and unknown keys are left out.
    pub fn point_of(&self, params: &Params) -> Point {
        let mut walk = Walk::new(self);
        for (index, parameter) in self.params.iter().enumerate() {
            let active = walk.is_active(parameter);
            let value = params.get(&parameter.key).filter(|_| active);
            let coordinate = value.map(|value| coordinate(parameter, &self.own_value(parameter, value, params)));
            walk.push(index, coordinate);
        }
        walk.point
    }

    /// The valid point whose values are `wanted` wherever the space allows them, and the first allowed choice elsewhere.
    pub(super) fn point_towards(&self, wanted: impl Fn(&Parameter) -> Option<Value>) -> Point {
        let wish: Point = self.params.iter().map(|p| wanted(p).map(|v| coordinate(p, &v))).collect();
        self.nearest(&wish, |count| if count == 0 { 0.5 } else { 0.0 })
    }

    /// The valid point that has the coordinates `wish` wherever the space allows them. `filler` gives a place in `[0, 1]` for
    /// a parameter without a wish, or with one that is not allowed; it is told the number of choices, 0 for a range.
    pub fn nearest(&self, wish: &[Option<Coordinate>], mut filler: impl FnMut(usize) -> f64) -> Point {
        let mut walk = Walk::new(self);
        for (index, parameter) in self.params.iter().enumerate() {
            let coordinate = walk.is_active(parameter).then(|| {
                let wish = wish.get(index).copied().flatten();
                let Some(count) = parameter.domain.choices() else {
                    let unit = match wish {
                        Some(Coordinate::Unit(unit)) => unit.clamp(0.0, 1.0),
                        _ => filler(0),
                    };
                    return snapped(parameter, unit);
                };
                let widths = walk.widths(index, count);
                let allowed = |c: usize| c < count && widths.as_ref().is_none_or(|w| w[c] > 0.0);
                match wish {
                    Some(Coordinate::Choice(c)) if allowed(c) => Coordinate::Choice(c),
                    _ => Coordinate::Choice(pick(filler(count), count, widths.as_deref())),
                }
            });
            walk.push(index, coordinate);
        }
        walk.point
    }

    /// Every point, at `levels` places of each continuous range (its ends included); `None` when there are more than
    /// `limit`.
    pub fn grid(&self, levels: usize, limit: usize) -> Option<Vec<Point>> {
        let mut walks = vec![Walk::new(self)];
        for (index, parameter) in self.params.iter().enumerate() {
            let mut longer = Vec::new();
            for mut walk in walks {
                if !walk.is_active(parameter) {
                    walk.push(index, None);
                    longer.push(walk);
                    continue;
                }
                let places = places(parameter, levels, limit)?;
                let widths = parameter.domain.choices().and_then(|count| walk.widths(index, count));
                for place in places {
                    if matches!((place, &widths), (Coordinate::Choice(c), Some(w)) if w[c] <= 0.0) {
                        continue;
                    }
                    let mut next = walk.clone();
                    next.push(index, Some(place));
                    longer.push(next);
                }
                if longer.len() > limit {
                    return None;
                }
            }
            walks = longer;
        }
        Some(walks.into_iter().map(|walk| walk.point).collect())
    }

    /// The part of `params` that has an effect: the searched keys whose conditions hold.
    pub fn active_part(&self, params: &Params) -> Params {
        let active = |(p, c): (&Parameter, &Option<Coordinate>)| {
            c.and_then(|_| Some((p.key.clone(), params.get(&p.key)?.clone())))
        };
        self.params.iter().zip(&self.point_of(params)).filter_map(active).collect()
    }
}

/// A place along a range, moved to the grid where the range is one.
fn snapped(parameter: &Parameter, unit: f64) -> Coordinate {
    let domain = &parameter.domain;
    Coordinate::Unit(match domain.cardinality() {
        None => unit.clamp(0.0, 1.0),
        Some(_) => domain.unit_of(&domain.value_at(unit)).unwrap_or(0.5),
    })
}

/// The places of one parameter on a grid; `None` when it alone has more than `limit`.
fn places(parameter: &Parameter, levels: usize, limit: usize) -> Option<Vec<Coordinate>> {
    if let Some(count) = parameter.domain.choices() {
        return Some((0..count).map(Coordinate::Choice).collect());
    }
    let count = match parameter.domain.cardinality() {
        Some(count) => usize::try_from(count).ok().filter(|count| *count <= limit)?,
        None => levels.max(2),
    };
    let even = |i: usize| if count == 1 { 0.5 } else { i as f64 / (count - 1) as f64 };
    let mut places: Vec<Coordinate> = (0..count).map(|i| snapped(parameter, even(i))).collect();
    places.dedup();
    Some(places)
}

fn coordinate(parameter: &Parameter, value: &Value) -> Coordinate {
    let domain = &parameter.domain;
    match domain.choices() {
        None => Coordinate::Unit(domain.unit_of(value).unwrap_or(0.5)),
        Some(count) => Coordinate::Choice(domain.index_of(value).unwrap_or_else(|| match domain {
            super::Domain::Ordinal(_) => {
                domain.unit_of(value).map_or(UNKNOWN, |u| ((u * count as f64) as usize).min(count - 1))
            }
            _ => UNKNOWN,
        })),
    }
}
