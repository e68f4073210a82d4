//! Which sampler and which scheduler a study uses: names, TAO's among them, and what `auto` means.

use super::sampler::{self, Sampler};
use super::scheduler::{self, Scheduler, Settings};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// What the choice depends on besides names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// About how many full trials the budget pays for.
    pub trials: u32,
    /// What uses up the budget.
    pub budget: Budget,
    /// Trials side by side.
    pub workers: u32,
    /// Epochs of a full trial.
    pub max_epochs: u32,
    /// Epochs and factor of the rungs.
    pub settings: Settings,
}

/// What uses up a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Epochs: trials that stop early leave room for more.
    Epochs,
    /// Trials, however short.
    Trials,
}

/// A sampler and a scheduler.
#[derive(Debug)]
pub struct Algorithm {
    /// Where to look.
    pub sampler: Box<dyn Sampler>,
    /// How long to look.
    pub scheduler: Box<dyn Scheduler>,
    /// One line for people, when another name was understood.
    pub note: Option<String>,
}

/// A name of someone else's, and what it becomes here.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// Our sampler.
    pub sampler: &'static str,
    /// Our scheduler; `auto` where the other has none.
    pub scheduler: &'static str,
    /// What it is.
    pub what: &'static str,
}

const fn alias(name: &'static str, sampler: &'static str, scheduler: &'static str, what: &'static str) -> Alias {
    Alias { name, sampler, scheduler, what }
}

/// TAO's algorithms, then names from elsewhere.
pub const ALIASES: [Alias; 10] = [
    alias("bayesian", "gp", "auto", "TAO's Gaussian process, expected improvement"),
    alias("bfbo", "gp", "auto", "TAO's Gaussian process, confidence bound"),
    alias("hyperband", "random", "hyperband", "TAO's random draws in brackets"),
    alias("bohb", "bohb", "hyperband", "TAO's density estimates in brackets"),
    alias("asha", "random", "asha", "TAO's random draws under halving"),
    alias("dehb", "dehb", "hyperband", "TAO's differential evolution in brackets"),
    alias("pbt", "pbt", "none", "TAO's population-based training"),
    alias("hyperband_es", "random", "curve", "TAO's Hyperband with extrapolated curves"),
    alias("qmc", "sobol", "auto", "quasi-random search"),
    alias("de", "dehb", "none", "differential evolution"),
];

/// Full trials a worker up to which stopping early pays: with more, every promising point can be trained in full anyway.
const FEW: u32 = 30;
/// Trials from which stopping early pays when they are what is counted: the wide start of a search with short trials needs
/// more than half of as many.
const MANY: u32 = 40;

impl Algorithm {
    /// The sampler called `sampler` (or what an alias of that name stands for) and the scheduler called `scheduler`, `auto`
    /// being the one that goes with the sampler: none for a list of points, none when a budget of epochs pays for more than 30
    /// full trials a worker or a budget of trials for fewer than 40, else asha.
    ///
    /// # Errors
    /// When there are no such names; the help says what there is. Both are looked up before either is reported.
    pub fn by_name(sampler: &str, scheduler: &str, plan: &Plan) -> Result<Self, Problems> {
        let lower = sampler.to_ascii_lowercase();
        let alias = ALIASES.iter().find(|a| a.name == lower);
        let own = alias.map_or(lower.as_str(), |a| a.sampler);
        let wanted = match (scheduler, alias) {
            ("auto", Some(alias)) => alias.scheduler,
            (given, _) => given,
        };
        let wanted = if wanted == "auto" { automatic(own, plan) } else { wanted };
        let mut list = Vec::new();
        let found = sampler::by_name(own, plan.trials);
        if found.is_none() {
            let near = ALIASES.map(|a| a.name).join(", ");
            let help = format!("one of {}; also understood: {near}", sampler::TABLE.map(|(name, _)| name).join(", "));
            list.push(Problem::new(format!("there is no sampler {sampler}")).help(help));
        }
        let scheduler = scheduler::by_name(wanted, plan.settings);
        match (found, scheduler) {
            (Some(sampler), Ok(scheduler)) => {
                let note = alias.map(|a| {
                    format!("{lower}: {}; using {} with the scheduler {}", a.what, a.sampler, scheduler.name())
                });
                Ok(Self { sampler, scheduler, note })
            }
            (_, scheduler) => {
                list.extend(scheduler.err().into_iter().flat_map(|p| p.list));
                Err(Problems::new(ExitCode::Usage, list))
            }
        }
    }
}

fn automatic(sampler: &str, plan: &Plan) -> &'static str {
    let pays = match plan.budget {
        Budget::Epochs => plan.trials / plan.workers.max(1) <= FEW,
        Budget::Trials => plan.trials >= MANY,
    };
    match sampler {
        "grid" | "list" | "pbt" => "none",
        "bohb" | "dehb" if plan.max_epochs > 1 => "hyperband",
        _ if plan.max_epochs > 1 && pays => "asha",
        _ => "none",
    }
}

/// Every name with what it does, as a table for people.
pub fn table() -> String {
    let mut lines = vec!["Samplers:".to_owned()];
    lines.extend(sampler::TABLE.iter().map(|(name, what)| format!("  {name:<20} {what}")));
    lines.push("\nSchedulers:".to_owned());
    lines.push(format!("  {:<20} what goes with the sampler and the budget: mostly asha, or none", "auto"));
    lines.extend(scheduler::TABLE.iter().map(|(name, what)| format!("  {name:<20} {what}")));
    lines.push("\nOther names understood as samplers:".to_owned());
    lines.extend(ALIASES.iter().map(|a| format!("  {:<20} {} -> {} + {}", a.name, a.what, a.sampler, a.scheduler)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        trials: 20,
        budget: Budget::Epochs,
        workers: 1,
        max_epochs: 27,
        settings: Settings { min_epochs: 1, factor: 3 },
    };

    fn names(sampler: &str, scheduler: &str, plan: Plan) -> (&'static str, &'static str) {
        let algorithm = Algorithm::by_name(sampler, scheduler, &plan).unwrap_or_else(|p| panic!("{p}"));
        (algorithm.sampler.name(), algorithm.scheduler.name())
    }

    #[test]
    fn by_name_every_name_of_the_tables_exists() {
        for (name, _) in sampler::TABLE {
            assert_eq!(names(name, "none", PLAN).0, name);
        }
        for (name, _) in scheduler::TABLE {
            assert_eq!(names("gp", name, PLAN).1, name);
        }
        for alias in ALIASES {
            let (sampler, scheduler) = names(&alias.name.to_uppercase(), "auto", PLAN);
            assert_eq!(sampler, alias.sampler);
            assert!(alias.scheduler == "auto" || scheduler == alias.scheduler, "{}", alias.name);
        }
    }

    #[test]
    fn by_name_auto_depends_on_the_budget() {
        assert_eq!(names("gp", "auto", PLAN), ("gp", "asha"));
        assert_eq!(names("gp", "auto", Plan { max_epochs: 1, ..PLAN }), ("gp", "none"));
        assert_eq!(names("gp", "auto", Plan { trials: 40, ..PLAN }), ("gp", "none"));
        assert_eq!(names("gp", "auto", Plan { trials: 40, workers: 4, ..PLAN }), ("gp", "asha"));
        let counted = |trials| names("gp", "auto", Plan { trials, budget: Budget::Trials, ..PLAN }).1;
        assert_eq!((counted(20), counted(40)), ("none", "asha"));
        assert_eq!(names("bayesian", "median", PLAN), ("gp", "median"));
    }

    #[test]
    fn by_name_unknown_names_are_reported_together() {
        let problems = Algorithm::by_name("bayesain", "ashs", &PLAN).unwrap_err().to_string();
        for part in ["bayesain", "ashs", "gp", "sobol", "hyperband"] {
            assert!(problems.contains(part), "{part} is not in\n{problems}");
        }
        let note = Algorithm::by_name("bfbo", "auto", &PLAN).unwrap().note.unwrap();
        assert!(note.contains("using gp with the scheduler asha"), "{note}");
        let note = Algorithm::by_name("bohb", "auto", &PLAN).unwrap().note.unwrap();
        assert!(note.contains("using bohb with the scheduler hyperband"), "{note}");
        assert!(Algorithm::by_name("gp", "auto", &PLAN).unwrap().note.is_none());
    }
}
