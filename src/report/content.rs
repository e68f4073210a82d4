//! What a report is about, gathered once: the study's state with what is computed from it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::retrieval::{Gallery, Thumbnail};
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::base::units;
use crate::journal::layout::StudyDir;
use crate::search::importance::Importance;
use crate::state::{StudyState, TrialState, rank, snapshot};
use crate::study::importance;

/// Everything a report shows.
#[derive(Debug)]
pub struct Content<'a> {
    /// The study's folder.
    pub dir: &'a StudyDir,
    /// The study.
    pub state: &'a StudyState,
    /// The moment that it is about: the present while a controller runs, the last event otherwise.
    pub at: Timestamp,
    /// When it was made.
    pub made: Timestamp,
    /// One word for how the study stands.
    pub phase: &'static str,
    /// The parameters, most important first; empty when there are too few trials.
    pub importance: Vec<Importance>,
    /// The study's spec; `null` when it cannot be read.
    pub spec: Value,
    /// Examples of retrieval with the best model, where it was evaluated.
    pub gallery: Option<Gallery>,
    /// Where each trial stands among those with a value: 1 for the best, towards 0 for the worst.
    standing: BTreeMap<TrialId, f64>,
}

impl<'a> Content<'a> {
    /// Gathers what there is to say of a study; what is missing is left out. `thumbnail` makes a small picture of an image.
    pub fn gather(dir: &'a StudyDir, state: &'a StudyState, made: Timestamp, thumbnail: Thumbnail<'_>) -> Self {
        let up = snapshot::controller_is_up(dir);
        let spec = std::fs::read_to_string(dir.spec()).ok().and_then(|text| serde_yaml::from_str(&text).ok());
        let ranked: Vec<TrialId> =
            state.leaderboard().into_iter().filter(|id| rank::finite(state.trials[id].value).is_some()).collect();
        let most = ranked.len().saturating_sub(1).max(1) as f64;
        let standing = ranked.iter().enumerate().map(|(i, id)| (*id, 1.0 - i as f64 / most)).collect();
        Self {
            dir,
            state,
            at: if up { made } else { state.last_event.unwrap_or(made) },
            made,
            phase: snapshot::phase(state, up),
            importance: importance::space(dir).map(|s| importance::of_study(&s, state)).unwrap_or_default(),
            spec: spec.unwrap_or_default(),
            gallery: Gallery::find(dir, thumbnail),
            standing,
        }
    }

    /// The name of the study.
    pub fn name(&self) -> &str {
        self.state.meta.as_ref().map_or("study", |m| m.name.as_str())
    }

    /// Where a trial stands among those with a value, 1 for the best; 0 without a value.
    pub fn standing(&self, trial: TrialId) -> f64 {
        self.standing.get(&trial).copied().unwrap_or(0.0)
    }

    /// The trials with a value, worst first, so that what matters is drawn last.
    pub fn ranked(&self) -> Vec<&'a TrialState> {
        let mut trials: Vec<&TrialState> = self.standing.keys().map(|id| &self.state.trials[id]).collect();
        trials.sort_by(|a, b| self.standing(a.id).total_cmp(&self.standing(b.id)));
        trials
    }

    /// Every searched key, the most important first, then by name.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.importance.iter().map(|i| i.key.clone()).collect();
        let mut others: Vec<&String> = self.state.trials.values().flat_map(|t| t.params.keys()).collect();
        others.sort();
        others.dedup();
        let others: Vec<String> = others.into_iter().filter(|k| !keys.contains(k)).cloned().collect();
        keys.extend(others);
        keys
    }

    /// The best trial.
    pub fn best(&self) -> Option<&'a TrialState> {
        self.state.best()
    }

    /// Of whom the best is to be better: the spec as written.
    pub fn baseline(&self) -> Option<&'a TrialState> {
        self.state.trials.get(&TrialId(0))
    }

    /// What a reader who points at a trial is told.
    pub fn tip(&self, trial: &TrialState) -> String {
        let mut lines = vec![format!("trial {}  {}", trial.id, trial.state.name())];
        if let (Some(value), Some(epoch)) = (trial.value, trial.best_epoch) {
            lines.push(format!("{} {value:.4} at epoch {epoch}", self.state.metric()));
        }
        let point = trial.params.iter().take(12);
        lines.extend(point.map(|(k, v)| format!("{} = {}", super::leaderboard::short(k), super::leaderboard::cell(v))));
        lines.join("\n")
    }

    /// Seconds that controllers spent on the study.
    pub fn elapsed(&self) -> f64 {
        self.state.elapsed(self.at)
    }

    /// `0.5 GPU hours`, as people read it.
    pub fn device_hours(&self) -> String {
        units::number((self.state.device_seconds(self.at) / 36.0).round() / 100.0)
    }
}
