//! Differential evolution over rungs: DEHB; with a single rung, plain differential evolution.
//!
//! Awad et al., "DEHB", IJCAI 2021, arXiv:2105.09821; strategy rand/1/bin of Storn and Price, J. Global Optim. 11, 1997.
//!
//! Without a state of its own: trial `t` competes for the place `t mod size` of the population, and the holder of a place is
//! the best of its trials: who came to a higher rung, then who had the lower loss there. That is the selection of parent
//! against trial, and it holds in any order of arrival, so parallel trials and restarts need no care.

use super::ranking::by_merit;
use super::{Sampler, SuggestContext, initial_point, uniform, uniform_cube, unseen};
use crate::base::seed::{Stream, stream};
use crate::journal::event::Params;
use crate::search::space::Point;

/// Mutants need three different parents.
const PARENTS: usize = 3;
/// Weight of the difference of two parents.
const FACTOR: f64 = 0.5;
/// Chance that a coordinate comes from the mutant.
const CROSSOVER: f64 = 0.5;

/// The sampler.
#[derive(Clone, Copy, Debug)]
pub struct Dehb {
    size: u32,
}

impl Dehb {
    /// For a study of about `planned` full trials: a population of a quarter of them, but 6 to 20.
    pub fn planned(planned: u32) -> Self {
        Self { size: (planned / 4).clamp(6, 20) }
    }

    /// Places of the population; twice as many where trials stop early and there are many more of them.
    fn size(&self, ctx: &SuggestContext<'_>) -> u32 {
        if ctx.rungs.len() > 1 { 2 * self.size } else { self.size }
    }

    /// Who holds the places of the population; `None` while too few are held.
    fn population(&self, ctx: &SuggestContext<'_>) -> Option<Vec<Option<Point>>> {
        let size = self.size(ctx) as usize;
        let mut places: Vec<Option<Point>> = vec![None; size];
        for (trial, point) in by_merit(ctx) {
            // The best comes first.
            places[trial as usize % size].get_or_insert(point);
        }
        (places.iter().flatten().count() > PARENTS).then_some(places)
    }
}

impl Sampler for Dehb {
    fn name(&self) -> &'static str {
        "dehb"
    }

    fn suggest(&self, ctx: &SuggestContext<'_>) -> Params {
        let mut stream = stream(ctx.seed, &format!("sampler/dehb/{}", ctx.trial.0));
        let point = initial_point(ctx).unwrap_or_else(|| {
            // The first round fills the places.
            let size = self.size(ctx);
            let population = (ctx.trial.0 >= size).then(|| self.population(ctx)).flatten();
            let cube = match population {
                Some(population) => offspring(ctx, &population, (ctx.trial.0 % size) as usize, &mut stream),
                None => uniform_cube(ctx.space, &mut stream),
            };
            ctx.space.params_of(&ctx.space.point_at(&cube))
        });
        unseen(ctx, point, &mut stream)
    }
}

/// A mutant of three others, crossed with the holder of `place`.
fn offspring(ctx: &SuggestContext<'_>, population: &[Option<Point>], place: usize, stream: &mut Stream) -> Vec<f64> {
    let mut others: Vec<&Point> =
        population.iter().enumerate().filter(|(i, _)| *i != place).filter_map(|(_, p)| p.as_ref()).collect();
    // More than three places are held, so three are left besides the target.
    let mut parent = || {
        let index = ((uniform(stream) * others.len() as f64) as usize).min(others.len() - 1);
        let parent = others.swap_remove(index);
        ctx.space.cube_of(parent, || uniform(stream))
    };
    let (base, plus, minus) = (parent(), parent(), parent());
    let target = match &population[place] {
        Some(point) => ctx.space.cube_of(point, || uniform(stream)),
        None => base.clone(),
    };
    let certain = (uniform(stream) * target.len() as f64) as usize;
    let coordinate = |i: usize| {
        if i != certain && uniform(stream) >= CROSSOVER {
            return target[i];
        }
        let mutant = base[i] + FACTOR * (plus[i] - minus[i]);
        // Out of the range: anywhere in it, as the paper does.
        if (0.0..=1.0).contains(&mutant) { mutant } else { uniform(stream) }
    };
    (0..target.len()).map(coordinate).collect()
}
