//! A study of 1,000 trials with 1,000 points each: what a frame of it costs. `benches/tui.sh` runs this and writes the figures.

use std::time::Instant;

use cliptune::base::ids::TrialId;
use cliptune::base::process::ProcessRef;
use cliptune::journal::event::{Direction, JobEvent, Outcome, PointOrigin, Slot, StudyEvent, TrialEnd};
use cliptune::journal::layout::StudyDir;
use cliptune::tui::app::App;
use cliptune::tui::source::Source;
use cliptune::tui::view;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::json;

use super::{RICH, at, press};

const TRIALS: u32 = 1000;
const EPOCHS: u32 = 1000;

/// Writes the study, if it is not there.
fn write(dir: &StudyDir) {
    if dir.exists() {
        return;
    }
    let process = ProcessRef { pid: 1, start_ticks: 1 };
    std::fs::create_dir_all(dir.path()).unwrap();
    std::fs::write(dir.space(), include_str!("../../../search_spaces/default.yaml")).unwrap();
    let mut lines = Vec::new();
    lines.push(StudyEvent::StudyCreated {
        name: "large".to_owned(),
        spec_hash: "0".to_owned(),
        seed: 7,
        sampler: "random".to_owned(),
        metric: "val/t2i_mAP".to_owned(),
        direction: Direction::Maximize,
        max_trials: TRIALS,
        max_epochs: EPOCHS,
        fixed: Default::default(),
        scheduler: "none".to_owned(),
        rungs: Vec::new(),
        objectives: Vec::new(),
    });
    lines.push(StudyEvent::ControllerStarted { process, host: "node-a".to_owned(), version: "0.1.0".to_owned() });
    for id in 0..TRIALS {
        let trial = TrialId(id);
        let shift = f64::from(id % 97) / 97.0;
        let params = [("train.optim.vision_lr", 1e-6 * 10_f64.powf(3.0 * shift)), ("train.optim.text_lr", 1e-5)];
        lines.push(StudyEvent::TrialSuggested {
            trial,
            params: params.map(|(key, value)| (key.to_owned(), json!(value))).into(),
            origin: PointOrigin::Sampler,
            budget: EPOCHS,
            repeats: None,
            expected_gain: None,
        });
        let slot = Slot { index: id as usize % 8, gpus: vec![id % 8], threads: 4 };
        lines.push(StudyEvent::JobLaunched { trial, attempt: 1, process, slot, batch: None });
        let (seconds, stopped_at) = (Some(1000.0), None);
        lines.push(StudyEvent::JobEnded { trial, attempt: 1, outcome: Outcome::Completed, seconds, stopped_at });
        lines.push(StudyEvent::TrialEnded {
            trial,
            state: TrialEnd::Completed,
            value: Some(0.4 + 0.3 * shift),
            best_epoch: Some(EPOCHS),
            epochs: EPOCHS,
            failure: None,
        });
        let job = dir.trial(trial);
        std::fs::create_dir_all(job.path()).unwrap();
        let mut events = Vec::new();
        for epoch in 1..=EPOCHS {
            let share = f64::from(epoch) / f64::from(EPOCHS);
            let step = u64::from(epoch) * 10;
            events.push(JobEvent::EpochEnded {
                epoch,
                step,
                loss: Some(3.0 - 2.0 * share),
                vision_lr: 1e-5,
                text_lr: 1e-5,
                images_per_s: 400.0,
                data_wait_share: None,
                seconds: 1.0,
            });
            let wave = 0.02 * (f64::from(epoch) / 7.0 + shift).sin();
            let metrics = [("val/t2i_mAP".to_owned(), Some(0.3 + (0.1 + 0.3 * shift) * share + wave))].into();
            events.push(JobEvent::Validated { epoch, step, metrics, intervals: Default::default(), seconds: 0.1 });
        }
        journal(&job.events(), events);
    }
    journal(&dir.journal(), lines);
}

/// Lines as a writer has them, without the sync after each one that a real one makes.
fn journal<E: serde::Serialize>(path: &std::path::Path, events: Vec<E>) {
    use cliptune::journal::event::{FORMAT_VERSION, Line};
    let mut text = Vec::new();
    for (seq, event) in (0..).zip(events) {
        let line = Line { v: FORMAT_VERSION, seq, ts: at(seq as i64), event };
        text.extend(cliptune::journal::line::encode(&line).unwrap());
    }
    std::fs::write(path, text).unwrap();
}

#[test]
#[ignore = "measures for a minute and writes 300 MB: benches/tui.sh runs it"]
fn frames_of_a_thousand_trials() {
    let own = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("CLIPTUNE_BENCH_FOLDER").map_or_else(|| own.path().join("large"), Into::into);
    let dir = StudyDir::new(folder);
    write(&dir);
    let (mut source, mut app) = (Source::open(&dir), App::default());
    let start = Instant::now();
    source.refresh(&mut app).unwrap();
    println!("| first look at the files | {:.0} ms |", 1e3 * start.elapsed().as_secs_f64());
    assert_eq!((app.trials.len(), app.trials[999].curves.get("val/t2i_mAP").unwrap().len()), (1000, 1000));
    let start = Instant::now();
    for _ in 0..20 {
        assert!(!source.refresh(&mut app).unwrap(), "nothing changes");
    }
    println!("| a look when nothing changed | {:.2} ms |", 1e3 * start.elapsed().as_secs_f64() / 20.0);
    let area = Rect::new(0, 0, 160, 50);
    let marks = format!("{}2", " j".repeat(20));
    let views = [
        ("trials, curves and importance", "1"),
        ("the same, scrolled to the end", "G"),
        ("curves of 20 marked trials, smoothed", marks.as_str()),
        ("slices", "3v"),
        ("parallel coordinates", "3v"),
        ("best so far", "v"),
        ("GPUs and timeline", "4"),
        ("filtered", "1/lr>1e-5<enter>"),
    ];
    for (name, keys) in views {
        press(&mut app, keys);
        let mut times: Vec<f64> = (0..30)
            .map(|_| {
                let start = Instant::now();
                let mut buffer = Buffer::empty(area);
                view::draw(&mut app, RICH, area, &mut buffer);
                1e3 * start.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("| frame: {name} | {:.2} ms, at most {:.2} |", times[15], times[29]);
    }
}
