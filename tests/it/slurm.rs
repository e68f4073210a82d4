//! Studies on a real SLURM cluster of two nodes, which `tests/slurm/cluster.sh` starts on this machine. The launcher, the
//! binary and SLURM are real; the work is pretended.

use std::path::PathBuf;
use std::process::Command;

use cliptune::journal::event::{JobEvent, Outcome};
use cliptune::journal::failure::FailureKind;
use cliptune::journal::tail::Tail;
use cliptune::state::TrialStatus;

use crate::fake::real::RealStudy;
use crate::fake::states;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slurm/cluster.sh");

struct Cluster(tempfile::TempDir);

impl Cluster {
    fn start() -> Self {
        // Sockets have short names.
        let cluster = Self(tempfile::Builder::new().prefix("sl").tempdir_in("/tmp").unwrap());
        cluster.script("start", &[]);
        cluster
    }

    fn script(&self, action: &str, more: &[&str]) {
        let output = Command::new(SCRIPT).arg(action).arg(self.0.path()).args(more).output().unwrap();
        assert!(output.status.success(), "{action}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("slurm.conf")
    }

    fn tool(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).env("SLURM_CONF", self.config()).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn study(&self, plan: &str, trials: &str, more: &[&str]) -> RealStudy {
        let launcher = ["type: slurm", "cpus: 1", "poll: 0.2s"];
        let launcher: Vec<&str> = launcher.into_iter().chain(more.iter().copied()).collect();
        self.with_config(RealStudy::new(plan, &["max_concurrent: 2", trials], &launcher))
    }

    fn with_config(&self, study: RealStudy) -> RealStudy {
        study.with("SLURM_CONF", self.config().to_str().unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script("stop", &[]);
    }
}

/// The machines of a trial's attempts, as its workers named them.
fn hosts(study: &RealStudy, id: u32) -> Vec<String> {
    let journal = study.dir().trial(cliptune::base::ids::TrialId(id)).events();
    let lines = Tail::new(journal).read::<JobEvent>().unwrap();
    lines
        .into_iter()
        .filter_map(|l| if let JobEvent::JobStarted { host, .. } = l.event { Some(host) } else { None })
        .collect()
}

/// Every epoch of every trial was trained once.
fn assert_nothing_twice(study: &RealStudy) {
    for id in study.state().trials.keys() {
        let lines = Tail::new(study.dir().trial(*id).events()).read::<JobEvent>().unwrap();
        let epochs: Vec<u32> = lines
            .iter()
            .filter_map(|l| if let JobEvent::EpochEnded { epoch, .. } = l.event { Some(epoch) } else { None })
            .collect();
        assert_eq!(epochs, [1, 2, 3], "trial {id}");
    }
}

#[test]
#[ignore = "needs SLURM: tests/slurm/cluster.sh install"]
fn a_sweep_spreads_over_both_nodes_and_survives_its_controller() {
    let cluster = Cluster::start();
    let study = cluster.study("pace=300", "max_trials: 6", &[]);
    let controller = study.train(&[]);
    study.wait("running", |s| s.trials.values().filter(|t| t.state == TrialStatus::Running).count() == 2);
    controller.signal(rustix::process::Signal::KILL);
    assert_eq!(controller.wait(), None);
    assert_eq!(study.train(&["--resume"]).wait(), Some(0), "{}", study.said());
    let state = study.state();
    assert_eq!(states(&state), [TrialStatus::Completed; 6]);
    assert!(state.trials.values().all(|t| t.attempt == 1 && t.batch.is_some()), "no trial was started twice");
    assert_nothing_twice(&study);
    let mut used: Vec<String> = (0..6).flat_map(|id| hosts(&study, id)).collect();
    used.sort();
    used.dedup();
    assert_eq!(used, ["n1", "n2"]);
    // The first two were one array, the others came one by one.
    assert!(state.trials.values().next().unwrap().batch.as_deref().unwrap().ends_with("_0"));
}

#[test]
#[ignore = "needs SLURM: tests/slurm/cluster.sh install"]
fn a_node_that_goes_down_costs_an_attempt_and_its_trial_goes_on_elsewhere() {
    let cluster = Cluster::start();
    let study = cluster.study("pace=700", "max_trials: 2", &["requeue: false"]);
    let controller = study.train(&[]);
    study.wait("trained for an epoch", |s| s.trials.len() == 2 && s.trials.values().all(|t| t.epochs >= 1));
    let victim = (0..2).find(|id| hosts(&study, *id) == ["n1"]).unwrap();
    cluster.script("node-down", &["n1"]);
    assert_eq!(controller.wait(), Some(0), "{}", study.said());
    let state = study.state();
    assert_eq!(states(&state), [TrialStatus::Completed; 2]);
    assert_eq!(hosts(&study, victim), ["n1", "n2"]);
    assert_nothing_twice(&study);
}

#[test]
#[ignore = "needs SLURM: tests/slurm/cluster.sh install"]
fn a_trial_longer_than_the_time_limit_goes_on_in_another_job() {
    let cluster = Cluster::start();
    // SLURM looks at time limits twice a minute.
    let study = cluster.study("pace=14000", "max_trials: 1", &["time: 1m", "signal_before: 57s"]);
    assert_eq!(study.train(&[]).wait(), Some(0), "{}", study.said());
    let state = study.state();
    assert_eq!(states(&state), [TrialStatus::Completed]);
    assert!(state.trials.values().all(|t| t.attempt > 1 && t.retries == 0));
    assert_nothing_twice(&study);
}

#[test]
#[ignore = "needs SLURM: tests/slurm/cluster.sh install"]
fn scancel_from_outside_is_a_kill_and_room_for_others_is_none() {
    let cluster = Cluster::start();
    let study = cluster.study("pace=1000", "max_trials: 2", &[]);
    let controller = study.train(&[]);
    let state = study.wait("trained for an epoch", |s| s.trials.len() == 2 && s.trials.values().all(|t| t.epochs >= 1));
    // At once, so that the worker has no time to write a last word.
    cluster.tool(
        "scancel",
        &["--signal=KILL", "--batch", state.trials.values().next().unwrap().batch.as_deref().unwrap()],
    );
    study.wait("started again", |s| s.trials.values().next().is_some_and(|t| t.attempt == 2 && t.epochs >= 1));
    // Somebody more important needs both nodes for a while.
    let script = "#!/bin/sh\nsleep 1\n";
    let file = study.path().join("urgent.sh");
    std::fs::write(&file, script).unwrap();
    let urgent = ["--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", file.to_str().unwrap()];
    cluster.tool("sbatch", &urgent);
    assert_eq!(controller.wait(), Some(0), "{}", study.said());
    let state = study.state();
    assert_eq!(states(&state), [TrialStatus::Completed; 2]);
    assert_nothing_twice(&study);
    let lines = study_failures(&study);
    assert_eq!(lines, [FailureKind::Killed], "making room is no failure");
}

#[test]
#[ignore = "needs SLURM: tests/slurm/cluster.sh install"]
fn a_cluster_that_does_not_answer_is_waited_for() {
    let cluster = Cluster::start();
    let study = cluster.study("pace=300", "max_trials: 2", &[]);
    cluster.script("silence", &[]);
    let controller = study.train(&[]);
    study.wait("asked in vain", |_| study.said().contains("nothing is started for"));
    cluster.script("speak", &[]);
    study.wait("running", |s| s.trials.values().any(|t| t.epochs >= 1));
    cluster.script("silence", &[]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    cluster.script("speak", &[]);
    assert_eq!(controller.wait(), Some(0), "{}", study.said());
    assert_eq!(states(&study.state()), [TrialStatus::Completed; 2]);
    assert_eq!(study_failures(&study), []);
}

/// The failures of attempts, in their order.
fn study_failures(study: &RealStudy) -> Vec<FailureKind> {
    crate::fake::study_events(&study.path())
        .into_iter()
        .filter_map(|e| match e {
            cliptune::journal::event::StudyEvent::JobEnded { outcome: Outcome::Failed { failure }, .. } => {
                Some(failure.kind)
            }
            _ => None,
        })
        .collect()
}

#[test]
#[ignore = "needs SLURM: tests/slurm/cluster.sh install"]
fn one_allocation_is_worked_by_srun() {
    let cluster = Cluster::start();
    let launcher = ["type: srun", "cpus: 1", "gpus: 1"];
    let study = cluster.with_config(RealStudy::new("pace=300", &["max_trials: 5"], &launcher));
    let train = study.command(&["train", "-e", "spec.yaml", "--results-dir", "study"]);
    let line: Vec<String> =
        std::iter::once(train.get_program()).chain(train.get_args()).map(|w| w.to_str().unwrap().to_owned()).collect();
    let script = format!("#!/bin/sh\nexec {}\n", line.join(" "));
    let file = study.path().with_file_name("allocation.sh");
    std::fs::write(&file, script).unwrap();
    // Environment and folder as for the binary itself.
    let variables: Vec<_> = train.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
    let log = study.path().with_file_name("controller.log");
    let output = Command::new("sbatch")
        .args(["--wait", "--nodes=2", "--ntasks=2", "--cpus-per-task=2", "--gres=gpu:1"])
        .arg(format!("--output={}", log.display()))
        .arg(&file)
        .current_dir(file.parent().unwrap())
        .envs(variables)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), study.said());
    let state = study.state();
    assert_eq!(states(&state), [TrialStatus::Completed; 5]);
    assert_nothing_twice(&study);
    let mut used: Vec<String> = (0..5).flat_map(|id| hosts(&study, id)).collect();
    used.sort();
    used.dedup();
    assert_eq!(used, ["n1", "n2"], "{}", study.said());
}
