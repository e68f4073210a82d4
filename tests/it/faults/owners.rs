//! Who owns a study, and what time and process ids mean: two controllers, a lock of a dead one, a clock that jumps, a pid
//! that now belongs to someone else.

use std::time::Duration;

use cliptune::base::process::ProcessRef;
use cliptune::journal::event::{Line, StudyEvent};
use cliptune::journal::layout::StudyDir;
use cliptune::journal::tail::Tail;
use cliptune::journal::writer::Writer;

use super::{controller_with, finish, quiet, shim, verify};
use crate::fake::{controller_process, study_events};

#[test]
fn two_controllers_one_works_and_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plan = "slow,trials=8";
    let mut both = [quiet(&mut controller_process(dir.path(), plan)), quiet(&mut controller_process(dir.path(), plan))];
    let mut codes = both.each_mut().map(|c| c.wait().unwrap().code());
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(7)]);
    verify(dir.path(), plan, "two controllers");
}

#[test]
fn lock_of_a_dead_controller_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let plan = "slow,trials=3";
    let mut first = quiet(&mut controller_process(dir.path(), plan));
    let lock = StudyDir::new(dir.path()).lock();
    while !lock.exists() {
        assert!(first.try_wait().unwrap().is_none(), "the controller ended before it had a lock");
        std::thread::sleep(Duration::from_millis(2));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(lock.exists());
    finish(dir.path(), plan);
    verify(dir.path(), plan, "a stale lock");
}

#[test]
fn clock_that_jumps_spends_no_budget_and_ends_nothing() {
    for seconds in [36_000_i64, -36_000] {
        let dir = tempfile::tempdir().unwrap();
        let clock = dir.path().join("clock");
        let plan = "slow,trials=6,budget=3600";
        let mut process = controller_with(dir.path(), plan, "");
        let mut controller = quiet(process.env("LD_PRELOAD", shim()).env("CLIPTUNE_CLOCK", &clock));
        std::thread::sleep(Duration::from_millis(120));
        std::fs::write(&clock, seconds.to_string()).unwrap();
        assert!(controller.wait().unwrap().success());
        verify(dir.path(), plan, &format!("the clock jumped by {seconds} s"));
        // Its own journal never goes back in time.
        let lines = Tail::new(StudyDir::new(dir.path()).journal()).read::<StudyEvent>().unwrap();
        assert!(lines.windows(2).all(|w| w[0].ts <= w[1].ts));
        let span = lines.last().unwrap().ts.duration_since(lines[0].ts).as_secs_f64();
        assert!(span < 3600.0, "{span} s");
    }
}

#[test]
fn pid_of_someone_else_is_left_alone_and_the_trial_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let plan = "slow,trials=2,slots=1,retries=9";
    let mut controller = quiet(&mut controller_process(dir.path(), plan));
    let study = StudyDir::new(dir.path());
    let worker = loop {
        let events = if study.exists() { study_events(dir.path()) } else { Vec::new() };
        let launched =
            |e: &StudyEvent| if let StudyEvent::JobLaunched { process, .. } = e { Some(*process) } else { None };
        if let Some(process) = events.iter().find_map(launched) {
            break process;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    controller.kill().unwrap();
    controller.wait().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(worker.pid).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    while worker.is_alive() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The journal as it would be if this very test process had got the worker's pid.
    let lines: Vec<Line<StudyEvent>> = Tail::new(study.journal()).read().unwrap();
    std::fs::remove_file(study.journal()).unwrap();
    let mut journal = Writer::open(&study.journal()).unwrap();
    for mut line in lines {
        if let StudyEvent::JobLaunched { process, .. } = &mut line.event {
            *process = ProcessRef { pid: std::process::id(), start_ticks: process.start_ticks };
        }
        journal.append(line.ts, line.event).unwrap();
    }
    drop(journal);
    finish(dir.path(), plan);
    verify(dir.path(), plan, "a reused pid");
}
