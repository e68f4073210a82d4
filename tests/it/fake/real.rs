//! The real binary as the controller, with pretended work: what a user's commands do, in seconds.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cliptune::journal::layout::StudyDir;
use cliptune::state::{StudyState, load};

use super::WORKER;

/// A folder with a spec whose workers are [`super::worker`].
pub(crate) struct RealStudy {
    root: tempfile::TempDir,
    plan: String,
    variables: Vec<(String, String)>,
}

impl RealStudy {
    /// `plan` is what the workers do; the other two are lines of `automl` and of `automl.launcher`.
    pub(crate) fn new(plan: &str, automl: &[&str], launcher: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let lines =
            |lines: &[&str], indent: &str| -> String { lines.iter().map(|line| format!("{indent}{line}\n")).collect() };
        let spec = format!(
            "dataset:\n  train:\n    batch_size: 8\n    datasets: [{{image_dir: a}}]\n  val:\n    datasets: [{{image_dir: b}}]\n\
             train:\n  num_epochs: 3\n\
             automl:\n  algorithm: random\n  promote: false\n{}\
             \x20 launcher:\n    worker: [\"{}\", \"--exact\", \"fake::worker\", \"--nocapture\"]\n{}",
            lines(automl, "  "),
            std::env::current_exe().unwrap().display(),
            lines(launcher, "    "),
        );
        std::fs::write(root.path().join("spec.yaml"), spec).unwrap();
        Self { root, plan: plan.to_owned(), variables: Vec::new() }
    }

    /// Sets a variable for every command.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("study")
    }

    pub(crate) fn dir(&self) -> StudyDir {
        StudyDir::new(self.path())
    }

    pub(crate) fn state(&self) -> StudyState {
        load(&self.dir()).unwrap()
    }

    /// A command of the binary about this study, not yet started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cliptune"));
        command.args(args).current_dir(self.root.path()).env(WORKER, &self.plan).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(k, v)| (k, v)));
        command
    }

    /// `cliptune train` in the background; what it says goes to `controller.log` beside the study.
    pub(crate) fn train(&self, more: &[&str]) -> Running {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.command(&["train", "-e", "spec.yaml", "--results-dir", "study"]);
        command.args(more).stderr(log.try_clone().unwrap()).stdout(log);
        Running(command.spawn().unwrap())
    }

    fn log(&self) -> PathBuf {
        self.root.path().join("controller.log")
    }

    /// What controllers have said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// `cliptune COMMAND STUDY …` to its end.
    pub(crate) fn run(&self, command: &str, more: &[&str]) -> Output {
        let mut process = self.command(&[command, "study"]);
        process.args(more).output().unwrap()
    }

    /// Waits until the study is as asked; panics with what the controller said when that takes a minute.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&StudyState) -> bool) -> StudyState {
        let start = Instant::now();
        loop {
            let state = self.state();
            if is_so(&state) {
                return state;
            }
            if start.elapsed() > Duration::from_secs(60) {
                let trials: Vec<_> =
                    state.trials.values().map(|t| (t.id, t.state, t.attempt, t.ended.clone())).collect();
                panic!("not {what} after a minute: {trials:?}\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A controller that runs.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its exit code; `None` when a signal ended it.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
