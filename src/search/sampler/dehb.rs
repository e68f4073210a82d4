//! Differential evolution, on the highest rung that has a population: DEHB; with a single rung, plain differential evolution.
//!
//! Awad et al., "DEHB", IJCAI 2021, arXiv:2105.09821; strategy rand/1/bin of Storn and Price, J. Global Optim. 11, 1997.
//!
//! Without a state of its own: trial `t` competes for the place `t mod size` of the population, and who holds a place at a
//! rung is the best of its trials that reached that rung. That is the selection of parent against trial, and it holds in
//! any order of arrival, so parallel trials and restarts need no care.

use super::ranking::at_rung;
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

    /// Who holds the places of the population on the highest rung where enough are held.
    fn population(&self, ctx: &SuggestContext<'_>) -> Option<Vec<Option<Point>>> {
        let highest = if ctx.rungs.len() > 1 { ctx.rungs.len() } else { 0 };
        (0..=highest).rev().find_map(|rung| {
            let mut places: Vec<Option<(f64, Point)>> = vec![None; self.size as usize];
            for (trial, loss, point) in at_rung(ctx, rung) {
                let place = &mut places[(trial % self.size) as usize];
                if place.as_ref().is_none_or(|(best, _)| loss <= *best) {
                    *place = Some((loss, point));
                }
            }
            let held = places.iter().flatten().count();
            (held > PARENTS).then(|| places.into_iter().map(|p| p.map(|(_, point)| point)).collect())
        })
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
            let population = (ctx.trial.0 >= self.size).then(|| self.population(ctx)).flatten();
            let cube = match population {
                Some(population) => offspring(ctx, &population, (ctx.trial.0 % self.size) as usize, &mut stream),
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
