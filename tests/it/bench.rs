//! Measurements of the controller, its journal and its index, run by `benches/controller/run.sh`. They assert what has to be
//! right and print how long it took; they assert no time.

use std::io::Write;
use std::time::Instant;

use cliptune::base::ids::TrialId;
use cliptune::base::process::ProcessRef;
use cliptune::base::time::Timestamp;
use cliptune::journal::event::{FORMAT_VERSION, Line, Params, StudyEvent};
use cliptune::journal::layout::StudyDir;
use cliptune::journal::line;
use cliptune::journal::tail::Tail;
use cliptune::journal::writer::Writer;
use cliptune::state::{StudyState, load};
use cliptune::study::index::Index;
use cliptune::study::{Observer, Signals, run};
use serde_json::json;

use crate::fake::config;

/// User and system time of this process without its children, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// Memory and processor time each time another 250 trials are done.
#[derive(Default)]
struct Watch(Vec<(usize, f64, f64)>);

impl Observer for Watch {
    fn tick(&mut self, state: &StudyState, _: Timestamp) {
        let done = state.counts().done();
        if done >= 250 * (self.0.len() + 1) {
            self.0.push((done, resident_mib(), cpu_seconds()));
        }
    }
}

#[test]
#[ignore = "a measurement: benches/controller/run.sh"]
fn overhead_of_a_thousand_trials() {
    let dir = tempfile::tempdir().unwrap();
    let (before, start) = (cpu_seconds(), Instant::now());
    let mut watch = Watch::default();
    let mut config = config(dir.path(), "instant,trials=1000,slots=4", 1000);
    config.max_epochs = 1;
    let left = run(config, &Signals::default(), &mut watch).unwrap();
    assert_eq!(left.state.counts().completed, 1000);
    let cpu = cpu_seconds() - before;
    println!("1,000 trials on 4 slots: {:.2} ms CPU a trial, {:.0} s", cpu, start.elapsed().as_secs_f64());
    for (done, memory, cpu) in watch.0 {
        println!("  {done:>5} trials: {memory:.1} MiB resident, {:.2} s CPU", cpu - before);
    }
}

fn event(value: serde_json::Value) -> StudyEvent {
    serde_json::from_value(value).unwrap()
}

/// The events of a study of `trials` trials, as a controller writes them.
fn events(trials: u32) -> Vec<StudyEvent> {
    let process = ProcessRef { pid: 1, start_ticks: 1 };
    let mut list = vec![
        event(json!({
            "kind": "study_created", "name": "bench", "spec_hash": "", "seed": 0, "sampler": "fake",
            "metric": "val/t2i_mAP", "direction": "maximize", "max_trials": trials, "max_epochs": 3, "fixed": {},
        })),
        StudyEvent::ControllerStarted { process, host: "here".to_owned(), version: "0".to_owned() },
    ];
    for id in 0..trials {
        let trial = TrialId(id);
        let keys = ["train.optim.vision_lr", "train.optim.text_lr", "train.optim.weight_decay", "dataset.seed"];
        let params: Params = keys.iter().map(|k| ((*k).to_owned(), (1e-4 * f64::from(id)).into())).collect();
        let value = Some(f64::from(id.wrapping_mul(2_654_435_761) % 10_007) / 10_007.0);
        list.push(event(json!({
            "kind": "trial_suggested", "trial": trial, "params": params, "origin": "sampler", "budget": 3,
        })));
        let process = json!({"pid": 1, "start_ticks": 1});
        let slot = json!({"index": 0, "gpus": [], "threads": 1});
        list.push(event(json!({
            "kind": "job_launched", "trial": trial, "attempt": 1, "process": process, "slot": slot,
        })));
        list.push(event(json!({
            "kind": "job_ended", "trial": trial, "attempt": 1, "outcome": {"outcome": "completed"},
        })));
        list.push(event(json!({
            "kind": "trial_ended", "trial": trial, "state": "completed", "value": value, "best_epoch": 3, "epochs": 3,
            "failure": null,
        })));
    }
    list
}

fn line_of(seq: usize, event: StudyEvent) -> Line<StudyEvent> {
    Line { v: FORMAT_VERSION, seq: seq as u64, ts: Timestamp::UNIX_EPOCH, event }
}

#[test]
#[ignore = "a measurement: benches/controller/run.sh"]
fn journal_of_a_hundred_thousand_events() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    let mut file = std::io::BufWriter::new(std::fs::File::create(study.journal()).unwrap());
    let events = events(25_000);
    let count = events.len();
    for (seq, event) in events.into_iter().enumerate() {
        file.write_all(&line::encode(&line_of(seq, event)).unwrap()).unwrap();
    }
    drop(file.into_inner().unwrap());
    let bytes = std::fs::metadata(study.journal()).unwrap().len();
    let start = Instant::now();
    let mut state = StudyState::new();
    for line in Tail::new(study.journal()).read::<StudyEvent>().unwrap() {
        state.apply(&line);
    }
    let read = start.elapsed();
    let start = Instant::now();
    Writer::<StudyEvent>::open(&study.journal()).unwrap();
    assert_eq!(state.next_seq, count as u64);
    println!(
        "journal of {count} events, {:.1} MB: read, checked and folded in {read:.0?}, opened for writing in {:.1?}",
        bytes as f64 / 1e6,
        start.elapsed()
    );
    let start = Instant::now();
    assert_eq!(load(&study).unwrap().trials.len(), 25_000);
    println!("  with a look for the journals of its 25,000 workers: {:.0?}", start.elapsed());
}

#[test]
#[ignore = "a measurement: benches/controller/run.sh"]
fn index_of_ten_thousand_trials() {
    let dir = tempfile::tempdir().unwrap();
    let study = StudyDir::new(dir.path());
    let mut state = StudyState::new();
    for (seq, event) in events(10_000).into_iter().enumerate() {
        state.apply(&line_of(seq, event));
    }
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        println!("  {what}: {:.2?}", start.elapsed());
    };
    println!("index of 10,000 trials");
    timed("made from the state", &mut || assert_eq!(Index::open(&study, &state).note, None));
    timed("opened and compared with the state", &mut || assert_eq!(Index::open(&study, &state).note, None));
    let mut index = Index::open(&study, &state);
    timed("best 20", &mut || assert_eq!(index.top(20).unwrap(), state.leaderboard()[..20]));
    timed("all in order", &mut || assert_eq!(index.top(usize::MAX).unwrap(), state.leaderboard()));
    timed("record of a trial", &mut || assert!(index.trial(TrialId(7777)).unwrap().is_some()));
    timed("jobs of a trial", &mut || assert_eq!(index.jobs(TrialId(7777)).unwrap().len(), 1));
    timed("one trial brought up to date, on disk", &mut || index.put(&state, Some(TrialId(77))).unwrap());
    timed("leaderboard of the state, without the index", &mut || assert_eq!(state.leaderboard().len(), 10_000));
}
