//! The real binary in a real terminal (tmux) on a study that runs.

use std::process::Command;
use std::time::{Duration, Instant};

use cliptune::base::ids::TrialId;
use cliptune::state::TrialStatus;

use crate::fake::real::RealStudy;

/// A terminal that a test types into and reads.
struct Tmux {
    socket: String,
}

impl Tmux {
    /// A session that runs `command` (a line for the shell) in a terminal of 110×30.
    fn start(name: &str, command: &str) -> Self {
        let tmux = Self { socket: format!("cliptune-{name}-{}", std::process::id()) };
        let made = tmux.run(&["new-session", "-d", "-x", "110", "-y", "30", command]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        tmux
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        let mut tmux = Command::new("tmux");
        tmux.args(["-f", "/dev/null", "-L", &self.socket]).args(arguments).env("LC_ALL", "C.UTF-8");
        tmux.env("TERM", "screen-256color").output().unwrap()
    }

    fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        String::from_utf8(self.run(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// Waits until the screen shows a text; panics with the screen when that takes half a minute.
    fn wait(&self, text: &str) {
        let start = Instant::now();
        while !self.screen().contains(text) {
            assert!(start.elapsed() < Duration::from_secs(30), "no {text:?} on\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
#[ignore = "needs tmux (apt-get install tmux)"]
fn live_study_is_watched_steered_and_left() {
    let study = RealStudy::new("held@0,pace=20,trials=3", &["max_trials: 3", "max_concurrent: 1"], &[]);
    let controller = study.train(&[]);
    study.wait("running", |s| s.trials.get(&TrialId(0)).is_some_and(|t| t.epochs > 0));
    let binary = env!("CARGO_BIN_EXE_cliptune");
    let command = format!("{binary} tui {}; echo left with $?; exec sh", study.path().display());
    let tmux = Tmux::start("live", &command);
    tmux.wait("● live");
    tmux.wait("1 running");
    tmux.press(&["T"]);
    tmux.wait("Stop trial 0000 for good?");
    tmux.press(&["y"]);
    tmux.wait("asked to stop trial 0000");
    study.wait("stopped", |s| s.trials.get(&TrialId(0)).is_some_and(|t| t.state == TrialStatus::Cancelled));
    tmux.run(&["resize-window", "-x", "80", "-y", "24"]);
    tmux.press(&["4"]);
    tmux.wait("4 GPUs");
    tmux.press(&["?"]);
    tmux.wait("Keys and commands");
    tmux.press(&["Escape"]);
    tmux.wait("✔ finished");
    tmux.press(&["C-z"]);
    tmux.press(&["q"]);
    tmux.wait("left with 0");
    assert!(!tmux.screen().contains("4 GPUs"), "the screen from before is back:\n{}", tmux.screen());
    assert_eq!(controller.wait(), Some(0));
}

#[test]
#[ignore = "needs tmux (apt-get install tmux)"]
fn train_with_tui_starts_a_controller_that_stays() {
    let study = RealStudy::new("pace=300,trials=2", &["max_trials: 2", "max_concurrent: 1"], &[]);
    let binary = env!("CARGO_BIN_EXE_cliptune");
    let root = study.path().parent().unwrap().to_owned();
    let command = format!(
        "cd {} && CLIPTUNE_TEST_WORKER=pace=300 {binary} train -e spec.yaml --results-dir study --tui; echo left with $?; exec sh",
        root.display()
    );
    let tmux = Tmux::start("train", &command);
    tmux.wait("● live");
    tmux.press(&["q"]);
    tmux.wait("left with 0");
    tmux.wait("the study goes on");
    study.wait("ended", |s| s.ended.is_some());
}

#[test]
#[ignore = "needs tmux (apt-get install tmux)"]
fn terminal_that_goes_away_takes_the_screen_with_it() {
    let study = RealStudy::new("ok", &["max_trials: 1"], &[]);
    assert_eq!(study.train(&[]).wait(), Some(0));
    let binary = env!("CARGO_BIN_EXE_cliptune");
    let tmux = Tmux::start("gone", &format!("exec {binary} tui {}", study.path().display()));
    tmux.wait("✔ finished");
    let pid = String::from_utf8(tmux.run(&["display-message", "-p", "#{pane_pid}"]).stdout).unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(process.exists(), "{pid:?}");
    drop(tmux);
    let start = Instant::now();
    while process.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "the screen's process outlived its terminal");
        std::thread::sleep(Duration::from_millis(50));
    }
}
