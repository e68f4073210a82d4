//! Before the winner is named: its rivals are trained again. After that: which trial is promoted.

use super::budget::epochs_left;
use super::next_trial;
use super::plan::{Command, Plan};
use crate::base::ids::TrialId;
use crate::state::{StudyState, winner};

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

/// The runs that are missing before the winner can be named. Who is run again depends on the first runs alone, so it stays
/// the same while the further ones come in.
pub(super) fn repeats(state: &StudyState, plan: &Plan) -> Vec<Command> {
    if plan.confirm.top == 0 || plan.confirm.seeds == 0 {
        return Vec::new();
    }
    let rivals = winner::by_first_run(state).into_iter().take(plan.confirm.top);
    let missing = rivals.flat_map(|of| {
        let has = state.trials.values().filter(|t| t.repeats == Some(of)).count();
        std::iter::repeat_n(of, plan.confirm.seeds.saturating_sub(has))
    });
    let mut room = epochs_left(state, plan);
    let affordable = missing.take_while(|of| {
        let cost = state.trials.get(of).map_or(1, |t| u64::from(t.epochs.max(1)));
        let fits = cost <= room;
        room = room.saturating_sub(cost);
        fits
    });
    (next_trial(state).0..).zip(affordable).map(|(id, of)| Command::Repeat { trial: TrialId(id), of }).collect()
}
