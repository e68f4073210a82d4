//! Kills: at chosen writes and at random moments, of the controller, of workers, of both.

use std::path::Path;
use std::time::Duration;

use cliptune::base::process::ProcessRef;
use cliptune::base::seed;
use cliptune::journal::layout::StudyDir;
use cliptune::state::load;

use super::{controller_with, finish, quiet, verify};

/// A stream of numbers below `n` each.
struct Dice(u64, u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.1 += 1;
        seed::child(self.0, &self.1.to_string()) % n
    }
}

/// Writes of the controller and of workers at which a process dies.
const PLACES: [&str; 8] = [
    "write study.jsonl {} torn",
    "write index.sled {} torn",
    "sync index.sled {} kill",
    "rename state.json {} kill",
    "write events.jsonl {} torn",
    "write model.safetensors {} torn",
    "write meta.json {} torn",
    "rename job.json {} kill",
];

fn kill(process: ProcessRef) {
    if process.is_alive() {
        let pid = rustix::process::Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Runs a study through so many kills, then to its end. Returns how many really took place.
fn disturbed(dir: &Path, plan: &str, seed: u64, kills: u64) -> u64 {
    let mut dice = Dice(seed, 0);
    let mut done = 0;
    for _ in 0..kills {
        let place = PLACES[usize::try_from(dice.roll(PLACES.len() as u64)).unwrap()];
        let faults = match dice.roll(2) {
            0 => place.replace("{}", &(1 + dice.roll(6)).to_string()),
            _ => String::new(),
        };
        let mut controller = quiet(&mut controller_with(dir, plan, &faults));
        std::thread::sleep(Duration::from_millis(20 + dice.roll(150)));
        let target = dice.roll(3);
        if target != 0 {
            // A journal that is being written may be read at any time.
            let state = load(&StudyDir::new(dir)).unwrap();
            let workers = state.trials.values().filter(|t| t.state.is_active()).filter_map(|t| t.process);
            let workers: Vec<ProcessRef> = workers.filter(|p| p.pid != 0).collect();
            if let Some(worker) = workers.get(usize::try_from(dice.roll(workers.len().max(1) as u64)).unwrap()) {
                kill(*worker);
                done += 1;
            }
        }
        if target != 1 {
            controller.kill().unwrap();
            done += 1;
        }
        if target == 1 {
            std::thread::sleep(Duration::from_millis(dice.roll(60)));
            controller.kill().unwrap();
        }
        controller.wait().unwrap();
    }
    finish(dir, plan);
    done
}

#[test]
fn kill_at_any_write_loses_and_repeats_nothing() {
    let plan = "trials=3,retries=99";
    for (place, nth) in PLACES.iter().zip([5, 3, 2, 1, 5, 2, 2, 2]) {
        let dir = tempfile::tempdir().unwrap();
        let faults = place.replace("{}", &nth.to_string());
        let status = controller_with(dir.path(), plan, &faults).status().unwrap();
        // Faults that only workers meet leave the controller alive.
        let is_workers = ["events", "model", "meta"].iter().any(|p| place.contains(p));
        assert_eq!(status.success(), is_workers, "{faults}: {status}");
        finish(dir.path(), plan);
        verify(dir.path(), plan, &faults);
    }
}

#[test]
fn kills_at_random_lose_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plan = "slow,trials=8,slots=3,retries=99";
    disturbed(dir.path(), plan, 1, 8);
    verify(dir.path(), plan, "seed 1");
}

#[test]
#[ignore = "200 kills take minutes: make soak"]
fn kills_two_hundred_at_random_lose_and_repeat_nothing() {
    let mut kills = 0;
    for seed in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let plan = "slow,trials=12,slots=3,retries=999";
        kills += disturbed(dir.path(), plan, seed, 25);
        verify(dir.path(), plan, &format!("seed {seed}"));
        if kills >= 200 {
            break;
        }
    }
}
