//! Which trial is promoted.

use super::plan::Plan;
use crate::base::ids::TrialId;
use crate::state::StudyState;

/// The trial to promote now; `None` when that is done, not wanted, or failed under this controller already.
pub fn promotion(state: &StudyState, plan: &Plan) -> Option<TrialId> {
    let best = || state.best().map(|t| t.id);
    if let Some(wanted) = state.promotion_wanted {
        return wanted.or_else(best);
    }
    let since = state.controller.as_ref().map(|c| c.started);
    if let Some(last) = &state.promotion {
        let failed_now = last.has_failed() && last.steps.iter().map(|s| s.ts).max() >= since;
        if !last.is_done() && !last.has_failed() {
            return Some(last.trial);
        }
        if failed_now {
            return None;
        }
    }
    let best = plan.promote.then(best)??;
    state.promotion.as_ref().is_none_or(|p| p.trial != best || !p.is_done()).then_some(best)
}
