//! Schedulers: how long each trial trains. Pure functions of what is known.
//!
//! Two forms. A *pausing* scheduler (asha, successive_halving, hyperband) allots a new trial the epochs up to a rung; there it
//! stands, with its checkpoint, until it is promoted, or never. A *stopping* scheduler (median, curve) allots the full
//! length and ends what is not worth it.
//!
//! Invariants: nothing ever waits for a straggler: when nothing can be promoted, a new trial is started. Failed trials are
//! neither promoted nor counted. The last rung is the full length, whatever it is.

mod curve;
mod halving;
mod median;
pub mod rungs;
#[cfg(test)]
mod testing;

use super::history::Observation;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::direction::Direction;
use crate::base::exit::ExitCode;
use crate::base::ids::TrialId;

pub use curve::Curve;
pub use halving::Halving;
pub use median::Median;

/// Everything a decision may depend on.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleContext<'a> {
    /// Every trial so far, in any order.
    pub history: &'a [Observation],
    /// Whether larger values are better.
    pub direction: Direction,
    /// Epochs of a full trial.
    pub max_epochs: u32,
    /// Whether no new trial will be started any more: then the best of what stands at a rung goes on, however few there are.
    pub closing: bool,
}

impl ScheduleContext<'_> {
    /// The value turned so that smaller is better.
    pub(crate) fn loss(&self, value: f64) -> f64 {
        match self.direction {
            Direction::Maximize => -value,
            Direction::Minimize => value,
        }
    }

    /// The best loss of a trial up to `epoch`.
    pub(crate) fn loss_until(&self, trial: &Observation, epoch: u32) -> Option<f64> {
        trial.best_until(epoch, self.direction).map(|value| self.loss(value))
    }

    pub(crate) fn trial(&self, id: TrialId) -> Option<&Observation> {
        self.history.iter().find(|o| o.trial == id)
    }
}

/// What becomes of a trial that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, up to the epochs it was allotted.
    Continue,
    /// It ends for good.
    Stop {
        /// Why, for people.
        why: String,
    },
}

/// A trial that stands at a rung and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// The trial.
    pub trial: TrialId,
    /// The epoch up to which it may train now.
    pub until: u32,
}

/// A way to divide epochs among trials.
pub trait Scheduler: std::fmt::Debug + Send + Sync {
    /// Its name in specs.
    fn name(&self) -> &'static str;

    /// The epochs at which trials are compared, ascending; the last one is `max_epochs`. One alone: nothing is compared early.
    fn rungs(&self, max_epochs: u32) -> Vec<u32>;

    /// The epochs that a new trial may train for at first. Trial 0 is the baseline.
    fn allot(&self, max_epochs: u32, _trial: TrialId) -> u32 {
        max_epochs
    }

    /// The trial that goes on next; asked whenever a slot is free, before a new trial is thought of.
    fn promote(&self, _ctx: &ScheduleContext<'_>) -> Option<Promotion> {
        None
    }

    /// Whether [`Scheduler::judge`] may end a trial; otherwise it is not asked.
    fn judges(&self) -> bool {
        false
    }

    /// What becomes of `trial`, which runs and was just validated; its curve holds the new value.
    fn judge(&self, _ctx: &ScheduleContext<'_>, _trial: TrialId) -> Verdict {
        Verdict::Continue
    }
}

/// Every trial trains in full.
#[derive(Clone, Copy, Debug, Default)]
pub struct Full;

impl Scheduler for Full {
    fn name(&self) -> &'static str {
        "none"
    }

    fn rungs(&self, max_epochs: u32) -> Vec<u32> {
        vec![max_epochs.max(1)]
    }
}

/// What schedulers can be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Epochs that every trial gets.
    pub min_epochs: u32,
    /// How many times as many epochs the next rung has, and one in how many trials reaches it.
    pub factor: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { min_epochs: 1, factor: 3 }
    }
}

/// Names and what they do, for tables of help.
pub const TABLE: [(&str, &str); 6] = [
    ("none", "every trial trains in full"),
    ("asha", "trials pause at rungs; the best third of each goes on, at any time"),
    ("successive_halving", "asha in groups: a trial competes with those of its group only"),
    ("hyperband", "groups that start at different rungs, many short trials to few full ones"),
    ("median", "stops a trial below the median of the others at the same epoch"),
    ("curve", "stops a trial that needs a steeper rise to win than any has shown"),
];

/// The scheduler called `name`.
///
/// # Errors
/// When there is none; the help says what there is.
pub fn by_name(name: &str, settings: Settings) -> Result<Box<dyn Scheduler>, Problems> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "none" => Box::new(Full),
        "asha" => Box::new(Halving::asha(settings)),
        "successive_halving" | "sh" => Box::new(Halving::successive(settings)),
        "hyperband" => Box::new(Halving::hyperband(settings)),
        "median" => Box::new(Median::new(settings)),
        "curve" => Box::new(Curve::new(settings)),
        _ => {
            let names = TABLE.map(|(name, _)| name).join(", ");
            let problem = Problem::new(format!("there is no scheduler {name}")).help(format!("one of {names}"));
            return Err(Problems::one(ExitCode::Usage, problem));
        }
    })
}
