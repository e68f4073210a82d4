//! The fold of a study's events: the same lines in the same order always give the same state.

use super::{Controller, GPU_SAMPLES, PromotionState, PromotionStep, StudyMeta, StudyState};
use crate::base::ids::TrialId;
use crate::base::time::{Timestamp, seconds_between};
use crate::journal::event::{JobEvent, Line, Outcome, PointOrigin, StudyEvent, TrialEnd};
use crate::journal::spool;
use crate::state::trial::{Intent, TrialState, TrialStatus};

impl StudyState {
    /// Folds one line of `study.jsonl` into the state.
    pub fn apply(&mut self, line: &Line<StudyEvent>) {
        let ts = line.ts;
        self.next_seq = line.seq + 1;
        let before = self.last_event.replace(ts).unwrap_or(ts);
        match &line.event {
            StudyEvent::StudyCreated {
                name,
                spec_hash,
                seed,
                sampler,
                metric,
                direction,
                max_trials,
                max_epochs,
                fixed,
                scheduler,
                rungs,
                objectives,
            } => {
                self.meta = Some(StudyMeta {
                    name: name.clone(),
                    spec_hash: spec_hash.clone(),
                    seed: *seed,
                    sampler: sampler.clone(),
                    metric: metric.clone(),
                    direction: *direction,
                    max_trials: *max_trials,
                    max_epochs: *max_epochs,
                    fixed: fixed.clone(),
                    scheduler: scheduler.clone(),
                    rungs: rungs.clone(),
                    objectives: objectives.clone(),
                    created: ts,
                });
            }
            StudyEvent::ControllerStarted { process, host, version } => {
                if let Some(old) = &self.controller {
                    // A controller that was killed left no event: it is known to have lived until its last one.
                    let end = old.stopped.as_ref().map_or(before, |(ts, _)| *ts);
                    self.earlier_seconds += seconds_between(old.started, end).max(0.0);
                }
                self.controller = Some(Controller {
                    process: *process,
                    host: host.clone(),
                    version: version.clone(),
                    started: ts,
                    stopped: None,
                });
                self.ended = None;
                self.stop_wanted = false;
            }
            StudyEvent::ControllerStopped { reason } => {
                if let Some(controller) = &mut self.controller {
                    controller.stopped = Some((ts, reason.clone()));
                }
            }
            StudyEvent::TrialSuggested { trial, params, origin, budget, repeats, expected_gain } => {
                if *origin == PointOrigin::Enqueued {
                    self.enqueued.pop_front();
                }
                self.trials.entry(*trial).or_insert_with(|| TrialState {
                    repeats: *repeats,
                    expected_gain: *expected_gain,
                    ..TrialState::new(*trial, params.clone(), *origin, *budget, ts)
                });
            }
            StudyEvent::GpusSampled { gpus } => {
                for sample in gpus {
                    let load = self.gpu_load.entry(sample.index).or_default();
                    if load.len() == GPU_SAMPLES {
                        load.pop_front();
                    }
                    load.push_back((ts, sample.utilisation));
                    self.gpus.insert(sample.index, sample.clone());
                }
            }
            StudyEvent::StudyPaused => self.paused = true,
            StudyEvent::StudyResumed => self.paused = false,
            StudyEvent::StudyHeld { why } => self.held = Some(why.clone()),
            StudyEvent::StudyReleased => self.held = None,
            StudyEvent::TrialsAdded { max_trials } => {
                if let Some(meta) = &mut self.meta {
                    meta.max_trials = *max_trials;
                }
                self.ended = None;
            }
            StudyEvent::Promotion { trial, step, status, detail } => {
                self.promotion_step(*trial, step, status, detail, ts);
            }
            StudyEvent::CommandAccepted { id, command } => {
                self.answered.insert(id.clone());
                if let Ok(command) = serde_json::from_str(command) {
                    self.wish(&command);
                }
            }
            StudyEvent::CommandRejected { id, .. } => {
                self.answered.insert(id.clone());
            }
            StudyEvent::StudyEnded { reason } => self.ended = Some(reason.clone()),
            StudyEvent::JobLaunched { trial, .. }
            | StudyEvent::JobEnded { trial, .. }
            | StudyEvent::TrialEnded { trial, .. }
            | StudyEvent::TrialPaused { trial, .. }
            | StudyEvent::TrialExtended { trial, .. }
            | StudyEvent::TrialGivenUp { trial, .. }
            | StudyEvent::TrialQueued { trial, .. }
            | StudyEvent::TrialAdjusted { trial, .. }
            | StudyEvent::CheckpointDeleted { trial, .. } => {
                if let Some(trial) = self.trials.get_mut(trial) {
                    apply_to_trial(trial, &line.event, ts);
                }
            }
        }
    }

    /// Folds one line of a trial's `events.jsonl` into the state; a trial that is not known is ignored.
    pub fn apply_job(&mut self, trial: TrialId, line: &Line<JobEvent>) {
        let Some(meta) = &self.meta else { return };
        if let Some(trial) = self.trials.get_mut(&trial) {
            trial.apply_job(line, &meta.metric, meta.direction);
        }
    }

    /// Keeps what a command asks for until it has happened, so that it survives the controller that accepted it.
    fn wish(&mut self, command: &spool::Command) {
        match command {
            spool::Command::Stop => self.stop_wanted = true,
            spool::Command::Promote { trial, force } => {
                (self.promotion_wanted, self.promotion_forced) = (Some(*trial), *force);
            }
            spool::Command::StopTrial { trial } | spool::Command::KillTrial { trial } => {
                self.intend(*trial, Some(Intent::Cancel));
            }
            spool::Command::PauseTrial { trial } => self.intend(*trial, Some(Intent::Pause)),
            spool::Command::ResumeTrial { trial } | spool::Command::Retry { trial } => self.intend(*trial, None),
            spool::Command::Prioritise { trial, priority } => {
                if let Some(trial) = self.trials.get_mut(trial) {
                    trial.priority = *priority;
                }
            }
            spool::Command::AddTrials { count } => {
                if let Some(meta) = &mut self.meta {
                    meta.max_trials = meta.max_trials.saturating_add(*count);
                }
                self.ended = None;
            }
            spool::Command::Enqueue { params } => {
                self.enqueued.push_back(params.clone());
                self.ended = None;
            }
            spool::Command::Pause | spool::Command::Resume | spool::Command::RollBack { .. } => {}
        }
    }

    fn intend(&mut self, trial: TrialId, intent: Option<Intent>) {
        if let Some(trial) = self.trials.get_mut(&trial) {
            trial.intent = intent;
        }
    }

    fn promotion_step(&mut self, trial: TrialId, step: &str, status: &str, detail: &str, ts: Timestamp) {
        // Another trial, or the first step anew, begins another promotion.
        let is_new = match &self.promotion {
            Some(p) => p.trial != trial || (step == "checkpoint" && status == "started"),
            None => true,
        };
        if is_new {
            self.promotion_wanted = None;
            self.promotion = Some(PromotionState { trial, steps: Vec::new() });
        }
        let Some(promotion) = &mut self.promotion else { return };
        if promotion_is_over(step, status) {
            self.promotion_forced = false;
        }
        let now = PromotionStep { step: step.to_owned(), status: status.to_owned(), detail: detail.to_owned(), ts };
        match promotion.steps.iter_mut().find(|s| s.step == step) {
            Some(old) => *old = now,
            None => promotion.steps.push(now),
        }
    }
}

/// Whether this is the last word of a promotion; an engine that cannot be built does not end it.
fn promotion_is_over(step: &str, status: &str) -> bool {
    (step == "manifest" && status == "done") || (step != "engine" && status == "failed")
}

fn apply_to_trial(trial: &mut TrialState, event: &StudyEvent, ts: Timestamp) {
    match event {
        StudyEvent::JobLaunched { attempt, process, slot, batch, .. } => {
            trial.launched(*attempt, *process, slot.clone(), batch.clone(), ts);
        }
        StudyEvent::JobEnded { attempt, outcome, seconds, stopped_at, .. } => {
            trial.job_ended(*attempt, outcome.clone(), *seconds, *stopped_at, ts);
        }
        StudyEvent::TrialAdjusted { values, .. } => trial.adjust(values),
        StudyEvent::TrialEnded { state, value, best_epoch, epochs, failure, .. } => {
            trial.state = (*state).into();
            trial.value = if *state == TrialEnd::Failed { None } else { *value };
            trial.best_epoch = if *state == TrialEnd::Failed { None } else { *best_epoch };
            trial.epochs = *epochs;
            trial.failure = failure.clone();
            trial.finished = Some(ts);
            trial.launched = None;
            trial.intent = None;
        }
        StudyEvent::TrialPaused { at_rung, .. } => {
            trial.state = TrialStatus::Paused;
            trial.at_rung = *at_rung;
            trial.intent = None;
        }
        StudyEvent::TrialExtended { budget, .. } => {
            trial.state = TrialStatus::Queued;
            trial.budget = *budget;
            trial.at_rung = false;
        }
        StudyEvent::TrialGivenUp { why, .. } => trial.given_up = Some(why.clone()),
        StudyEvent::TrialQueued { .. } => {
            if let Some(Outcome::Failed { .. }) = &trial.ended {
                // A user's retry of a failed trial starts counting anew.
                trial.retries = if trial.state.is_final() { 0 } else { trial.retries + 1 };
            }
            trial.state = TrialStatus::Queued;
            trial.failure = None;
            trial.finished = None;
        }
        StudyEvent::CheckpointDeleted { path, bytes, .. } => trial.deleted_by_controller(path, *bytes),
        _ => {}
    }
}
