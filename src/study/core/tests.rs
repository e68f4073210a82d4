//! The pure step played against fate: whatever happens to jobs, the invariants hold.

use super::*;
use crate::base::process::ProcessRef;
use crate::journal::event::{Direction, JobEvent, Line, Metrics, Outcome, Params, PointOrigin, StudyEvent, TrialEnd};
use crate::journal::failure::{Failure, FailureKind};
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
            scheduler: "none".to_owned(),
            rungs: Vec::new(),
            objectives: Vec::new(),
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
                let event = StudyEvent::TrialEnded { trial, state: end, value, best_epoch: None, epochs: 1, failure };
                self.apply(event);
            }
            Command::ShrinkTrial { trial, failure } => {
                let values = Params::from([("batch".to_owned(), 1.into())]);
                self.apply(StudyEvent::TrialAdjusted { trial, values, why: failure.message });
            }
            Command::QueueTrial { trial, why } => self.apply(StudyEvent::TrialQueued { trial, why }),
            Command::PauseTrial { trial } => self.apply(StudyEvent::TrialPaused { trial, at_rung: false }),
            Command::Suggest { trial } => self.apply(StudyEvent::TrialSuggested {
                trial,
                params: Params::new(),
                origin: PointOrigin::Sampler,
                budget: 1,
                repeats: None,
                expected_gain: None,
            }),
            Command::Launch { trial, attempt, slot } => {
                let process = ProcessRef { pid: 2, start_ticks: 2 };
                self.apply(StudyEvent::JobLaunched { trial, attempt, process, slot, batch: None });
            }
            Command::EndStudy { reason } => self.apply(StudyEvent::StudyEnded { reason }),
            Command::StopJob { .. } | Command::Promote { .. } | Command::Leave { .. } => {}
        }
    }

    /// One of the running jobs ends, in the way that `fate` says.
    fn end_a_job(&mut self, fate: u8, stopped: &[TrialId]) {
        let running: Vec<TrialId> = self.state.trials.values().filter(|t| t.state.is_active()).map(|t| t.id).collect();
        let Some(&trial) = running.get(usize::from(fate) % running.len().max(1)) else { return };
        let attempt = self.state.trials[&trial].attempt;
        let failed = |kind| Outcome::Failed { failure: Failure::new(kind, "") };
        let outcome = match fate / 32 {
            _ if stopped.contains(&trial) => Outcome::Stopped { why: String::new() },
            0 => failed(FailureKind::Killed),
            1 => failed(FailureKind::NonFiniteLoss),
            2 => failed(FailureKind::OutOfMemory),
            _ => {
                let metrics = Metrics::from([("m".to_owned(), Some(f64::from(fate)))]);
                let event =
                    JobEvent::Validated { epoch: 1, step: 1, metrics, intervals: Default::default(), seconds: 0.0 };
                self.state.apply_job(trial, &Line { v: 1, seq: 0, ts: self.now, event });
                Outcome::Completed
            }
        };
        self.apply(StudyEvent::JobEnded { trial, attempt, outcome, seconds: None, stopped_at: None });
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
            prop_assert!(world.state.trials.values().all(|t| t.attempt <= 3 || leaving || over));
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

#[test]
fn stops_from_outside_that_bring_no_progress_are_bounded() {
    let mut world = World::new(1);
    let slot = Slot { index: 0, gpus: Vec::new(), threads: 1 };
    let plan = Plan { slots: vec![slot], ..Plan::default() };
    // Progress in the first two attempts, none in the three after them.
    for (attempt, step_reached) in [(1, 10), (2, 20), (3, 20), (4, 20), (5, 20)] {
        while !world.state.trials.values().any(|t| t.state.is_active() && t.ended.is_none()) {
            for command in step(&world.state, &plan, world.now, false) {
                world.execute(command);
            }
        }
        let outcome = Outcome::Stopped { why: "SIGUSR1".to_owned() };
        let (trial, stopped_at) = (TrialId(0), Some(step_reached));
        world.apply(StudyEvent::JobEnded { trial, attempt, outcome, seconds: None, stopped_at });
    }
    let commands = step(&world.state, &plan, world.now, false);
    match commands.as_slice() {
        [Command::EndTrial { end: TrialEnd::Failed, failure: Some(failure), .. }] => {
            assert_eq!(failure.kind, FailureKind::TimeLimit);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn waiting_trials_start_together_by_priority_and_rather_on_another_gpu_after_a_failure() {
    let mut world = World::new(3);
    let slot = |index, gpu| Slot { index, gpus: vec![gpu], threads: 1 };
    let mut plan = Plan { slots: vec![slot(0, 0), slot(1, 1)], retries: 1, ..Plan::default() };
    let launched = |commands: &[Command]| -> Vec<(u32, u32)> {
        commands
            .iter()
            .filter_map(
                |c| if let Command::Launch { trial, slot, .. } = c { Some((trial.0, slot.gpus[0])) } else { None },
            )
            .collect()
    };
    for _ in 0..2 {
        for command in step(&world.state, &plan, world.now, false) {
            world.execute(command);
        }
    }
    assert_eq!(launched(&step(&world.state, &plan, world.now, false)), [(0, 0), (1, 1)], "both in one go");
    // GPU 0 is used by somebody else now.
    plan.busy = vec![0];
    assert_eq!(launched(&step(&world.state, &plan, world.now, false)), [(0, 1)]);
    plan.busy.clear();
    let prefer = spool_command(&world, 1, 7);
    world.apply(prefer);
    assert_eq!(launched(&step(&world.state, &plan, world.now, false)), [(1, 0), (0, 1)]);
    for command in step(&world.state, &plan, world.now, false) {
        world.execute(command);
    }
    let outcome = Outcome::Failed { failure: Failure::new(FailureKind::Infrastructure, "the GPU fell off the bus") };
    let (trial, attempt) = (TrialId(1), 1);
    world.apply(StudyEvent::JobEnded { trial, attempt, outcome, seconds: None, stopped_at: None });
    let outcome = Outcome::Stopped { why: String::new() };
    let trial = TrialId(0);
    world.apply(StudyEvent::JobEnded { trial, attempt, outcome, seconds: None, stopped_at: None });
    for command in step(&world.state, &plan, world.now, false) {
        world.execute(command);
    }
    assert_eq!(launched(&step(&world.state, &plan, world.now, false)), [(1, 1), (0, 0)], "elsewhere than before");
}

fn spool_command(world: &World, trial: u32, priority: i32) -> StudyEvent {
    let command = crate::journal::spool::Command::Prioritise { trial: TrialId(trial), priority };
    StudyEvent::CommandAccepted { id: world.seq.to_string(), command: serde_json::to_string(&command).unwrap() }
}
