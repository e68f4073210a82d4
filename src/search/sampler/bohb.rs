//! BOHB: density estimates on the highest rung that has enough trials, and random draws in between.
//!
//! Falkner et al., "BOHB", ICML 2018, arXiv:1807.01774. Rungs are never mixed, and every kind of parameter has its kernel.

use super::parzen::{Parzen, most_promising};
use super::ranking::at_rung;
use super::{Sampler, SuggestContext, initial_point, uniform, uniform_cube, unseen};
use crate::base::seed::stream;
use crate::journal::event::Params;
use crate::search::space::Point;

/// Share of draws that are random: proof against a wrong model.
const RANDOM: f64 = 1.0 / 3.0;
/// Share of the trials of a rung that are good ones.
const GOOD: f64 = 0.15;
const CANDIDATES: usize = 64;

/// The sampler.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bohb;

impl Sampler for Bohb {
    fn name(&self) -> &'static str {
        "bohb"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        let mut stream = stream(ctx.seed, &format!("sampler/bohb/{}", ctx.trial.0));
        let point = initial_point(ctx).unwrap_or_else(|| {
            let at_random = uniform(&mut stream) < RANDOM;
            let modelled = (!at_random).then(|| good_and_bad(ctx)).flatten().and_then(|(good, bad)| {
                let (good, bad) = (Parzen::new(ctx.space, &good), Parzen::new(ctx.space, &bad));
                most_promising(&good, &bad, CANDIDATES, &mut stream)
            });
            let point = modelled.unwrap_or_else(|| ctx.space.point_at(&uniform_cube(ctx.space, &mut stream)));
            ctx.space.params_of(&point)
        });
        unseen(ctx, point, &mut stream)
    }
}

/// The better and the worse trials of the highest rung that has enough of them: section 3.2 of the paper asks for one more
/// than there are parameters on either side, which may overlap.
fn good_and_bad(ctx: &SuggestContext<'_>) -> Option<(Vec<Point>, Vec<Point>)> {
    let least = ctx.space.len() + 1;
    let highest = if ctx.rungs.len() > 1 { ctx.rungs.len() } else { 0 };
    let mut entries = (0..=highest).rev().map(|rung| at_rung(ctx, rung)).find(|e| e.len() >= least + 2)?;
    entries.sort_by(|a, b| a.1.total_cmp(&b.1));
    let points: Vec<Point> = entries.into_iter().map(|(_, _, point)| point).collect();
    let good = least.max((GOOD * points.len() as f64).ceil() as usize).min(points.len());
    let bad = least.max(points.len() - good).min(points.len());
    Some((points[..good].to_vec(), points[points.len() - bad..].to_vec()))
}
