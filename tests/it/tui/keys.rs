//! What scripted keys do.

use cliptune::base::ids::TrialId;
use cliptune::journal::spool::Command;
use cliptune::tui::app::{Effect, Mode, View};
use cliptune::tui::mouse;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Size;

use super::{RICH, frame, ids, press, study};

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

fn ask(command: Command) -> Option<Effect> {
    Some(Effect::Ask(vec![command]))
}

#[test]
fn pinned_trials_stay_at_the_top_whatever_the_order() {
    let mut app = study();
    press(&mut app, "GpS");
    assert_eq!(ids(&app)[0], 7);
    press(&mut app, "s");
    assert_eq!(ids(&app)[0], 7);
    assert!(frame(&mut app, 80, 24, RICH).contains("↑0007"));
    press(&mut app, "gp");
    assert!(app.pinned.is_empty());
}

#[test]
fn long_lines_of_the_log_are_cut_or_broken() {
    let mut app = study();
    app.log.trial = app.selected;
    app.log.lines = vec![format!("{}END", "x".repeat(100)), "last".to_owned()];
    press(&mut app, "l");
    assert!(!frame(&mut app, 80, 12, RICH).contains("END"));
    press(&mut app, "w");
    let text = frame(&mut app, 80, 12, RICH);
    assert!(text.contains("xEND") && text.contains("last") && text.contains("wrapped"), "{text}");
}

#[test]
fn every_command_asks_first() {
    let mut app = study();
    press(&mut app, "j");
    assert_eq!(press(&mut app, "T"), None);
    assert!(matches!(app.mode, Mode::Confirm { .. }));
    insta::assert_snapshot!(frame(&mut app, 80, 24, RICH));
    assert_eq!(press(&mut app, "x"), None);
    assert_eq!(press(&mut app, "n"), None);
    assert_eq!(app.mode, Mode::Normal);
    for (key, command) in [
        ("T", Command::StopTrial { trial: TrialId(4) }),
        ("K", Command::KillTrial { trial: TrialId(4) }),
        ("z", Command::PauseTrial { trial: TrialId(4) }),
        ("P", Command::Promote { trial: Some(TrialId(4)), force: false }),
        (":stop 4<enter>", Command::StopTrial { trial: TrialId(4) }),
        (":add 3<enter>", Command::AddTrials { count: 3 }),
    ] {
        assert_eq!(press(&mut app, key), None, "{key}");
        assert_eq!(press(&mut app, "y"), ask(command), "{key}");
    }
    assert_eq!(press(&mut app, "<ctrl-s>"), None);
    assert_eq!(press(&mut app, "y"), Some(Effect::Save));
}

#[test]
fn commands_for_several_trials_want_their_number_typed() {
    let mut app = study();
    app.marked = [TrialId(4), TrialId(5), TrialId(1)].into();
    assert_eq!(press(&mut app, "T"), None);
    assert!(frame(&mut app, 80, 24, RICH).contains("Type 2, then enter"));
    assert_eq!(press(&mut app, "y<enter>"), None);
    assert!(matches!(app.mode, Mode::Confirm { .. }), "a wrong word changes nothing");
    let both = [4, 5].map(|id| Command::StopTrial { trial: TrialId(id) });
    assert_eq!(press(&mut app, "<backspace>2<enter>"), Some(Effect::Ask(both.into())));
    press(&mut app, "T");
    assert_eq!(press(&mut app, "<esc>"), None);
    assert_eq!(app.mode, Mode::Normal);
}

#[test]
fn commands_fit_the_state_of_the_trial() {
    let mut app = study();
    for (id, key, expected) in [
        (4, "z", ask(Command::PauseTrial { trial: TrialId(4) })),
        (6, "z", ask(Command::ResumeTrial { trial: TrialId(6) })),
        (3, "R", ask(Command::Retry { trial: TrialId(3) })),
        (1, "R", None),
        (1, "T", None),
        (3, "P", None),
    ] {
        app.select(TrialId(id));
        assert_eq!(press(&mut app, key), None, "{id} {key}");
        assert_eq!(app.toast.is_empty(), expected.is_some(), "{id} {key}");
        assert_eq!(press(&mut app, "y"), expected, "{id} {key}");
        assert_eq!(app.mode, Mode::Normal, "{id} {key}");
    }
}

#[test]
fn ctrl_c_twice_offers_to_stop_where_the_controller_was_started() {
    let mut app = study();
    app.owns = true;
    assert_eq!(press(&mut app, "<ctrl-c>"), None);
    assert_eq!(press(&mut app, "j<ctrl-c>"), None, "another key in between");
    assert_eq!(app.mode, Mode::Normal);
    assert_eq!(press(&mut app, "<ctrl-c>"), None);
    assert_eq!(press(&mut app, "y"), ask(Command::Stop));
    assert_eq!(press(&mut app, "q"), Some(Effect::Detach));
}

#[test]
fn palette_does_or_says_why_not() {
    let mut app = study();
    press(&mut app, ":go 6<enter>");
    assert_eq!(app.selected, Some(TrialId(6)));
    press(&mut app, ":metric loss<enter>");
    assert_eq!((app.curve_metric(), app.view), ("train/loss", View::Curves));
    press(&mut app, ":filter state:failed<enter>");
    assert_eq!(ids(&app), [3]);
    press(&mut app, ":go 99<enter>");
    assert_eq!(app.toast, "there is no trial 0099");
    press(&mut app, ":nonsense<enter>");
    assert!(app.toast.starts_with("no command"), "{}", app.toast);
    assert_eq!(press(&mut app, ":quit<enter>"), Some(Effect::Detach));
}

#[test]
fn log_is_searched_upwards_and_jumps_to_the_first_error() {
    let mut app = study();
    app.log.trial = app.selected;
    app.log.lines = (1..=30).map(|i| format!("line {i}{}", if i % 10 == 0 { " Error" } else { "" })).collect();
    press(&mut app, "E");
    assert_eq!((app.view, app.log.up), (View::Logs, 20));
    press(&mut app, "/LINE 2<enter>");
    assert_eq!(app.log.up, 1, "line 29 is the nearest above the end");
    press(&mut app, "n");
    assert_eq!(app.log.up, 2);
    press(&mut app, "/absent<enter>");
    assert_eq!(app.toast, "\"absent\" is not in the log");
}

#[test]
fn mouse_selects_sorts_and_scrolls() {
    let mut app = study();
    frame(&mut app, 80, 24, RICH);
    let size = Size::new(80, 24);
    let event = |kind, column, row| MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    let left = MouseEventKind::Down(MouseButton::Left);
    // Row 0 is the header, 1 the frame, 2 the titles, 3 the first trial.
    assert!(mouse::point(&mut app, event(left, 10, 5), size));
    assert_eq!(app.selected, Some(TrialId(0)));
    assert!(mouse::point(&mut app, event(MouseEventKind::ScrollDown, 10, 5), size));
    assert_eq!(app.selected, Some(TrialId(6)));
    assert!(mouse::point(&mut app, event(left, 2, 2), size));
    assert_eq!(ids(&app), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(mouse::point(&mut app, event(left, 2, 2), size));
    assert_eq!(ids(&app)[0], 7);
    assert!(!mouse::point(&mut app, event(MouseEventKind::Moved, 2, 2), size));
}

#[test]
fn read_only_asks_nothing_of_the_study() {
    let mut app = study();
    app.read_only = Some("--read-only was given".to_owned());
    for key in ["T", "K", "z", "R", "P"] {
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
    assert_eq!(app.view, View::Promotion);
    assert_eq!(press(&mut app, "D"), app.selected.map(Effect::Describe));
    assert_eq!(press(&mut app, "c"), app.selected.map(Effect::Copy));
    assert_eq!(press(&mut app, "<ctrl-z>"), Some(Effect::Suspend));
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
