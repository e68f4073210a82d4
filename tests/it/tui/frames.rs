//! Frames of a fixed study, every view at four sizes, and the fall-backs.

use cliptune::tui::app::Mode;
use cliptune::tui::rows::{Controller, Overview, Study};
use cliptune::tui::theme::{Colours, Theme};
use cliptune::tui::view;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::{PLAIN, RICH, frame, press, study};

/// Every view and picture by the keys that show it.
const VIEWS: [(&str, &str); 10] = [
    ("trials", ""),
    ("curves_of_marked_trials", " j j 2"),
    ("curves_smoothed_over_steps", "2~xy"),
    ("importance", "3"),
    ("slices", "3v"),
    ("parallel", "3vv"),
    ("history", "3vvv"),
    ("gpus", "4"),
    ("logs", "5"),
    ("promotion", "6"),
];

#[test]
fn frames_of_every_view_at_four_sizes() {
    for (name, keys) in VIEWS {
        for (width, height) in [(160, 50), (100, 30), (80, 24), (40, 10)] {
            // The widest shows three views at once: once is enough for what does not change.
            let mut app = study();
            app.log.trial = app.selected;
            app.log.lines = vec!["epoch 1 loss 0.5".to_owned(), "error: out of memory".to_owned()];
            press(&mut app, keys);
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), frame(&mut app, width, height, RICH));
        }
    }
}

#[test]
fn frames_of_every_view_without_colour_and_unicode_are_ascii() {
    for (name, keys) in VIEWS {
        let mut app = study();
        press(&mut app, keys);
        press(&mut app, "e");
        let text = frame(&mut app, 80, 24, PLAIN);
        assert!(text.is_ascii(), "{name}: {text}");
        insta::assert_snapshot!(format!("{name}_ascii"), text);
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| view::draw(&mut app, PLAIN, frame.area(), frame.buffer_mut())).unwrap();
        let reset = ratatui::style::Color::Reset;
        assert!(
            terminal.backend().buffer().content().iter().all(|cell| cell.fg == reset && cell.bg == reset),
            "{name}"
        );
    }
}

#[test]
fn sixteen_colours_use_no_other() {
    let theme = Theme { colours: Colours::Sixteen, ascii: false };
    for (name, keys) in VIEWS {
        let mut app = study();
        press(&mut app, keys);
        let mut terminal = Terminal::new(TestBackend::new(160, 50)).unwrap();
        terminal.draw(|frame| view::draw(&mut app, theme, frame.area(), frame.buffer_mut())).unwrap();
        let indexed =
            |c: ratatui::style::Color| matches!(c, ratatui::style::Color::Indexed(_) | ratatui::style::Color::Rgb(..));
        assert!(
            !terminal.backend().buffer().content().iter().any(|cell| indexed(cell.fg) || indexed(cell.bg)),
            "{name}"
        );
    }
}

#[test]
fn frame_of_trials_that_wait_at_rungs_shows_how_far_each_got() {
    let mut app = study();
    app.study.rungs = vec![1, 3, 6];
    insta::assert_snapshot!(frame(&mut app, 120, 40, RICH));
    let text = frame(&mut app, 120, 40, PLAIN);
    assert!(text.contains("###") && text.contains("##.") && text.contains("#.."), "{text}");
    app.study.rungs = vec![1, 2, 3, 4, 5, 6, 12];
    assert!(frame(&mut app, 120, 40, RICH).contains(" 6/7 "));
}

#[test]
fn frame_of_a_workspace_lists_studies_and_draws_their_best_values() {
    let mut app = study();
    let mut other = Overview::of(&app.study, &app.trials[..3]);
    other.study.name = "other-study".to_owned();
    other.study.controller = Controller::Finished("all trials are over".to_owned());
    other.study.history.iter_mut().for_each(|s| s.best -= 0.1);
    app.studies = vec![Overview::of(&app.study, &app.trials), other];
    press(&mut app, "0j");
    insta::assert_snapshot!(frame(&mut app, 100, 30, RICH));
    press(&mut app, "<esc>");
    assert!(frame(&mut app, 100, 30, RICH).contains("1 Trials"));
}

#[test]
fn frame_below_40x10_is_one_line() {
    assert!(frame(&mut study(), 80, 9, RICH).starts_with("\"● 4/12 best 0.7312 live"));
    assert!(frame(&mut study(), 39, 3, RICH).starts_with("\"● 4/12 best 0.7312 live"));
}

#[test]
fn frame_help_comes_from_the_key_table() {
    let mut app = study();
    press(&mut app, "?");
    insta::assert_snapshot!(frame(&mut app, 80, 60, RICH));
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
        for keys in ["", "2", "3", "3v", "3vv", "3vvv", "4", "5", "6", "?", "/x", ":x", "T", "e2"] {
            for theme in [RICH, PLAIN] {
                let mut app = study();
                press(&mut app, keys);
                frame(&mut app, width, height, theme);
            }
        }
    }
}
