//! Every combination once, in an order that the seed shuffles: a budget that ends early has then seen all regions.

use std::collections::HashSet;

use super::{Sampler, SuggestContext, key, uniform};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::seed::stream;
use crate::journal::event::Params;
use crate::search::space::Space;

/// Places of a continuous range, both ends among them.
const LEVELS: usize = 5;
/// Points at most.
const LIMIT: usize = 20_000;

/// Grid search.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grid;

impl Grid {
    fn next(ctx: &SuggestContext<'_>) -> Option<Params> {
        let seen: HashSet<String> =
            ctx.history.iter().filter(|o| o.trial != ctx.trial).map(|o| key(ctx.space, &o.params)).collect();
        let mut points: Vec<Params> = ctx.space.initial().to_vec();
        let mut grid = ctx.space.grid(LEVELS, LIMIT)?;
        let mut shuffle = stream(ctx.seed, "sampler/grid");
        for i in (1..grid.len()).rev() {
            grid.swap(i, (uniform(&mut shuffle) * (i + 1) as f64) as usize);
        }
        points.extend(grid.iter().map(|point| ctx.space.params_of(point)));
        points.into_iter().find(|point| !seen.contains(&key(ctx.space, point)))
    }
}

impl Sampler for Grid {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        Self::next(ctx).unwrap_or_else(|| ctx.space.default_point())
    }

    fn is_exhausted(&self, ctx: &SuggestContext<'_>) -> bool {
        Self::next(ctx).is_none()
    }

    fn accepts(&self, space: &Space) -> Result<(), Problems> {
        if space.grid(LEVELS, LIMIT).is_some() {
            return Ok(());
        }
        let what = format!("a grid over {} has more than {LIMIT} points", space.name());
        let help = "search fewer parameters, give steps or choices, or use sobol, which covers a space with any number";
        Err(Problems::one(ExitCode::Usage, Problem::new(what).help(help)))
    }
}
