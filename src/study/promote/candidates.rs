//! What might be promoted instead of the best checkpoint as it is: mixtures that a `select` job makes and measures. And what
//! is not promoted without being asked twice: a model that is worse than the baseline.

use std::path::Path;

use crate::base::ids::TrialId;
use crate::journal::checkpoint;
use crate::journal::event::Outcome;
use crate::journal::job::Action;
use crate::journal::layout::CheckpointDir;
use crate::journal::selection::{self, Ingredient, Offer, Selection};
use crate::state::winner;
use crate::study::controller::Controller;

use super::{SELECTION, Step, copy, copy_checkpoint};

impl Controller<'_> {
    /// Measures candidates and puts the best of them into the staging folder.
    pub(super) fn step_candidates(&mut self, trial: TrialId, staging: &Path) -> Step {
        let _ = std::fs::remove_file(staging.join(SELECTION));
        let measured = match self.select(trial, staging) {
            Ok(Some(selection)) => Ok(selection),
            Ok(None) => return Step::Interrupted,
            Err(why) => Err(why),
        };
        if let Some(why) = self.refusal(trial, measured.as_ref().map_or(0.0, Selection::gain)) {
            return Step::Failed(why);
        }
        match measured {
            // The best checkpoint is in its place already; comparing it with others is no condition.
            Err(why) => Step::Skipped(why),
            Ok(selection) => Step::Done(told(&selection)),
        }
    }

    /// Runs the job; `None` when the controller has to leave.
    fn select(&mut self, trial: TrialId, staging: &Path) -> Result<Option<Selection>, String> {
        if self.config.candidates == 0 {
            return Err("automl.promote_candidates is empty: the best checkpoint as it is".to_owned());
        }
        if winner::has_several_objectives(&self.state) {
            return Err("several objectives: the trial that was chosen as it is".to_owned());
        }
        let offer = self.offer(trial)?;
        let dir = self.config.dir.promotion_job(Action::Select.name());
        let params = self.state.trials.get(&trial).map(|t| self.values(t)).unwrap_or_default();
        let spec = self.config.specs.trial(&params, dir.path());
        match self.run_job(trial, Action::Select, spec, Some(&offer)).map_err(|e| e.to_string())? {
            Some(Outcome::Completed) => {}
            Some(Outcome::Failed { failure }) => {
                return Err(format!("not compared: {failure} ({})", failure.kind.code()));
            }
            Some(Outcome::Stopped { .. }) | None => return Ok(None),
        }
        let taken = || -> std::io::Result<Selection> {
            let selection: Selection = selection::read(&dir.selection())?;
            if selection.is_mixture() {
                let mixture = CheckpointDir(dir.mixture());
                checkpoint::verify(&mixture).map_err(std::io::Error::other)?;
                copy_checkpoint(&mixture, staging)?;
            }
            copy(&dir.selection(), &staging.join(SELECTION))?;
            Ok(selection)
        };
        taken().map(Some).map_err(|e| e.to_string())
    }

    /// The checkpoint to promote, and those of the trials that come after it on the leaderboard.
    fn offer(&mut self, trial: TrialId) -> Result<Offer, String> {
        let ingredient = |trial: TrialId, checkpoint: std::path::PathBuf| Ingredient {
            trial,
            sha256: checkpoint::weights_hash(&CheckpointDir(checkpoint.clone())),
            checkpoint,
        };
        let missing = || format!("trial {trial} has no checkpoint on disk");
        let best = ingredient(trial, self.checkpoint(trial).ok_or_else(missing)?);
        let mut further = Vec::new();
        for id in self.state.leaderboard() {
            if further.len() + 1 >= self.config.candidates {
                break;
            }
            let measured = self.state.trials.get(&id).is_some_and(|t| t.value.is_some_and(f64::is_finite));
            let Some(folder) = self.checkpoint(id).filter(|_| measured && id != trial) else { continue };
            match checkpoint::verify(&CheckpointDir(folder.clone())) {
                Ok(_) => further.push(ingredient(id, folder)),
                Err(why) => self.observer.note(&format!("trial {id} is left out of the candidates: {why}")),
            }
        }
        Ok(Offer { best, further })
    }

    /// Why a trial is not promoted without `--force`: even at the good end of what is known of both, it stands below the
    /// baseline. `gain` is what a mixture adds to it.
    fn refusal(&self, trial: TrialId, gain: f64) -> Option<String> {
        let (state, direction) = (&self.state, self.state.direction());
        if self.config.force || state.promotion_forced || state.best().is_some_and(|best| best.id == trial) {
            return None;
        }
        let (baseline, found) = (state.baseline()?, state.trials.get(&trial)?);
        let value = found.value? + gain;
        let is_worse = direction.is_better(baseline.value?, value)
            && direction.is_better(winner::bound(baseline, direction)?, winner::bound(found, direction)? + gain);
        is_worse.then(|| {
            format!(
                "refused: {} {value:.4} is worse than the baseline's {:.4}; `cliptune promote STUDY {trial} --force` promotes it all the same",
                state.metric(),
                baseline.value.unwrap_or(f64::NAN)
            )
        })
    }
}

/// The outcome in one line.
fn told(selection: &Selection) -> String {
    let metric = &selection.metric;
    let shown = |value: Option<f64>| value.map_or("not finite".to_owned(), |v| format!("{v:.4}"));
    let (best, count) = (selection.candidates.first(), selection.candidates.len());
    let value = |c: Option<&selection::Candidate>| shown(c.and_then(|c| c.value(metric)));
    match selection.chosen().filter(|_| selection.is_mixture()) {
        Some(chosen) => {
            let (now, before) = (value(Some(chosen)), value(best));
            format!("{}: {metric} {now} instead of {before}, the best of {count}", chosen.name)
        }
        None if count < 2 => format!("the best checkpoint as it is: {}", selection.notes.join("; ")),
        None => format!("the best checkpoint as it is, {metric} {}: none of {} is better", value(best), count - 1),
    }
}
