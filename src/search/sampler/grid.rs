//! Every combination once, in an order that the seed shuffles: a budget that ends early has then seen all regions.

use super::{Sampler, SuggestContext, first_new, uniform};
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

impl Sampler for Grid {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        let left = self.points(ctx.space, ctx.seed).and_then(|points| first_new(ctx, &points));
        left.unwrap_or_else(|| ctx.space.default_point())
    }

    fn points(&self, space: &Space, seed: u64) -> Option<Vec<Params>> {
        let mut grid = space.grid(LEVELS, LIMIT)?;
        let mut shuffle = stream(seed, "sampler/grid");
        for i in (1..grid.len()).rev() {
            grid.swap(i, (uniform(&mut shuffle) * (i + 1) as f64) as usize);
        }
        let points = grid.iter().map(|point| space.params_of(point));
        Some(space.initial().iter().cloned().chain(points).collect())
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
