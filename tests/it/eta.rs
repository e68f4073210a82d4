//! Whether a study says right how long it still takes: whole studies played by the controller's own step and the real
//! schedulers, with simulated time.

use cliptune::base::estimate::Estimate;
use cliptune::base::ids::TrialId;
use cliptune::base::process::ProcessRef;
use cliptune::base::time::{Timestamp, seconds_between};
use cliptune::journal::event::{Direction, JobEvent, Line, Metrics, Outcome, Params, PointOrigin, StudyEvent};
use cliptune::journal::failure::{Failure, FailureKind};
use cliptune::search::scheduler::{self, Settings};
use cliptune::state::StudyState;
use cliptune::study::core::{Command, Plan, step};
use cliptune::study::eta;
use rand::Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::fake::slots;

const ME: ProcessRef = ProcessRef { pid: 1, start_ticks: 1 };

/// What is simulated.
#[derive(Clone, Copy, Debug)]
struct Case {
    trials: u32,
    epochs: u32,
    workers: usize,
    scheduler: &'static str,
    /// Share of trials that fail in their first epoch.
    failing: f64,
}

/// A study whose time passes when the next of its trials ends an epoch.
struct Simulation {
    case: Case,
    state: StudyState,
    now: Timestamp,
    random: rand_chacha::ChaCha8Rng,
    /// Of each running trial: when its epoch ends.
    next: std::collections::BTreeMap<TrialId, Timestamp>,
    /// Of each trial: seconds of an epoch, and how good it can get.
    nature: std::collections::BTreeMap<TrialId, (f64, f64)>,
    /// What was said, and when.
    said: Vec<(Timestamp, Estimate)>,
    /// From when on it is asked, once.
    asked: Option<Timestamp>,
}

fn after(time: Timestamp, seconds: f64) -> Timestamp {
    time + jiff::SignedDuration::from_secs_f64(seconds)
}

impl Simulation {
    fn new(case: Case, seed: u64) -> Self {
        let random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let (next, nature) = Default::default();
        let now = Timestamp::UNIX_EPOCH;
        Self { case, state: StudyState::new(), now, random, next, nature, said: Vec::new(), asked: None }
    }

    /// A number of [0, 1).
    fn unit(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn apply(&mut self, event: StudyEvent) {
        let line = Line { v: 1, seq: self.state.next_seq, ts: self.now, event };
        self.state.apply(&line);
    }

    fn job(&mut self, trial: TrialId, event: JobEvent) {
        self.state.apply_job(trial, &Line { v: 1, seq: 0, ts: self.now, event });
    }

    /// Plays the study; when it ended.
    fn run(&mut self) -> Timestamp {
        let case = self.case;
        let scheduler = scheduler::by_name(case.scheduler, Settings::default()).unwrap_or_else(|p| panic!("{p}"));
        self.apply(StudyEvent::StudyCreated {
            name: String::new(),
            spec_hash: String::new(),
            seed: 0,
            sampler: String::new(),
            metric: "m".to_owned(),
            direction: Direction::Maximize,
            max_trials: case.trials,
            max_epochs: case.epochs,
            fixed: Params::new(),
            scheduler: scheduler.name().to_owned(),
            rungs: scheduler.rungs(case.epochs),
            objectives: Vec::new(),
        });
        self.apply(StudyEvent::ControllerStarted { process: ME, host: String::new(), version: String::new() });
        let plan = Plan { slots: slots(case.workers), scheduler: scheduler.into(), ..Plan::default() };
        loop {
            let commands = step(&self.state, &plan, self.now, false);
            let waits = commands.is_empty();
            for command in commands {
                if self.execute(command) {
                    return self.now;
                }
            }
            if waits {
                if self.asked.is_some_and(|from| self.now >= from && self.said.is_empty()) {
                    self.said.extend(eta::remaining(&self.state, self.now).map(|eta| (self.now, eta)));
                }
                self.pass();
            }
        }
    }

    /// Carries a command out; true when it is the last one.
    fn execute(&mut self, command: Command) -> bool {
        match command {
            Command::EndTrial { trial, end, failure } => {
                let t = &self.state.trials[&trial];
                let (value, best_epoch, epochs) = (t.value, t.best_epoch, t.epochs);
                self.apply(StudyEvent::TrialEnded { trial, state: end, value, best_epoch, epochs, failure });
            }
            Command::PauseTrial { trial, at_rung } => self.apply(StudyEvent::TrialPaused { trial, at_rung }),
            Command::ExtendTrial { trial, budget } => self.apply(StudyEvent::TrialExtended { trial, budget }),
            Command::GiveUpTrial { trial, why } => self.apply(StudyEvent::TrialGivenUp { trial, why }),
            Command::Suggest { trial, budget } => {
                let params = Params::new();
                let origin = PointOrigin::Sampler;
                let repeats = None;
                self.apply(StudyEvent::TrialSuggested { trial, params, origin, budget, repeats, expected_gain: None });
            }
            Command::Launch { trial, attempt, slot } => {
                self.apply(StudyEvent::JobLaunched { trial, attempt, process: ME, slot, batch: None });
                let resumed_from = Some(self.state.trials[&trial].epochs);
                self.job(
                    trial,
                    JobEvent::JobStarted {
                        process: ME,
                        host: String::new(),
                        attempt,
                        device: String::new(),
                        threads: 1,
                        resumed_from,
                        resumed_step: None,
                    },
                );
                // Batch sizes and frozen towers make trials quicker or slower, starts cost something.
                let nature = (40.0 + 40.0 * self.unit(), self.unit());
                let pace = self.nature.entry(trial).or_insert(nature).0;
                self.next.insert(trial, after(self.now, 5.0 + pace));
            }
            Command::StopJob { trial, .. } => self.end(trial, Outcome::Stopped { why: String::new() }),
            Command::EndStudy { .. } | Command::Leave { .. } => return true,
            other => panic!("not simulated: {other:?}"),
        }
        false
    }

    fn end(&mut self, trial: TrialId, outcome: Outcome) {
        self.next.remove(&trial);
        let attempt = self.state.trials[&trial].attempt;
        self.apply(StudyEvent::JobEnded { trial, attempt, outcome, seconds: None, stopped_at: None });
    }

    /// The next epoch ends.
    fn pass(&mut self) {
        let (&trial, &at) = self.next.iter().min_by_key(|(_, at)| **at).expect("something runs");
        self.now = at;
        let (pace, quality) = self.nature[&trial];
        let (epoch, budget) = (self.state.trials[&trial].epochs + 1, self.state.trials[&trial].budget);
        if epoch == 1 && trial.0 > 0 && self.unit() < self.case.failing {
            let failure = Failure::new(FailureKind::NonFiniteLoss, "");
            return self.end(trial, Outcome::Failed { failure });
        }
        let value = quality * (1.0 - (-f64::from(epoch) / 3.0).exp()) + 0.02 * self.unit();
        let ended = JobEvent::EpochEnded {
            epoch,
            step: 0,
            loss: Some(1.0),
            vision_lr: 0.0,
            text_lr: 0.0,
            images_per_s: 1.0,
            data_wait_share: None,
            seconds: pace,
        };
        self.job(trial, ended);
        let metrics = Metrics::from([("m".to_owned(), Some(value))]);
        self.job(trial, JobEvent::Validated { epoch, step: 0, metrics, intervals: Default::default(), seconds: 0.0 });
        if epoch == budget {
            self.end(trial, Outcome::Completed);
        } else {
            let seconds = pace * (0.9 + 0.2 * self.unit());
            self.next.insert(trial, after(self.now, seconds));
        }
    }
}

/// What the study said a quarter after its start, and what was left then.
fn foretold(case: Case, seed: u64) -> (Estimate, f64) {
    let end = Simulation::new(case, seed).run();
    let quarter = after(Timestamp::UNIX_EPOCH, seconds_between(Timestamp::UNIX_EPOCH, end) / 4.0);
    // Once more, since only now it is known when to ask.
    let mut simulation = Simulation { asked: Some(quarter), ..Simulation::new(case, seed) };
    simulation.run();
    let (at, said) = simulation.said[0];
    (said, seconds_between(at, end))
}

/// Three quarters of the means are right within `most` of what is left, and all of them together are not wrong in one
/// direction. Three quarters of what is shown is right: a figure within a fifth, or a range that holds what is left. More
/// cannot be asked: how quick the other trials are, and which of them fail, is chance.
fn assert_right_within(most: f64, studies: u64, case: Case) {
    let all: Vec<(Estimate, f64)> = (0..studies).map(|seed| foretold(case, seed)).collect();
    let error = |(said, left): &(Estimate, f64)| (said.mean - left) / left;
    let shown: Vec<String> = all.iter().map(|a| format!("{:+.0} %", 100.0 * error(a))).collect();
    let mean = all.iter().map(error).sum::<f64>() / all.len() as f64;
    let right = all.iter().filter(|a| error(a).abs() <= most).count();
    assert!(4 * right >= 3 * all.len() && mean.abs() <= 0.1, "{case:?}: {right}, {}", shown.join(", "));
    let holds = |a: &&(Estimate, f64)| match a.0.is_certain() {
        true => error(a).abs() <= 0.2,
        false => (a.0.low..=a.0.high).contains(&a.1),
    };
    let held = all.iter().filter(holds).count();
    assert!(4 * held >= 3 * all.len(), "{case:?}: {held} of {} hold what they say", all.len());
    // A range that says nothing holds everything.
    let width = all.iter().map(|(said, left)| (said.high - said.low) / left).sum::<f64>() / all.len() as f64;
    assert!(width <= 0.75, "{case:?}: ranges as wide as {width} of what is left");
}

fn assert_right(case: Case) {
    assert_right_within(0.2, 24, case);
}

const CASE: Case = Case { trials: 40, epochs: 9, workers: 1, scheduler: "none", failing: 0.0 };

#[test]
fn estimate_of_full_trials_side_by_side_is_right_after_a_quarter() {
    for workers in [1, 2, 4, 8] {
        assert_right(Case { workers, ..CASE });
    }
    assert_right(Case { trials: 24, workers: 3, ..CASE });
}

#[test]
fn estimate_with_failures_is_right_after_a_quarter() {
    assert_right(Case { trials: 80, workers: 2, failing: 0.2, ..CASE });
}

#[test]
fn estimate_is_right_after_a_quarter_when_trials_are_given_up_early() {
    for workers in [1, 4] {
        assert_right(Case { trials: 240, workers, scheduler: "median", ..CASE });
    }
}

/// Of 80 trials seven or eight have begun after a quarter of the time, six of which no rule could stop yet: what share of the others
/// beats them is not in the data. Simulated in Python (120 studies), an oracle that knows the rule, the pace and the curves, but of
/// those trials only their order, is right within a fifth in 77 % of studies with one worker and 78 % with four: nine of twelve would
/// be a coin's toss even for it. One that also knows how good they are among all is, in 93 % and 95 %. So a range is shown there.
#[test]
fn estimate_of_a_short_study_whose_trials_are_given_up_early_is_right_within_a_third() {
    for workers in [1, 4] {
        assert_right_within(1.0 / 3.0, 36, Case { trials: 80, workers, scheduler: "median", ..CASE });
    }
}

#[test]
fn estimate_is_right_after_a_quarter_when_trials_wait_at_rungs() {
    for scheduler in ["asha", "successive_halving", "hyperband"] {
        for workers in [1, 4] {
            assert_right(Case { trials: 80, workers, scheduler, ..CASE });
        }
    }
}

#[test]
fn nothing_is_said_before_anything_is_known() {
    let mut simulation = Simulation::new(CASE, 0);
    assert_eq!(eta::remaining(&simulation.state, Timestamp::UNIX_EPOCH), None);
    let end = simulation.run();
    // And at the end nothing is left.
    assert_eq!(eta::remaining(&simulation.state, end), Some(Estimate { mean: 0.0, low: 0.0, high: 0.0 }));
}
