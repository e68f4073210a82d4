//! The points that the space lists under `initial`, in their order, and nothing else.

use super::{Sampler, SuggestContext, initial_point};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::journal::event::Params;
use crate::search::space::Space;

/// A fixed list.
#[derive(Clone, Copy, Debug, Default)]
pub struct List;

impl Sampler for List {
    fn name(&self) -> &'static str {
        "list"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        initial_point(ctx).unwrap_or_else(|| ctx.space.default_point())
    }

    fn points(&self, space: &Space, _seed: u64) -> Option<Vec<Params>> {
        Some(space.initial().to_vec())
    }

    fn accepts(&self, space: &Space) -> Result<(), Problems> {
        if !space.initial().is_empty() {
            return Ok(());
        }
        let what = format!("the sampler list tries the points under `initial`, and {} has none", space.name());
        Err(Problems::one(ExitCode::Usage, Problem::new(what).help("add `initial:` with a list of points")))
    }
}
