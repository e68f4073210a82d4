//! The learning-curve rule: a trial ends when it cannot win any more.
//!
//! Two forecasts, neither of them a model that needs training. From the others: the largest gain that any full trial has
//! made from this epoch to its end. From the trial itself: a power law through its own last values, `a - b * t^-c`, in the
//! form that has its limit in closed form for equal ratios of epochs (Domhan et al., IJCAI 2015, compare eleven such laws;
//! the choice matters little). The trial is stopped only when both fall short of the best value so far.

use super::{ScheduleContext, Scheduler, Settings, Verdict};
use crate::base::ids::TrialId;
use crate::search::history::{Observation, ObservedState};

/// Full trials that must be known before any is stopped.
const COMPANY: usize = 3;
/// Forecast gains are multiplied by this: a trial may rise more steeply than any before it.
const ALLOWANCE: f64 = 1.25;
/// The least allowance, as a share of the spread of the final values: noise is no gain.
const NOISE: f64 = 0.02;

/// The scheduler.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    min_epochs: u32,
}

impl Curve {
    /// Nothing is stopped before `settings.min_epochs`.
    pub fn new(settings: Settings) -> Self {
        Self { min_epochs: settings.min_epochs.max(1) }
    }
}

impl Scheduler for Curve {
    fn name(&self) -> &'static str {
        "curve"
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
        // Losses at this epoch and at the end.
        let full = |o: &Observation| {
            let usable = o.trial != trial && o.state == ObservedState::Complete && !o.has_failed();
            usable.then(|| Some((ctx.loss_until(o, epoch)?, ctx.loss_until(o, ctx.max_epochs)?))).flatten()
        };
        let ends: Vec<(f64, f64)> = ctx.history.iter().filter_map(full).collect();
        if ends.len() < COMPANY {
            return Verdict::Continue;
        }
        let fold = |f: fn(f64, f64) -> f64, start: f64| ends.iter().map(|(_, end)| *end).fold(start, f);
        let (best, worst) = (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY));
        let gain = ends.iter().map(|(here, end)| here - end).fold(0.0, f64::max);
        let limit = own_limit(ctx, own, epoch).map_or(0.0, |limit| loss - limit);
        let hope = loss - (ALLOWANCE * gain.max(limit)).max(NOISE * (worst - best));
        if hope > best {
            let why = format!("no trial has gained as much after epoch {epoch} as it would need to become the best");
            Verdict::Stop { why }
        } else {
            Verdict::Continue
        }
    }
}

/// Where a power law through the losses at `epoch`, `epoch / 2` and `epoch / 4` ends up at the full length; `None` when the
/// curve is too short or has no such shape.
///
/// With `y(t) = a + b * t^-c` the differences over equal ratios of epochs shrink by the constant `q = 2^-c`, so
/// `y(t * 2^k) = y(t) - d * (q + … + q^k)` for the last difference `d`.
fn own_limit(ctx: &ScheduleContext<'_>, own: &Observation, epoch: u32) -> Option<f64> {
    let at = |epoch: u32| ctx.loss_until(own, epoch).filter(|_| epoch >= 1);
    let (early, middle, late) = (at(epoch / 4)?, at(epoch / 2)?, at(epoch)?);
    let (before, last) = (early - middle, middle - late);
    if last <= 0.0 {
        return Some(late);
    }
    // Gains that do not shrink promise anything; let the trial show.
    let shrink = if before > last { last / before } else { 1.0 };
    let doublings = (f64::from(ctx.max_epochs) / f64::from(epoch)).log2();
    let sum = if shrink < 1.0 { shrink * (1.0 - shrink.powf(doublings)) / (1.0 - shrink) } else { doublings };
    Some(late - last * sum)
}
