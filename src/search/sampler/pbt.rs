//! Population-based training as a search: places of a population whose holders copy each other and change a little.
//!
//! Jaderberg et al., arXiv:1711.09846: the worst fifth copies one of the best fifth, then everyone explores (numbers times
//! or divided by 1.2, or drawn anew; choices drawn anew now and then). Here a trial trains from the start: values are
//! handed on, weights are not, so trials stay comparable and each can be repeated alone.

use super::ranking::at_rung;
use super::{Sampler, SuggestContext, initial_point, uniform, uniform_cube, unseen};
use crate::base::seed::{Stream, stream};
use crate::journal::event::Params;
use crate::search::space::domain::Domain;
use crate::search::space::{Coordinate, Point};
use serde_json::Value;

/// Share of the population that copies, and that is copied.
const FIFTH: f64 = 0.2;
/// What numbers are multiplied or divided by.
const FACTOR: f64 = 1.2;
/// Chance that a value is drawn anew.
const ANEW: f64 = 0.2;

/// The sampler.
#[derive(Clone, Copy, Debug)]
pub struct Pbt {
    size: u32,
}

impl Pbt {
    /// For a study of about `planned` full trials: at least four generations of at most ten.
    pub fn planned(planned: u32) -> Self {
        Self { size: (planned / 4).clamp(4, 10) }
    }

    /// The point that the next holder of the place starts from; `None` while the first generation is drawn.
    fn parent(&self, ctx: &SuggestContext<'_>, stream: &mut Stream) -> Option<Point> {
        if ctx.trial.0 < self.size {
            return None;
        }
        // The latest measured trial of each place.
        let mut holders: Vec<Option<(f64, Point)>> = vec![None; self.size as usize];
        for (trial, loss, point) in at_rung(ctx, 0) {
            holders[(trial % self.size) as usize] = Some((loss, point));
        }
        let own = holders[(ctx.trial.0 % self.size) as usize].take();
        let mut order: Vec<(f64, Point)> = holders.into_iter().flatten().collect();
        let rank = own.as_ref().map_or(order.len(), |(loss, _)| order.iter().filter(|(other, _)| other < loss).count());
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = ((FIFTH * (order.len() + 1) as f64).ceil() as usize).max(1);
        match own {
            Some((_, point)) if rank + count <= order.len() => Some(point),
            _ => {
                let top = count.min(order.len());
                order.into_iter().nth((uniform(stream) * top as f64) as usize).map(|(_, point)| point)
            }
        }
    }
}

impl Sampler for Pbt {
    fn name(&self) -> &'static str {
        "pbt"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        let mut stream = stream(ctx.seed, &format!("sampler/pbt/{}", ctx.trial.0));
        let point = initial_point(ctx).unwrap_or_else(|| {
            let point = match self.parent(ctx, &mut stream) {
                Some(parent) => explore(ctx, &parent, &mut stream),
                None => ctx.space.point_at(&uniform_cube(ctx.space, &mut stream)),
            };
            ctx.space.params_of(&point)
        });
        unseen(ctx, point, &mut stream)
    }
}

/// A little different from `parent`.
fn explore(ctx: &SuggestContext<'_>, parent: &Point, stream: &mut Stream) -> Point {
    let mut wish: Point = Vec::with_capacity(parent.len());
    for (parameter, coordinate) in ctx.space.params().iter().zip(parent) {
        let anew = uniform(stream) < ANEW;
        let up = uniform(stream) < 0.5;
        wish.push(coordinate.filter(|_| !anew).map(|c| perturbed(&parameter.domain, c, up)));
    }
    ctx.space.nearest(&wish, |_| uniform(stream))
}

fn perturbed(domain: &Domain, coordinate: Coordinate, up: bool) -> Coordinate {
    match (domain, coordinate) {
        (Domain::Ordinal(list), Coordinate::Choice(c)) if c < list.len() => {
            Coordinate::Choice(if up { (c + 1).min(list.len() - 1) } else { c.saturating_sub(1) })
        }
        (_, Coordinate::Unit(unit)) => {
            let value = domain.value_at(unit).as_f64().unwrap_or(0.0);
            let moved = if up { value * FACTOR } else { value / FACTOR };
            let there = domain.unit_of(&Value::from(moved)).unwrap_or(unit);
            // A grid or a value near 0 may swallow the step; a twentieth of the range does not move less.
            let least = if up { unit + 0.05 } else { unit - 0.05 };
            let stuck = (there - unit).abs() < 1e-9;
            Coordinate::Unit(if stuck { least.clamp(0.0, 1.0) } else { there })
        }
        (_, same) => same,
    }
}
