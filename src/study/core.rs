//! What the controller does next: a pure function of the state, the plan and the time. No clock, no file, no process.
//!
//! Invariants: a slot is never given to two trials; never more than `max_trials` trials are suggested by the sampler;
//! a trial whose job ended gets exactly one decision; nothing is launched while the controller is on its way out.

use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::event::{Outcome, Slot, TrialEnd};
use crate::journal::failure::{Failure, Policy};
use crate::state::{Intent, StudyState, TrialState, TrialStatus, rank_compare};

/// The limits of a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What trials may occupy.
    pub slots: Vec<Slot>,
    /// Trials side by side; 0 means one a slot.
    pub max_concurrent: usize,
    /// Failed trials that end the study, counted from the start of this controller; 0 means no limit.
    pub max_failures: usize,
    /// Further attempts of a trial that failed through no fault of its own.
    pub retries: u32,
    /// Finished trials in a row without a new best that end the study; 0 means no limit.
    pub patience: usize,
    /// Seconds that controllers may spend on the study.
    pub time_budget: Option<f64>,
    /// Whether the best trial is promoted at the end.
    pub promote: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Ask a worker to write a checkpoint and end. Given again until it has.
    StopJob {
        /// The trial.
        trial: TrialId,
        /// Why.
        why: String,
    },
    /// Give a trial its final state.
    EndTrial {
        /// The trial.
        trial: TrialId,
        /// The state.
        end: TrialEnd,
        /// Why it failed.
        failure: Option<Failure>,
    },
    /// Put a trial back into the queue.
    QueueTrial {
        /// The trial.
        trial: TrialId,
        /// Why.
        why: String,
    },
    /// Set a trial aside.
    PauseTrial {
        /// The trial.
        trial: TrialId,
    },
    /// Ask the sampler for the point of this new trial; trial 0 is the baseline.
    Suggest {
        /// The trial.
        trial: TrialId,
    },
    /// Start a worker.
    Launch {
        /// The trial.
        trial: TrialId,
        /// Counts from 1.
        attempt: u32,
        /// What it occupies.
        slot: Slot,
    },
    /// Promote a trial; nothing else runs.
    Promote {
        /// The trial.
        trial: TrialId,
    },
    /// Nothing is left to do.
    EndStudy {
        /// Why.
        reason: String,
    },
    /// Leave the study to a later controller.
    Leave {
        /// Why.
        reason: String,
    },
}

/// Why no more work is started although the study is not done.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// A signal or a command asked for it.
    Asked,
    /// Every trial would fail in this way.
    Failure(TrialId, Failure),
    /// More trials failed than allowed.
    TooManyFailures(usize),
}

/// The commands that the present calls for; empty means to wait.
pub fn step(state: &StudyState, plan: &Plan, now: Timestamp, leaving: bool) -> Vec<Command> {
    let over = is_over_time(state, plan, now);
    let decisions: Vec<Command> = state.trials.values().filter_map(|t| settle(t, plan, over)).collect();
    if !decisions.is_empty() {
        return decisions;
    }
    let halt = halt(state, plan, leaving);
    let mut commands = stop_jobs(state, halt.as_ref(), over);
    let active = state.trials.values().filter(|t| t.state.is_active()).count();
    if let Some(halt) = halt {
        if active == 0 {
            commands.push(Command::Leave { reason: reason(&halt) });
        }
        return commands;
    }
    let exhausted = over.then(|| "the time budget is used up".to_owned()).or_else(|| out_of_patience(state, plan));
    if !over && !state.paused {
        commands.extend(start(state, plan, exhausted.is_some()));
    }
    if commands.is_empty() && active == 0 {
        commands.extend(finish(state, plan, over, exhausted));
    }
    commands
}

/// Why the study does not go on, if it does not.
pub fn halt(state: &StudyState, plan: &Plan, leaving: bool) -> Option<Halt> {
    if leaving || state.stop_wanted {
        return Some(Halt::Asked);
    }
    let since = state.controller.as_ref().map(|c| c.started);
    let failed = || {
        state.trials.values().filter(move |t| t.state == TrialStatus::Failed && t.finished >= since).filter_map(|t| {
            let failure = t.failure.as_ref()?;
            Some((t.id, failure))
        })
    };
    if let Some((trial, failure)) = failed().find(|(_, f)| f.kind.policy() == Policy::StopStudy) {
        return Some(Halt::Failure(trial, failure.clone()));
    }
    let count = failed().count();
    (plan.max_failures > 0 && count >= plan.max_failures).then_some(Halt::TooManyFailures(count))
}

fn reason(halt: &Halt) -> String {
    match halt {
        Halt::Asked => "asked to stop".to_owned(),
        Halt::Failure(trial, failure) => format!("trial {trial}: {failure}"),
        Halt::TooManyFailures(count) => format!("{count} trials failed (automl.max_failures)"),
    }
}

fn is_over_time(state: &StudyState, plan: &Plan, now: Timestamp) -> bool {
    plan.time_budget.is_some_and(|budget| state.elapsed(now) >= budget)
}

/// What becomes of a trial whose job ended, or of one that waits and was asked to go.
fn settle(trial: &TrialState, plan: &Plan, over: bool) -> Option<Command> {
    let id = trial.id;
    let end = |end, failure| Some(Command::EndTrial { trial: id, end, failure });
    if !trial.state.is_active() {
        return match (trial.state, trial.intent) {
            (TrialStatus::Queued | TrialStatus::Paused, Some(Intent::Cancel)) => end(TrialEnd::Cancelled, None),
            (TrialStatus::Queued, Some(Intent::Pause)) => Some(Command::PauseTrial { trial: id }),
            _ => None,
        };
    }
    match trial.ended.as_ref()? {
        Outcome::Completed => end(TrialEnd::Completed, None),
        Outcome::Stopped { why } => match trial.intent {
            Some(Intent::Cancel) => end(TrialEnd::Cancelled, None),
            Some(Intent::Pause) => Some(Command::PauseTrial { trial: id }),
            None if over && trial.value.is_some() => end(TrialEnd::Pruned, None),
            None if over => end(TrialEnd::Cancelled, None),
            None => Some(Command::QueueTrial { trial: id, why: why.clone() }),
        },
        Outcome::Failed { failure } => match failure.kind.policy() {
            Policy::Retry if trial.intent == Some(Intent::Cancel) => end(TrialEnd::Cancelled, None),
            Policy::Retry if trial.retries < plan.retries && !over => Some(Command::QueueTrial {
                trial: id,
                why: format!("retry {} of {}: {failure}", trial.retries + 1, plan.retries),
            }),
            _ => end(TrialEnd::Failed, Some(failure.clone())),
        },
    }
}

fn stop_jobs(state: &StudyState, halt: Option<&Halt>, over: bool) -> Vec<Command> {
    state
        .trials
        .values()
        .filter(|t| t.state.is_active())
        .filter_map(|t| {
            let why = match (t.intent, halt) {
                (Some(Intent::Cancel), _) => "stopped by the user".to_owned(),
                (Some(Intent::Pause), _) => "paused by the user".to_owned(),
                (None, Some(halt)) => reason(halt),
                (None, None) if over => "the time budget is used up".to_owned(),
                (None, None) => return None,
            };
            Some(Command::StopJob { trial: t.id, why })
        })
        .collect()
}

/// Waiting trials onto free slots; a new trial only when none waits. One suggestion at a time: the next one should see it.
fn start(state: &StudyState, plan: &Plan, exhausted: bool) -> Vec<Command> {
    let active: Vec<&TrialState> = state.trials.values().filter(|t| t.state.is_active()).collect();
    let limit = if plan.max_concurrent == 0 { plan.slots.len() } else { plan.max_concurrent };
    let taken = |slot: &Slot| active.iter().any(|t| t.slot.as_ref().is_some_and(|s| s.index == slot.index));
    let mut free = plan.slots.iter().filter(|s| !taken(s)).take(limit.saturating_sub(active.len()));
    let mut commands = Vec::new();
    for trial in state.trials.values().filter(|t| t.state == TrialStatus::Queued) {
        let Some(slot) = free.next() else { return commands };
        commands.push(Command::Launch { trial: trial.id, attempt: trial.attempt + 1, slot: slot.clone() });
    }
    let next = next_trial(state);
    let wants_more = !exhausted && next.0 < max_trials(state);
    if commands.is_empty() && free.next().is_some() && (wants_more || !state.enqueued.is_empty()) {
        commands.push(Command::Suggest { trial: next });
    }
    commands
}

fn finish(state: &StudyState, plan: &Plan, over: bool, exhausted: Option<String>) -> Option<Command> {
    let has_queued = state.trials.values().any(|t| t.state == TrialStatus::Queued);
    let all_suggested = next_trial(state).0 >= max_trials(state) && state.enqueued.is_empty();
    if !over && (has_queued || !(all_suggested || exhausted.is_some())) {
        // Held back by a pause of the study.
        return None;
    }
    if let Some(trial) = promotion(state, plan) {
        return Some(Command::Promote { trial });
    }
    if state.ended.is_some() {
        return Some(Command::Leave { reason: "done".to_owned() });
    }
    let paused = state.trials.values().filter(|t| t.state == TrialStatus::Paused).count();
    let mut reason = exhausted.unwrap_or_else(|| "all trials are done".to_owned());
    if paused > 0 {
        reason.push_str(&format!("; {} paused", crate::base::units::plural(paused, "trial")));
    }
    Some(Command::EndStudy { reason })
}

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

fn next_trial(state: &StudyState) -> TrialId {
    TrialId(state.trials.keys().next_back().map_or(0, |id| id.0 + 1))
}

fn max_trials(state: &StudyState) -> u32 {
    state.meta.as_ref().map_or(0, |m| m.max_trials)
}

/// Set when the last `patience` finished trials brought no new best.
fn out_of_patience(state: &StudyState, plan: &Plan) -> Option<String> {
    if plan.patience == 0 {
        return None;
    }
    let mut finished: Vec<&TrialState> = state
        .trials
        .values()
        .filter(|t| matches!(t.state, TrialStatus::Completed | TrialStatus::Pruned | TrialStatus::Failed))
        .collect();
    finished.sort_by_key(|t| (t.finished, t.id));
    let mut best = None;
    let mut without = 0;
    for trial in finished {
        if rank_compare(trial.value, best, state.direction()).is_lt() {
            best = trial.value;
            without = 0;
        } else {
            without += 1;
        }
    }
    (without >= plan.patience).then(|| format!("{without} trials brought no improvement (automl.patience)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::ProcessRef;
    use crate::journal::event::{Direction, JobEvent, Line, Metrics, Params, PointOrigin, StudyEvent};
    use crate::journal::failure::FailureKind;
    use proptest::prelude::*;

    /// A study without files: commands become events at once, and a list of numbers plays fate.
    struct World {
        state: StudyState,
        now: Timestamp,
        seq: u64,
    }

    impl World {
        fn new(max_trials: u32) -> Self {
            let mut world = Self { state: StudyState::new(), now: Timestamp::UNIX_EPOCH, seq: 0 };
            world.apply(StudyEvent::StudyCreated {
                name: String::new(),
                spec_hash: String::new(),
                seed: 0,
                sampler: String::new(),
                metric: "m".to_owned(),
                direction: Direction::Maximize,
                max_trials,
                max_epochs: 1,
                fixed: Params::new(),
            });
            let process = ProcessRef { pid: 1, start_ticks: 1 };
            world.apply(StudyEvent::ControllerStarted { process, host: String::new(), version: String::new() });
            world
        }

        fn apply(&mut self, event: StudyEvent) {
            self.now += jiff::SignedDuration::from_secs(1);
            self.state.apply(&Line { v: 1, seq: self.seq, ts: self.now, event });
            self.seq += 1;
        }

        fn execute(&mut self, command: Command) {
            match command {
                Command::EndTrial { trial, end, failure } => {
                    let value = self.state.trials[&trial].value;
                    let event =
                        StudyEvent::TrialEnded { trial, state: end, value, best_epoch: None, epochs: 1, failure };
                    self.apply(event);
                }
                Command::QueueTrial { trial, why } => self.apply(StudyEvent::TrialQueued { trial, why }),
                Command::PauseTrial { trial } => self.apply(StudyEvent::TrialPaused { trial }),
                Command::Suggest { trial } => self.apply(StudyEvent::TrialSuggested {
                    trial,
                    params: Params::new(),
                    origin: PointOrigin::Sampler,
                    budget: 1,
                }),
                Command::Launch { trial, attempt, slot } => {
                    let process = ProcessRef { pid: 2, start_ticks: 2 };
                    self.apply(StudyEvent::JobLaunched { trial, attempt, process, slot });
                }
                Command::EndStudy { reason } => self.apply(StudyEvent::StudyEnded { reason }),
                Command::StopJob { .. } | Command::Promote { .. } | Command::Leave { .. } => {}
            }
        }

        /// One of the running jobs ends, in the way that `fate` says.
        fn end_a_job(&mut self, fate: u8, stopped: &[TrialId]) {
            let running: Vec<TrialId> =
                self.state.trials.values().filter(|t| t.state.is_active()).map(|t| t.id).collect();
            let Some(&trial) = running.get(usize::from(fate) % running.len().max(1)) else { return };
            let attempt = self.state.trials[&trial].attempt;
            let failed = |kind| Outcome::Failed { failure: Failure::new(kind, "") };
            let outcome = match fate / 32 {
                _ if stopped.contains(&trial) => Outcome::Stopped { why: String::new() },
                0 => failed(FailureKind::Killed),
                1 => failed(FailureKind::NonFiniteLoss),
                _ => {
                    let metrics = Metrics::from([("m".to_owned(), Some(f64::from(fate)))]);
                    let event = JobEvent::Validated { epoch: 1, step: 1, metrics, seconds: 0.0 };
                    self.state.apply_job(trial, &Line { v: 1, seq: 0, ts: self.now, event });
                    Outcome::Completed
                }
            };
            self.apply(StudyEvent::JobEnded { trial, attempt, outcome });
        }
    }

    proptest! {
        #[test]
        fn step_never_books_a_slot_twice_nor_exceeds_the_plan(
            fates in prop::collection::vec(any::<u8>(), 0..60),
            slots in 1_usize..5,
            max_concurrent in 0_usize..6,
            max_trials in 1_u32..12,
            time_budget in prop::option::of(1.0_f64..80.0),
            patience in 0_usize..5,
            leave_at in prop::option::of(0_usize..40),
        ) {
            let plan = Plan {
                slots: (0..slots).map(|index| Slot { index, gpus: Vec::new(), threads: 1 }).collect(),
                max_concurrent, retries: 1, time_budget, patience, ..Plan::default()
            };
            let mut world = World::new(max_trials);
            let mut fates = fates.into_iter().chain(std::iter::repeat(200));
            let mut left = false;
            for round in 0..400 {
                let leaving = leave_at.is_some_and(|at| round >= at);
                let over = is_over_time(&world.state, &plan, world.now);
                let mut stopped = Vec::new();
                let commands = step(&world.state, &plan, world.now, leaving);
                let waits = commands.iter().all(|c| matches!(c, Command::StopJob { .. }));
                for command in commands {
                    match &command {
                        Command::Launch { .. } | Command::Suggest { .. } => prop_assert!(!leaving && !over),
                        Command::StopJob { trial, .. } => stopped.push(*trial),
                        Command::Leave { .. } => left = true,
                        _ => {}
                    }
                    world.execute(command);
                }
                let active: Vec<&TrialState> = world.state.trials.values().filter(|t| t.state.is_active()).collect();
                let mut booked: Vec<usize> = active.iter().filter_map(|t| t.slot.as_ref().map(|s| s.index)).collect();
                booked.sort_unstable();
                booked.dedup();
                prop_assert_eq!(booked.len(), active.len());
                prop_assert!(max_concurrent == 0 || active.len() <= max_concurrent);
                prop_assert!(world.state.trials.len() <= max_trials as usize);
                prop_assert!(world.state.trials.values().all(|t| t.attempt <= 2 || leaving || over));
                if left {
                    prop_assert!(active.is_empty());
                    break;
                }
                if waits {
                    let fate = fates.next().unwrap_or(200);
                    world.end_a_job(fate, &stopped);
                }
            }
            prop_assert!(left, "the study neither ended nor was left");
            if leave_at.is_none() && time_budget.is_none() && patience == 0 {
                prop_assert_eq!(world.state.trials.len(), max_trials as usize);
                prop_assert!(world.state.trials.values().all(|t| t.state.is_final()));
            }
        }
    }
}
