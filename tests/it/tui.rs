//! The terminal UI: frames of a fixed study at several sizes, and what scripted keys do.

use cliptune::base::ids::TrialId;
use cliptune::base::process::ProcessRef;
use cliptune::base::time::Timestamp;
use cliptune::journal::event::{Direction, JobEvent, Outcome, PointOrigin, Slot, StudyEvent, TrialEnd};
use cliptune::journal::layout::StudyDir;
use cliptune::journal::spool::Command;
use cliptune::journal::writer::Writer;
use cliptune::search::importance::Importance;
use cliptune::state::TrialStatus;
use cliptune::tui::app::{App, Effect, Mode, View};
use cliptune::tui::keymap_table::Key;
use cliptune::tui::rows::{Controller, Study, Trial};
use cliptune::tui::source::{self, Source};
use cliptune::tui::theme::{Colours, Theme};
use cliptune::tui::view;
use crossterm::event::KeyCode;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

const RICH: Theme = Theme { colours: Colours::Many, ascii: false };
const PLAIN: Theme = Theme { colours: Colours::None, ascii: true };

fn trial(id: u32, status: TrialStatus, values: &[f64], budget: u32, rates: (f64, f64)) -> Trial {
    let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(epoch, v)| (epoch as f64, *v)).collect();
    let best = points.iter().filter(|p| p.1.is_finite()).fold(None, |best: Option<(f64, f64)>, p| match best {
        Some(b) if b.1 >= p.1 => Some(b),
        _ => Some(*p),
    });
    let epochs = values.len().saturating_sub(1) as u32;
    let losses = (1..=epochs).map(|e| (f64::from(e), 2.0 / f64::from(e))).collect();
    Trial {
        id: TrialId(id),
        status,
        value: best.map(|b| b.1),
        best_epoch: best.map(|b| b.0 as u32),
        epochs,
        budget,
        curves: [("val/t2i_mAP".to_owned(), points), ("train/loss".to_owned(), losses)].into(),
        params: if id == 0 {
            Default::default()
        } else {
            [("train.optim.vision_lr".to_owned(), json!(rates.0)), ("train.optim.text_lr".to_owned(), json!(rates.1))]
                .into()
        },
        rates: (Some(rates.0), Some(rates.1)),
        images_per_s: (epochs > 0).then_some(400.0 + f64::from(id)),
        loss: (epochs > 0).then_some(2.0 / f64::from(epochs.max(1))),
        seconds: 61.0 * f64::from(epochs),
        slot: if status == TrialStatus::Running { format!("gpu {id}") } else { String::new() },
        failure: (status == TrialStatus::Failed)
            .then(|| ("out_of_memory".to_owned(), "batch 64 does not fit into 8 GiB".to_owned())),
    }
}

fn importance() -> Vec<Importance> {
    let of = |key: &str, share, trend| Importance { key: key.to_owned(), share, spread: 0.05, trend, trials: 8 };
    vec![of("train.optim.vision_lr", 0.62, Some(-0.8)), of("train.optim.text_lr", 0.17, Some(0.1))]
}

fn study() -> App {
    let study = Study {
        name: "clip-lr-sweep".to_owned(),
        sampler: "gp".to_owned(),
        metric: "val/t2i_mAP".to_owned(),
        direction: Direction::Maximize,
        max_trials: 12,
        controller: Controller::Live,
        paused: false,
        promoting: false,
        best: Some(TrialId(1)),
        elapsed_s: 6130.0,
        eta_s: Some(12_260.0),
        importance: importance(),
        age_s: 1.0,
    };
    let trials = vec![
        trial(0, TrialStatus::Completed, &[0.41, 0.48, 0.52, 0.55, 0.56, 0.56, 0.57], 6, (1e-4, 1e-4)),
        trial(1, TrialStatus::Completed, &[0.41, 0.55, 0.63, 0.68, 0.71, 0.725, 0.7312], 6, (3e-5, 1e-5)),
        trial(2, TrialStatus::Pruned, &[0.41, 0.39, 0.35], 6, (2e-3, 4e-5)),
        trial(3, TrialStatus::Failed, &[], 6, (5e-5, 1e-5)),
        trial(4, TrialStatus::Running, &[0.41, 0.52, f64::NAN, 0.69, 0.7104], 6, (5e-5, 2e-5)),
        trial(5, TrialStatus::Running, &[0.41, 0.5], 6, (8e-6, 3e-6)),
        trial(6, TrialStatus::Paused, &[0.41, 0.49, 0.51], 6, (6e-6, 3e-4)),
        trial(7, TrialStatus::Queued, &[], 6, (3.16e-5, 7e-6)),
    ];
    App::new(study, trials)
}

fn frame(app: &mut App, width: u16, height: u16, theme: Theme) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(app, theme, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().to_string()
}

/// Presses keys: characters as they are, names in angle brackets (`<enter>`).
fn press(app: &mut App, script: &str) -> Option<Effect> {
    let mut effect = None;
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        const NAMED: [(&str, Key); 5] = [
            ("<enter>", Key::Code(KeyCode::Enter)),
            ("<esc>", Key::Code(KeyCode::Esc)),
            ("<tab>", Key::Code(KeyCode::Tab)),
            ("<backspace>", Key::Code(KeyCode::Backspace)),
            ("<ctrl-c>", Key::Ctrl('c')),
        ];
        let named = NAMED.iter().find_map(|(name, key)| Some((rest.strip_prefix(name)?, *key)));
        let (after, key) = named.unwrap_or((&rest[first.len_utf8()..], Key::Char(first)));
        rest = after;
        effect = app.press(key);
    }
    effect
}

fn ids(app: &App) -> Vec<u32> {
    app.visible().iter().map(|t| t.id.0).collect()
}

#[test]
fn frame_160x50_shows_three_views() {
    insta::assert_snapshot!(frame(&mut study(), 160, 50, RICH));
}

#[test]
fn frame_100x30_shows_trials_above_params() {
    let mut app = study();
    press(&mut app, "3");
    insta::assert_snapshot!(frame(&mut app, 100, 30, RICH));
}

#[test]
fn frame_80x24_shows_trials() {
    insta::assert_snapshot!(frame(&mut study(), 80, 24, RICH));
}

#[test]
fn frame_80x24_shows_curves_of_marked_trials() {
    let mut app = study();
    press(&mut app, " j j 2");
    insta::assert_snapshot!(frame(&mut app, 80, 24, RICH));
}

#[test]
fn frame_40x10_keeps_id_state_and_value() {
    insta::assert_snapshot!(frame(&mut study(), 40, 10, RICH));
}

#[test]
fn frame_below_40x8_is_one_line() {
    assert!(frame(&mut study(), 39, 3, RICH).starts_with("\"● 4/12 best 0.7312 live"));
}

#[test]
fn frame_without_colour_and_unicode_is_ascii() {
    let mut app = study();
    let text = frame(&mut app, 140, 24, PLAIN);
    assert!(text.is_ascii(), "{text}");
    insta::assert_snapshot!(text);
    let mut terminal = Terminal::new(TestBackend::new(140, 24)).unwrap();
    terminal.draw(|frame| view::draw(&mut app, PLAIN, frame.area(), frame.buffer_mut())).unwrap();
    let reset = ratatui::style::Color::Reset;
    assert!(terminal.backend().buffer().content().iter().all(|cell| cell.fg == reset && cell.bg == reset));
}

#[test]
fn frame_help_comes_from_the_key_table() {
    let mut app = study();
    press(&mut app, "?");
    insta::assert_snapshot!(frame(&mut app, 80, 36, RICH));
    press(&mut app, "?");
    assert_eq!(app.mode, Mode::Normal);
}

#[test]
fn frame_logs_follow_the_end() {
    let mut app = study();
    app.log.trial = app.selected;
    app.log.lines = (1..=50).map(|step| format!("epoch 1 step {step} loss 0.5")).collect();
    press(&mut app, "l");
    let text = frame(&mut app, 80, 12, RICH);
    assert!(text.contains("step 50 ") && !text.contains("step 41 "), "{text}");
    press(&mut app, "kkg");
    let text = frame(&mut app, 80, 12, RICH);
    assert!(text.contains("step 1 ") && !text.contains("step 50 "), "{text}");
    press(&mut app, "G");
    assert!(frame(&mut app, 80, 12, RICH).contains("step 50 "));
}

#[test]
fn frame_of_a_dead_finished_or_stale_study_says_so() {
    let mut app = study();
    let header = |change: &dyn Fn(&mut Study)| {
        let mut app = app.clone();
        change(&mut app.study);
        frame(&mut app, 100, 24, RICH).lines().next().unwrap().to_owned()
    };
    assert!(header(&|s| s.controller = Controller::Down).contains("✖ controller down"));
    assert!(header(&|s| s.controller = Controller::Finished("done".to_owned())).contains("✔ finished"));
    assert!(header(&|s| s.controller = Controller::Stopped("asked".to_owned())).contains("■ stopped"));
    assert!(header(&|s| s.promoting = true).contains("● promoting"));
    assert!(header(&|s| s.age_s = 75.0).contains("stale 1:15"));
    assert!(header(&|s| s.paused = true).contains("‖ paused"));
    app.trials.clear();
    assert!(frame(&mut app, 80, 24, RICH).contains("no trials yet"));
}

#[test]
fn frame_any_size_never_panics() {
    for (width, height) in [(1, 1), (39, 9), (40, 8), (41, 11), (99, 19), (140, 20), (300, 8)] {
        for keys in ["", "2", "3", "5", "?", "/x", "T", "e2"] {
            for theme in [RICH, PLAIN] {
                let mut app = study();
                press(&mut app, keys);
                frame(&mut app, width, height, theme);
            }
        }
    }
}

#[test]
fn sort_best_first_then_by_number_and_reversed() {
    let mut app = study();
    assert_eq!(ids(&app), [1, 4, 0, 6, 5, 2, 3, 7]);
    press(&mut app, "S");
    assert_eq!(ids(&app), [2, 5, 6, 0, 4, 1, 3, 7]);
    press(&mut app, "Ss");
    assert_eq!(ids(&app), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn filter_words_states_and_comparisons() {
    let mut app = study();
    for (filter, expected) in [
        ("state:running", &[4, 5][..]),
        ("memory", &[3]),
        ("-state:completed value>=0.5", &[4, 6, 5]),
        ("state:failed | state:queued", &[3, 7]),
        ("vision_lr>1e-4", &[2]),
        ("lr<5e-6", &[5]),
        ("nothing-like-it", &[]),
    ] {
        press(&mut app, &format!("/{filter}<enter>"));
        assert_eq!(ids(&app), expected, "{filter}");
        assert_eq!(app.selected.map(|id| id.0), expected.first().copied(), "{filter}");
        press(&mut app, "<esc>");
    }
    assert_eq!(ids(&app).len(), 8);
}

#[test]
fn selection_stays_with_its_trial_when_the_order_changes() {
    let mut app = study();
    press(&mut app, "jj");
    assert_eq!(app.selected, Some(TrialId(0)));
    let mut trials = app.trials.clone();
    trials[0].value = Some(0.99);
    app.set(app.study.clone(), trials);
    assert_eq!(app.selected, Some(TrialId(0)));
    assert_eq!(ids(&app)[0], 0);
}

#[test]
fn commands_that_cannot_be_undone_ask_first() {
    let mut app = study();
    press(&mut app, "j");
    assert_eq!(press(&mut app, "T"), None);
    assert!(matches!(app.mode, Mode::Confirm { .. }));
    insta::assert_snapshot!(frame(&mut app, 80, 24, RICH));
    assert_eq!(press(&mut app, "x"), None);
    assert_eq!(press(&mut app, "n"), None);
    assert_eq!(app.mode, Mode::Normal);
    press(&mut app, "T");
    assert_eq!(press(&mut app, "y"), Some(Effect::Ask(Command::StopTrial { trial: TrialId(4) })));
    press(&mut app, "P");
    assert_eq!(press(&mut app, "y"), Some(Effect::Ask(Command::Promote { trial: Some(TrialId(4)) })));
}

#[test]
fn commands_fit_the_state_of_the_trial() {
    let mut app = study();
    let ask = |command| Some(Effect::Ask(command));
    for (id, key, expected) in [
        (4, "p", ask(Command::PauseTrial { trial: TrialId(4) })),
        (6, "p", ask(Command::ResumeTrial { trial: TrialId(6) })),
        (3, "R", ask(Command::Retry { trial: TrialId(3) })),
        (1, "R", None),
        (1, "T", None),
        (3, "P", None),
    ] {
        app.select(TrialId(id));
        assert_eq!(press(&mut app, key), expected, "{id} {key}");
        assert_eq!(app.mode, Mode::Normal, "{id} {key}");
        assert_eq!(app.toast.is_empty(), expected.is_some(), "{id} {key}");
    }
}

#[test]
fn read_only_asks_nothing_of_the_study() {
    let mut app = study();
    app.read_only = Some("--read-only was given".to_owned());
    for key in ["T", "p", "R", "P"] {
        assert_eq!(press(&mut app, key), None);
        assert_eq!(app.mode, Mode::Normal);
        assert!(app.toast.contains("read-only"));
    }
    app.toast.clear();
    assert!(!frame(&mut app, 160, 30, RICH).contains("promote"));
}

#[test]
fn keys_detach_and_go_through_the_views() {
    let mut app = study();
    press(&mut app, "<tab>");
    assert_eq!(app.view, View::Curves);
    press(&mut app, "[[");
    assert_eq!(app.view, View::Logs);
    press(&mut app, "<esc>");
    assert_eq!(app.view, View::Trials);
    assert_eq!(press(&mut app, "q"), Some(Effect::Detach));
    assert_eq!(press(&mut app, "/q"), None);
    assert_eq!(press(&mut app, "<ctrl-c>"), Some(Effect::Detach));
}

#[test]
fn metric_key_goes_round_through_every_metric() {
    let mut app = study();
    assert_eq!(app.curve_metric(), "val/t2i_mAP");
    press(&mut app, "m");
    assert_eq!(app.curve_metric(), "train/loss");
    press(&mut app, "m");
    assert_eq!(app.curve_metric(), "val/t2i_mAP");
}

/// A study folder as a controller and two workers leave it, with fixed times.
fn study_folder() -> (tempfile::TempDir, StudyDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = StudyDir::new(folder.path());
    let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
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
    let rows = || state.trials.values().map(|t| source::trial(t, rates, now)).collect::<Vec<_>>();
    let mut app = App::new(source::study(&state, true, now), rows());
    insta::assert_snapshot!(frame(&mut app, 120, 30, RICH));
    app.set(source::study(&state, false, now), rows());
    assert_eq!(app.study.controller, Controller::Down);
}

#[test]
fn source_reads_a_study_without_a_controller_and_the_end_of_a_console() {
    let (_folder, dir) = study_folder();
    let before = std::fs::read_dir(dir.path()).unwrap().count();
    let mut source = Source::open(&dir).unwrap();
    let (study, trials) = source.poll().unwrap();
    assert!(!source.is_live());
    assert_eq!(study.controller, Controller::Down);
    assert_eq!(trials.len(), 3);
    let mut app = App::new(study, trials);
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
    let mut source = Source::open(&dir).unwrap();
    let ended = StudyEvent::StudyEnded { reason: "every trial is over".to_owned() };
    Writer::open(&dir.journal()).unwrap().append(Timestamp::UNIX_EPOCH, ended).unwrap();
    let (study, _) = source.poll().unwrap();
    assert_eq!(study.controller, Controller::Finished("every trial is over".to_owned()));
}
