//! A scrambled Sobol sequence: like random search, but without clumps and gaps.
//!
//! Scrambling after Burley, "Practical Hash-based Owen Scrambling", JCGT 9(4), 2020.

use super::{Sampler, SuggestContext, initial_point, unseen};
use crate::base::seed::{child, stream};
use crate::journal::event::Params;
use crate::search::space::Space;

/// Quasi-random search.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sobol;

impl Sampler for Sobol {
    fn name(&self) -> &'static str {
        "sobol"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        let point = initial_point(ctx)
            .unwrap_or_else(|| ctx.space.params_of(&ctx.space.point_at(&cube(ctx.space, ctx.seed, ctx.trial.0))));
        unseen(ctx, point, &mut stream(ctx.seed, &format!("sampler/sobol/{}", ctx.trial.0)))
    }
}

/// Point `index` of the sequence that `seed` scrambles, one number a parameter.
pub(super) fn cube(space: &Space, seed: u64, index: u32) -> Vec<f64> {
    let scramble = child(seed, "sampler/sobol") as u32;
    // The tables end at 2^16 points and 256 dimensions; beyond, another scrambling starts a new sequence.
    let (round, index) = (index >> 16, index & 0xffff);
    (0..space.len() as u32)
        .map(|d| {
            let padding = (round << 8) + (d >> 8);
            f64::from(sobol_burley::sample(index, d & 0xff, scramble.wrapping_add(padding)))
        })
        .collect()
}
