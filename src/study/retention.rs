//! Which checkpoints may be deleted. Nothing that a resume or a promotion needs ever is.

use std::path::PathBuf;

use crate::base::ids::TrialId;
use crate::state::{StudyState, TrialStatus};

/// The user's wish (`automl.retention`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// Best and last of the leading trials, the best alone elsewhere.
    #[default]
    BestLast,
    /// The best alone.
    Best,
    /// Everything.
    All,
}

/// Trials at the top of the leaderboard that keep their last checkpoint too.
const LEADERS: usize = 3;

/// A deletion that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// The trial.
    pub trial: TrialId,
    /// The folder or file, relative to the trial.
    pub path: PathBuf,
    /// The rule.
    pub why: String,
}

/// What may be deleted now. Trials that are not final keep everything, as do failed and cancelled ones what they need for
/// a retry: their last checkpoint.
pub fn deletions(state: &StudyState, rule: Rule) -> Vec<Deletion> {
    if rule == Rule::All {
        return Vec::new();
    }
    let leaders: Vec<TrialId> = state.leaderboard().into_iter().take(LEADERS).collect();
    let promoted = state.promotion.as_ref().filter(|p| !p.is_done()).map(|p| p.trial);
    let mut list = Vec::new();
    for trial in state.trials.values().filter(|t| t.state.is_final() && Some(t.id) != promoted) {
        let last = trial.last_checkpoint();
        let can_retry = matches!(trial.state, TrialStatus::Failed | TrialStatus::Cancelled);
        let keeps_last = can_retry || (rule == Rule::BestLast && leaders.contains(&trial.id));
        for (path, checkpoint) in &trial.checkpoints {
            let is_best = trial.checkpoint.as_ref() == Some(path);
            if is_best || (keeps_last && Some(checkpoint.epoch) == last) || trial.checkpoint.is_none() {
                continue;
            }
            list.push(Deletion { trial: trial.id, path: path.clone(), why: "neither best nor needed".to_owned() });
        }
    }
    list
}
