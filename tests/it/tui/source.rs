//! From the files of a study to the screen.

use std::sync::Arc;

use cliptune::base::ids::TrialId;
use cliptune::base::process::ProcessRef;
use cliptune::base::time::Timestamp;
use cliptune::journal::event::{Direction, JobEvent, Outcome, PointOrigin, Slot, StudyEvent, TrialEnd};
use cliptune::journal::layout::StudyDir;
use cliptune::journal::writer::Writer;
use cliptune::tui::app::App;
use cliptune::tui::rows::Controller;
use cliptune::tui::save;
use cliptune::tui::source::{self, Source};
use serde_json::json;

use super::{RICH, at, frame, study};

/// A study folder as a controller and two workers leave it, with fixed times.
pub(crate) fn study_folder() -> (tempfile::TempDir, StudyDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = StudyDir::new(folder.path());
    let process = ProcessRef { pid: 1, start_ticks: 1 };
    let host = "node-a".to_owned();
    let mut study = Writer::<StudyEvent>::open(&dir.journal()).unwrap();
    let slot = |index| Slot { index, gpus: Vec::new(), threads: 1 };
    let params = |lr: f64| [("train.optim.vision_lr".to_owned(), json!(lr))].into();
    let suggested = |id, lr| StudyEvent::TrialSuggested {
        trial: TrialId(id),
        params: params(lr),
        origin: PointOrigin::Sampler,
        budget: 3,
        repeats: None,
        expected_gain: None,
    };
    let launched =
        |id, index| StudyEvent::JobLaunched { trial: TrialId(id), attempt: 1, process, slot: slot(index), batch: None };
    for (seconds, event) in [
        (
            0,
            StudyEvent::StudyCreated {
                name: "from-events".to_owned(),
                spec_hash: "0".to_owned(),
                seed: 7,
                sampler: "gp".to_owned(),
                metric: "val/t2i_mAP".to_owned(),
                direction: Direction::Maximize,
                max_trials: 4,
                max_epochs: 3,
                fixed: Default::default(),
                scheduler: "none".to_owned(),
                rungs: Vec::new(),
                objectives: Vec::new(),
            },
        ),
        (1, StudyEvent::ControllerStarted { process, host: host.clone(), version: "0.1.0".to_owned() }),
        (2, suggested(0, 1e-4)),
        (3, launched(0, 0)),
        (4, suggested(1, 2e-5)),
        (5, launched(1, 1)),
        (
            90,
            StudyEvent::JobEnded {
                trial: TrialId(0),
                attempt: 1,
                outcome: Outcome::Completed,
                seconds: None,
                stopped_at: None,
            },
        ),
        (
            91,
            StudyEvent::TrialEnded {
                trial: TrialId(0),
                state: TrialEnd::Completed,
                value: Some(0.61),
                best_epoch: Some(2),
                epochs: 3,
                failure: None,
            },
        ),
        (92, suggested(2, 3e-3)),
    ] {
        study.append(at(seconds), event).unwrap();
    }
    for (id, values) in [(0, &[Some(0.3), Some(0.5), Some(0.61), Some(0.6)][..]), (1, &[Some(0.3), None])] {
        let job = dir.trial(TrialId(id));
        std::fs::create_dir_all(job.path()).unwrap();
        let mut events = Writer::<JobEvent>::open(&job.events()).unwrap();
        let device = "cpu".to_owned();
        let started = JobEvent::JobStarted {
            process,
            host: host.clone(),
            attempt: 1,
            device,
            threads: 1,
            resumed_from: None,
            resumed_step: None,
        };
        events.append(at(6), started).unwrap();
        for (epoch, value) in (0..).zip(values) {
            let seconds = 10 + 20 * i64::from(epoch);
            if epoch > 0 {
                let ended = JobEvent::EpochEnded {
                    epoch,
                    step: u64::from(epoch) * 8,
                    loss: Some(1.0 / f64::from(epoch)),
                    vision_lr: 1e-5,
                    text_lr: 1e-5,
                    images_per_s: 123.4,
                    seconds: 18.0,
                    data_wait_share: None,
                };
                events.append(at(seconds), ended).unwrap();
            }
            let metrics = [("val/t2i_mAP".to_owned(), *value)].into();
            let step = u64::from(epoch) * 8;
            events
                .append(
                    at(seconds + 1),
                    JobEvent::Validated { epoch, step, metrics, intervals: Default::default(), seconds: 1.0 },
                )
                .unwrap();
        }
        std::fs::write(job.console(), format!("trial {id}\n10%\r\u{1b}[31m100%\u{1b}[0m\n")).unwrap();
    }
    (folder, dir)
}

#[test]
fn frame_of_a_study_read_from_its_journals() {
    let (_folder, dir) = study_folder();
    let state = cliptune::state::load(&dir).unwrap();
    let now = Timestamp::from_second(1_700_000_100).unwrap();
    let rates = (None, Some(4e-5));
    let row = |t| source::trial(t, Arc::new(source::curves(t)), rates, now);
    let rows = || state.trials.values().map(row).collect::<Vec<_>>();
    let mut app = App::new(source::study(&state, true, now), rows());
    insta::assert_snapshot!(frame(&mut app, 120, 30, RICH));
    app.set(source::study(&state, false, now), rows());
    assert_eq!(app.study.controller, Controller::Down);
}

#[test]
fn source_reads_a_study_without_a_controller_and_the_end_of_a_console() {
    let (_folder, dir) = study_folder();
    let before = std::fs::read_dir(dir.path()).unwrap().count();
    let mut source = Source::open(&dir);
    let mut app = App::default();
    assert!(source.refresh(&mut app).unwrap());
    assert!(!source.refresh(&mut app).unwrap(), "nothing changed");
    assert!(!source.is_live());
    assert_eq!(app.study.controller, Controller::Down);
    assert_eq!(app.trials.len(), 3);
    app.select(TrialId(1));
    assert!(source.log(&mut app));
    assert_eq!(app.log.lines, ["trial 1", "100%"]);
    assert!(!source.log(&mut app), "nothing is new");
    app.select(TrialId(2));
    assert!(source.log(&mut app));
    assert!(app.log.lines.is_empty());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), before, "a reader must not write");
}

#[test]
fn source_sees_what_is_appended() {
    let (_folder, dir) = study_folder();
    let mut source = Source::open(&dir);
    let mut app = App::default();
    source.refresh(&mut app).unwrap();
    let curves = std::sync::Arc::clone(&app.trials[0].curves);
    let ended = StudyEvent::StudyEnded { reason: "every trial is over".to_owned() };
    Writer::open(&dir.journal()).unwrap().append(Timestamp::UNIX_EPOCH, ended).unwrap();
    assert!(source.refresh(&mut app).unwrap());
    assert!(Arc::ptr_eq(&curves, &app.trials[0].curves), "curves that did not change are not built again");
    assert_eq!(app.study.controller, Controller::Finished("every trial is over".to_owned()));
}

#[test]
fn source_describes_a_trial_in_full() {
    let (_folder, dir) = study_folder();
    let mut source = Source::open(&dir);
    source.refresh(&mut App::default()).unwrap();
    let spec = dir.trial(TrialId(0)).spec();
    std::fs::create_dir_all(spec.parent().unwrap()).unwrap();
    std::fs::write(&spec, "train:\n  num_epochs: 3\n  patch_dropout: 0\n  optim: {warmup_steps: 7}\n").unwrap();
    let text = source.describe(TrialId(0)).join("\n");
    for part in [
        "completed, 3 of 3 epochs",
        "val/t2i_mAP 0.6100",
        "vision_lr = 0.0001",
        "node-a, cpu, attempt 1",
        "trials/0000",
        "where it is not the default:\ntrain.num_epochs = 3  (default ",
        "train.optim.warmup_steps = 7  (default ",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains("patch_dropout"), "the default is no change:\n{text}");
    assert!(!source.describe(TrialId(1)).iter().any(|line| line.contains("default")), "no spec was written yet");
    assert!(source.describe(TrialId(77)).is_empty());
}

#[test]
fn saved_table_quotes_what_csv_wants_quoted() {
    let mut app = study();
    app.trials[7].params.insert("note".to_owned(), json!("a,\"b\""));
    let csv = save::csv(&app);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "trial,state,val/t2i_mAP,best_epoch,epochs,budget,seconds,note,train.optim.text_lr,train.optim.vision_lr"
    );
    assert_eq!(lines[1], "0001,completed,0.7312,6,6,6,366,,0.00001,0.00003");
    assert!(lines[8].contains(",\"a,\"\"b\"\"\","), "{}", lines[8]);
}
