//! The median rule: a trial that is worse than half of the others were at the same epoch ends.
//!
//! Golovin et al., "Google Vizier", KDD 2017, section 3.2.2, with the best value so far in place of the running average: the
//! checkpoint that is kept is the best one.

use super::{ScheduleContext, Scheduler, Settings, Verdict};
use crate::base::ids::TrialId;
use crate::search::history::Observation;

/// Other trials that must have come as far before any is stopped.
const COMPANY: usize = 5;

/// The scheduler.
#[derive(Clone, Copy, Debug)]
pub struct Median {
    min_epochs: u32,
}

impl Median {
    /// Nothing is stopped before `settings.min_epochs`.
    pub fn new(settings: Settings) -> Self {
        Self { min_epochs: settings.min_epochs.max(1) }
    }
}

impl Scheduler for Median {
    fn name(&self) -> &'static str {
        "median"
    }

    fn rungs(&self, max_epochs: u32) -> Vec<u32> {
        (self.min_epochs.min(max_epochs).max(1)..=max_epochs.max(1)).collect()
    }

    fn judges(&self) -> bool {
        true
    }

    fn judge(&self, ctx: &ScheduleContext<'_>, trial: TrialId) -> Verdict {
        let Some(own) = ctx.trial(trial) else { return Verdict::Continue };
        let epoch = own.reached();
        let Some(loss) = ctx.loss_until(own, epoch).filter(|_| epoch >= self.min_epochs) else {
            return Verdict::Continue;
        };
        let came_as_far = |o: &&Observation| o.trial != trial && !o.has_failed() && o.reached() >= epoch;
        let mut others: Vec<f64> =
            ctx.history.iter().filter(came_as_far).filter_map(|o| ctx.loss_until(o, epoch)).collect();
        if others.len() < COMPANY {
            return Verdict::Continue;
        }
        others.sort_by(f64::total_cmp);
        // The lower middle of an even number: half of the others are at least as good as it.
        let median = others[(others.len() - 1) / 2];
        if loss > median {
            Verdict::Stop { why: format!("worse than the median of {} trials at epoch {epoch}", others.len()) }
        } else {
            Verdict::Continue
        }
    }
}
