//! The tree-structured Parzen estimator, multivariate: draws where good trials are dense and bad ones are not.
//!
//! Bergstra et al., NeurIPS 2011; Watanabe, arXiv:2304.11127. Failures and trials that run are bad ones: the first are, and
//! the second keep parallel draws apart.

use super::parzen::{Parzen, most_promising};
use super::prior::towards_good;
use super::ranking::Ranking;
use super::{Sampler, SuggestContext, initial_point, sobol, start, unseen};
use crate::base::seed::stream;
use crate::journal::event::Params;
use crate::search::space::Point;

/// Share of the measured trials that are good ones.
const GOOD: f64 = 0.15;
const MOST_GOOD: usize = 25;
const CANDIDATES: usize = 48;

/// The sampler.
#[derive(Clone, Copy, Debug)]
pub struct Tpe {
    planned: u32,
}

impl Tpe {
    /// For a study of about `planned` full trials.
    pub fn planned(planned: u32) -> Self {
        Self { planned }
    }
}

impl Sampler for Tpe {
    fn name(&self) -> &'static str {
        "tpe"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        let mut stream = stream(ctx.seed, &format!("sampler/tpe/{}", ctx.trial.0));
        let point = initial_point(ctx).unwrap_or_else(|| {
            let ranking = Ranking::of(ctx);
            let early = ctx.trial.0 < start(self.planned, ctx.rungs) || ranking.measured.len() < 4;
            let modelled = (!early).then(|| {
                let (good, bad) = split(ranking);
                let (good, bad) = (Parzen::new(ctx.space, &good), Parzen::new(ctx.space, &bad));
                most_promising(&good, &bad, CANDIDATES, &mut stream)
            });
            let point = modelled.flatten();
            let point = point.unwrap_or_else(|| {
                let cube = sobol::cube(ctx.space, ctx.seed, ctx.trial.0);
                // Every other one of the start looks around what is known to be good.
                let cube = if ctx.trial.0 % 2 == 1 { towards_good(ctx.space, cube) } else { cube };
                ctx.space.point_at(&cube)
            });
            ctx.space.params_of(&point)
        });
        unseen(ctx, point, &mut stream)
    }
}

/// The good points, and all others.
fn split(ranking: Ranking) -> (Vec<Point>, Vec<Point>) {
    let Ranking { mut measured, failed, pending } = ranking;
    let count = ((GOOD * measured.len() as f64).ceil() as usize).clamp(1, MOST_GOOD);
    let mut bad = measured.split_off(count.min(measured.len()));
    bad.extend(failed);
    bad.extend(pending);
    (measured, bad)
}
