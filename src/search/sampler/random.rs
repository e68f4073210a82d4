//! Independent uniform draws: the honest rival of every other sampler.

use super::{Sampler, SuggestContext, initial_point, uniform_cube, unseen};
use crate::base::seed::stream;
use crate::journal::event::Params;

/// Random search.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Sampler for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        let mut stream = stream(ctx.seed, &format!("sampler/random/{}", ctx.trial.0));
        let point = initial_point(ctx)
            .unwrap_or_else(|| ctx.space.params_of(&ctx.space.point_at(&uniform_cube(ctx.space, &mut stream))));
        unseen(ctx, point, &mut stream)
    }
}
