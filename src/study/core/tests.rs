//! The pure step played against fate: whatever happens to jobs, the invariants hold, and a step taken from a journal that was
//! read again is the same step.

use std::sync::Arc;

use super::*;
use crate::base::process::ProcessRef;
use crate::journal::event::{Line, Outcome, Params, PointOrigin, Slot, StudyEvent, TrialEnd};
use crate::journal::failure::{Failure, FailureKind};
use crate::search::algorithm::{self, Algorithm};
use crate::search::scheduler::{self, Scheduler, Settings};
use crate::search::space::Space;
use crate::study::source::SamplerPoints;
use proptest::prelude::*;
use world::World;

mod world;

fn slots(count: usize) -> Vec<Slot> {
    (0..count).map(|index| Slot { index, gpus: Vec::new(), threads: 1 }).collect()
}

fn stopped(commands: &[Command]) -> Vec<TrialId> {
    commands.iter().filter_map(|c| if let Command::StopJob { trial, .. } = c { Some(*trial) } else { None }).collect()
}

fn named(scheduler: &str) -> Arc<dyn Scheduler> {
    scheduler::by_name(scheduler, Settings::default()).unwrap_or_else(|p| panic!("{p}")).into()
}

const SCHEDULERS: [&str; 6] = ["none", "asha", "successive_halving", "hyperband", "median", "curve"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn step_never_books_a_slot_twice_nor_exceeds_the_plan(
        fates in prop::collection::vec(any::<u8>(), 0..200),
        (slots_count, max_concurrent, max_trials, scheduler, max_epochs) in
            (1_usize..5, 0_usize..6, 1_u32..16, 0_usize..6, 1_u32..12),
        time_budget in prop::option::of(1.0_f64..80.0),
        epoch_budget in prop::option::of(1_u64..60),
        patience in 0_usize..5,
        (top, seeds) in (0_usize..3, 1_usize..3),
        leave_at in prop::option::of(0_usize..40),
    ) {
        let plan = Plan {
            slots: slots(slots_count), max_concurrent, retries: 1, time_budget, epoch_budget, patience,
            scheduler: named(SCHEDULERS[scheduler]), confirm: Confirm { top, seeds }, ..Plan::default()
        };
        let mut world = World::new(max_trials, max_epochs, &*plan.scheduler);
        let mut fates = fates.into_iter().chain((0..).map(|i: u32| 100 + (i * 37 % 150) as u8));
        let mut left = false;
        for round in 0..3000 {
            let leaving = leave_at.is_some_and(|at| round >= at);
            let over = spent(&world.state, &plan, world.now).is_some_and(|s| s.hard);
            let commands = step(&world.state, &plan, world.now, leaving);
            prop_assert_eq!(&commands, &step(&world.replayed(world.journal.len()), &plan, world.now, leaving));
            let waits = commands.iter().all(|c| matches!(c, Command::StopJob { .. }));
            let stopped = stopped(&commands);
            for command in commands {
                match &command {
                    Command::Launch { .. } | Command::Suggest { .. } | Command::ExtendTrial { .. } => {
                        prop_assert!(!leaving && !over);
                    }
                    Command::Leave { .. } => left = true,
                    _ => {}
                }
                world.execute(command);
            }
            let trials = || world.state.trials.values();
            let active: Vec<&TrialState> = trials().filter(|t| t.state.is_active()).collect();
            let mut booked: Vec<usize> = active.iter().filter_map(|t| t.slot.as_ref().map(|s| s.index)).collect();
            booked.sort_unstable();
            booked.dedup();
            prop_assert_eq!(booked.len(), active.len());
            prop_assert!(max_concurrent == 0 || active.len() <= max_concurrent);
            let own = trials().filter(|t| t.repeats.is_none());
            prop_assert!(own.count() <= max_trials as usize);
            prop_assert!(trials().all(|t| t.epochs <= t.budget && t.budget <= max_epochs));
            prop_assert!(trials().all(|t| t.retries <= 1));
            if let Some(budget) = epoch_budget {
                prop_assert!(world.state.epochs() <= budget);
            }
            if left {
                prop_assert!(active.is_empty());
                break;
            }
            if waits {
                let fate = fates.next().unwrap_or(200);
                world.advance(fate, &stopped);
            }
        }
        prop_assert!(left, "the study neither ended nor was left");
        let is_free = time_budget.is_none() && epoch_budget.is_none() && patience == 0 && leave_at.is_none();
        if is_free {
            let trials = || world.state.trials.values();
            prop_assert_eq!(trials().filter(|t| t.repeats.is_none()).count(), max_trials as usize);
            prop_assert!(trials().all(|t| t.state.is_final()), "something still waits");
            let with_value = trials().filter(|t| t.repeats.is_none() && t.value.is_some()).count();
            prop_assert_eq!(trials().filter(|t| t.repeats.is_some()).count(), top.min(with_value) * seeds);
        }
    }
}

#[test]
fn stops_from_outside_that_bring_no_progress_are_bounded() {
    let mut world = World::new(1, 1, &scheduler::Full);
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
    let mut world = World::new(3, 1, &scheduler::Full);
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
    StudyEvent::CommandAccepted {
        id: world.state.next_seq.to_string(),
        command: serde_json::to_string(&command).unwrap(),
    }
}

/// Plays a study of `trials` with real samplers, and says what is suggested when.
fn play(sampler: &str, scheduler: &str) -> (World, Plan, Vec<(usize, TrialId, Params)>) {
    let settings = Settings::default();
    let wanted = algorithm::Plan { trials: 14, budget: algorithm::Budget::Trials, workers: 2, max_epochs: 9, settings };
    let found = Algorithm::by_name(sampler, scheduler, &wanted).unwrap_or_else(|p| panic!("{p}"));
    let plan = Plan { slots: slots(2), scheduler: found.scheduler.into(), ..Plan::default() };
    let space = Space::bundled("default").unwrap_or_else(|p| panic!("{p}"));
    let mut world = World::new(14, 9, &*plan.scheduler);
    world.points = Some(SamplerPoints { space, sampler: found.sampler, seed: 5 });
    let mut asked = Vec::new();
    for round in 0..2000_u32 {
        let commands = step(&world.state, &plan, world.now, false);
        let waits = commands.iter().all(|c| matches!(c, Command::StopJob { .. }));
        let stopped = stopped(&commands);
        for command in commands {
            if let Command::Leave { .. } = command {
                return (world, plan, asked);
            }
            let at = world.journal.len();
            let suggested = if let Command::Suggest { trial, .. } = command { Some(trial) } else { None };
            world.execute(command);
            asked.extend(suggested.map(|trial| (at, trial, world.state.trials[&trial].params.clone())));
        }
        if waits {
            world.advance((round * 89 % 256) as u8, &stopped);
        }
    }
    panic!("{sampler} with {scheduler} does not end");
}

/// Every algorithm, stopped before any of its suggestions and started from its journal, suggests the same.
#[test]
fn next_suggestion_from_the_journal_is_that_of_the_uninterrupted_run() {
    let mut pairs: Vec<(&str, &str)> = crate::search::sampler::TABLE.iter().map(|(name, _)| (*name, "asha")).collect();
    pairs.extend(SCHEDULERS.iter().filter(|s| **s != "asha").map(|s| ("random", *s)));
    for (sampler, scheduler) in pairs {
        let (world, plan, asked) = play(sampler, scheduler);
        assert!(asked.len() > 5, "{sampler} with {scheduler} asked for {} points only", asked.len());
        for (at, trial, params) in asked {
            let mut again = world.replayed(at);
            let what = format!("{sampler} with {scheduler}, trial {trial}");
            assert_eq!(world.suggestion(&again, trial), params, "{what}");
            // A controller that was started again takes the same step, too.
            let line = Line {
                v: 1,
                seq: again.next_seq,
                ts: world.now,
                event: StudyEvent::ControllerStarted {
                    process: ProcessRef { pid: 9, start_ticks: 9 },
                    host: String::new(),
                    version: String::new(),
                },
            };
            again.apply(&line);
            let commands = step(&again, &plan, world.now, false);
            let same = |c: &Command| matches!(c, Command::Suggest { trial: t, .. } if *t == trial);
            assert!(commands.iter().any(same), "{what}: {commands:?}");
        }
    }
}

#[test]
fn asha_pauses_at_rungs_extends_the_best_and_prunes_the_rest_at_the_end() {
    let plan = Plan { slots: slots(1), scheduler: named("asha"), ..Plan::default() };
    let mut world = World::new(9, 9, &*plan.scheduler);
    let mut left = false;
    for _ in 0..400 {
        let commands = step(&world.state, &plan, world.now, false);
        left |= commands.iter().any(|c| matches!(c, Command::Leave { .. }));
        if left {
            break;
        }
        let full = world.state.trials.values().filter(|t| t.state == TrialStatus::Completed).count();
        let goes_on = commands.contains(&Command::ExtendTrial { trial: TrialId(0), budget: 9 });
        assert!(full < 1 || goes_on || world.state.trials[&TrialId(0)].budget == 9, "{commands:?} before the baseline");
        assert!(!goes_on || full == 1, "the baseline first");
        let waits = commands.is_empty();
        commands.into_iter().for_each(|c| world.execute(c));
        let running = world.state.trials.values().find(|t| t.state.is_active()).map(|t| (t.id, t.epochs, t.attempt));
        if let Some((trial, epochs, attempt)) = running.filter(|_| waits) {
            // The nearer to trial 3, the better.
            let value = 0.9 - 0.1 * (f64::from(trial.0) - 3.0).abs() + 0.01 * f64::from(epochs);
            world.validated(trial, epochs + 1, value);
            if epochs + 1 == world.state.trials[&trial].budget {
                world.apply(StudyEvent::JobEnded {
                    trial,
                    attempt,
                    outcome: Outcome::Completed,
                    seconds: None,
                    stopped_at: None,
                });
            }
        }
    }
    assert!(left);
    let of = |id: u32| &world.state.trials[&TrialId(id)];
    assert_eq!(
        (of(0).state, of(0).epochs),
        (TrialStatus::Completed, 9),
        "the baseline trains in full, though it is among the worst"
    );
    assert_eq!((of(3).state, of(3).epochs), (TrialStatus::Completed, 9));
    assert_eq!((of(8).state, of(8).epochs), (TrialStatus::Pruned, 1));
    assert!(of(3).attempt > 1 && of(3).retries == 0, "it went on in steps, which are no retries");
    assert_eq!(world.state.best().unwrap().id, TrialId(3));
    let epochs: u64 = world.state.epochs();
    assert!(epochs < 9 * 9 / 2, "{epochs} epochs are no saving");
}

#[test]
fn budgets_end_the_study_and_say_which() {
    let ended = |plan: &Plan, gains: &[f64]| {
        let mut world = World::new(50, 2, &*plan.scheduler);
        for _ in 0..2000 {
            let commands = step(&world.state, plan, world.now, false);
            let waits = commands.iter().all(|c| matches!(c, Command::StopJob { .. }));
            let stopped = stopped(&commands);
            for command in commands {
                match command {
                    Command::EndStudy { reason } => return (reason, world),
                    Command::Suggest { trial, budget } => world.apply(StudyEvent::TrialSuggested {
                        trial,
                        params: Params::new(),
                        origin: PointOrigin::Sampler,
                        budget,
                        repeats: None,
                        expected_gain: gains.get(trial.0 as usize).copied(),
                    }),
                    command => world.execute(command),
                }
            }
            if waits {
                world.advance(150, &stopped);
            }
        }
        panic!("the study does not end");
    };
    let base = || Plan { slots: slots(1), ..Plan::default() };
    let (reason, world) = ended(&Plan { epoch_budget: Some(7), ..base() }, &[]);
    assert_eq!(reason, "7 epochs are used up (automl.epoch_budget)");
    assert_eq!(world.state.epochs(), 6, "a trial of two epochs does not fit into what is left");
    let (reason, world) = ended(&Plan { device_hours: Some(10.0 / 3600.0), ..base() }, &[]);
    assert!(reason.contains("automl.gpu_hours"), "{reason}");
    assert!(world.state.trials.values().all(|t| t.state.is_final()));
    let (reason, world) = ended(&Plan { patience: 4, ..base() }, &[]);
    assert_eq!(reason, "4 trials brought no improvement (automl.patience)");
    assert_eq!(world.state.trials.len(), 5);
    let gains = [0.5, 0.4, 0.001, 0.2, 0.001, 0.002, 0.001];
    let (reason, world) = ended(&Plan { min_gain: Some(0.01), ..base() }, &gains);
    assert_eq!(reason, "the next points promise 0.002 at most (automl.min_gain is 0.01)");
    assert_eq!(world.state.trials.len(), 7);
}

#[test]
fn confirmation_trains_the_best_again_before_the_study_ends() {
    let plan = Plan { slots: slots(2), confirm: Confirm { top: 2, seeds: 2 }, ..Plan::default() };
    let mut world = World::new(4, 1, &*plan.scheduler);
    let mut ended = false;
    for _ in 0..200 {
        let commands = step(&world.state, &plan, world.now, false);
        ended |= commands.iter().any(|c| matches!(c, Command::EndStudy { .. }));
        if ended {
            break;
        }
        let waits = commands.is_empty();
        commands.into_iter().for_each(|c| world.execute(c));
        let running = world.state.trials.values().find(|t| t.state.is_active()).cloned();
        if let Some(trial) = running.filter(|_| waits) {
            // Trial 3 looks best, and its repeats show that it is not.
            let value = match trial.repeats {
                None => 0.5 + 0.1 * f64::from(trial.id.0),
                Some(TrialId(3)) => 0.3,
                Some(_) => 0.6,
            };
            world.validated(trial.id, 1, value);
            world.apply(StudyEvent::JobEnded {
                trial: trial.id,
                attempt: 1,
                outcome: Outcome::Completed,
                seconds: None,
                stopped_at: None,
            });
        }
    }
    assert!(ended);
    let of: Vec<Option<u32>> = world.state.trials.values().map(|t| t.repeats.map(|r| r.0)).collect();
    assert_eq!(of, [None, None, None, None, Some(3), Some(3), Some(2), Some(2)]);
    assert_eq!(world.state.best().unwrap().id, TrialId(2));
}
