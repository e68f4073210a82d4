//! Every key, once: dispatch, the help page and the hint bar all read this table.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::app::{Deed, View};

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leaves the screen; the study goes on.
    Detach,
    /// Shows or hides the help.
    Help,
    /// Gives the terminal to the shell.
    Suspend,
    /// The curves, or the selected study.
    Open,
    /// Shows a view.
    Show(View),
    /// The next view.
    NextView,
    /// The view before.
    PreviousView,
    /// Back to the trials, then to the studies.
    Back,
    /// One view over the whole screen, or several again.
    Expand,
    /// Moves by this many rows; a page is [`PAGE`], the end [`END`].
    Move(i32),
    /// Marks the selected trial, or takes the mark away.
    Mark,
    /// Pins the selected trial to the top, or lets it go.
    Pin,
    /// Breaks long lines of the log, or cuts them.
    Wrap,
    /// Starts typing a filter, in the log what to look for.
    Filter,
    /// Looks further up in the log.
    FindNext,
    /// The first error of the log.
    FirstError,
    /// Starts typing a command.
    Palette,
    /// The next column to sort by.
    Sort,
    /// Sorts the other way round.
    Reverse,
    /// The next metric of the curves.
    NextMetric,
    /// Linear or logarithmic curves.
    LogScale,
    /// The next smoothing of the curves.
    Smooth,
    /// Curves over epochs, steps or time.
    Over,
    /// The next picture of the parameters.
    Picture,
    /// Stops or starts updating what is shown.
    Freeze,
    /// Follows the end of the log, or not.
    Follow,
    /// A trial in full.
    Describe,
    /// The trial's folder into the clipboard.
    Copy,
    /// The table and the screen into files.
    Save,
    /// Asks the study for something.
    Deed(Deed),
}

/// Rows of [`Action::Move`] that stand for half a page.
pub const PAGE: i32 = 1000;
/// Rows of [`Action::Move`] that stand for the first or last row.
pub const END: i32 = 1_000_000;

/// A key press, without the keys that a terminal cannot tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character; capitals are their own.
    Char(char),
    /// Control and a character.
    Ctrl(char),
    /// Another key.
    Code(KeyCode),
}

impl From<KeyEvent> for Key {
    fn from(event: KeyEvent) -> Self {
        match event.code {
            KeyCode::Char(c) if event.modifiers.contains(KeyModifiers::CONTROL) => Self::Ctrl(c.to_ascii_lowercase()),
            KeyCode::Char(c) => Self::Char(c),
            KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => Self::Code(KeyCode::BackTab),
            code => Self::Code(code),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Char(' ') => f.write_str("space"),
            Self::Char(c) => write!(f, "{c}"),
            Self::Ctrl(c) => write!(f, "ctrl-{c}"),
            Self::Code(code) => f.write_str(&match code {
                KeyCode::BackTab => "shift-tab".to_owned(),
                KeyCode::PageUp => "pgup".to_owned(),
                KeyCode::PageDown => "pgdn".to_owned(),
                KeyCode::Esc => "esc".to_owned(),
                other => format!("{other}").to_lowercase(),
            }),
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [Key],
    /// What they do.
    pub action: Action,
    /// The word in the hint bar; empty when it is not shown there.
    pub hint: &'static str,
    /// The sentence on the help page.
    pub help: &'static str,
}

impl Binding {
    /// Whether it asks the study for something; such keys are dead with `--read-only`.
    pub fn commands(&self) -> bool {
        matches!(self.action, Action::Deed(_))
    }
}

const fn bind(keys: &'static [Key], action: Action, hint: &'static str, help: &'static str) -> Binding {
    Binding { keys, action, hint, help }
}

use Key::{Char, Code, Ctrl};

/// The table, in the order of the hint bar.
pub const BINDINGS: &[Binding] = &[
    bind(&[Code(KeyCode::Enter)], Action::Open, "open", "the curves of the trial; in the studies, the study"),
    bind(&[Char('/')], Action::Filter, "filter", "filter: state:failed, lr>1e-4, -not, a | b; in the log: find"),
    bind(&[Char('s')], Action::Sort, "sort", "sort by the next column"),
    bind(&[Char('S')], Action::Reverse, "", "sort the other way round"),
    bind(&[Char(' ')], Action::Mark, "mark", "mark the trial: its curve is drawn, T K z R mean all marked"),
    bind(&[Char('p')], Action::Pin, "", "pin the trial: it stays at the top, its curve is drawn"),
    bind(&[Char('e')], Action::Expand, "expand", "one view over the whole screen, and back"),
    bind(&[Char('D')], Action::Describe, "describe", "the trial in full: point, files, spec against the defaults"),
    bind(&[Char('l'), Char('5')], Action::Show(View::Logs), "logs", "console of the selected trial"),
    bind(&[Char('T')], Action::Deed(Deed::Stop), "stop", "stop the trial for good"),
    bind(&[Char('K')], Action::Deed(Deed::Kill), "", "kill the trial at once, without a checkpoint"),
    bind(&[Char('z')], Action::Deed(Deed::Pause), "pause", "pause the trial, or queue a paused one again"),
    bind(&[Char('R')], Action::Deed(Deed::Retry), "retry", "run a failed or stopped trial again"),
    bind(&[Char('P')], Action::Deed(Deed::Promote), "promote", "promote the trial: export, parity, engine"),
    bind(&[Char('?'), Char('h')], Action::Help, "help", "this page"),
    bind(&[Char('q'), Ctrl('c')], Action::Detach, "detach", "leave the screen; trials go on"),
    bind(&[Char('0')], Action::Show(View::Studies), "", "the studies of the workspace"),
    bind(&[Char('1')], Action::Show(View::Trials), "", "the trials"),
    bind(&[Char('2')], Action::Show(View::Curves), "", "the curves"),
    bind(&[Char('3')], Action::Show(View::Params), "", "the parameters and what they seem to matter"),
    bind(&[Char('4')], Action::Show(View::Gpus), "", "the GPUs and what ran on them when"),
    bind(&[Char('6')], Action::Show(View::Promotion), "", "the promotion, step by step"),
    bind(&[Code(KeyCode::Tab), Char(']')], Action::NextView, "", "the next view"),
    bind(&[Code(KeyCode::BackTab), Char('[')], Action::PreviousView, "", "the view before"),
    bind(&[Code(KeyCode::Esc)], Action::Back, "", "clear the filter, then back"),
    bind(&[Char('j'), Code(KeyCode::Down)], Action::Move(1), "", "down"),
    bind(&[Char('k'), Code(KeyCode::Up)], Action::Move(-1), "", "up"),
    bind(&[Ctrl('d'), Code(KeyCode::PageDown)], Action::Move(PAGE), "", "half a page down"),
    bind(&[Ctrl('u'), Code(KeyCode::PageUp)], Action::Move(-PAGE), "", "half a page up"),
    bind(&[Char('g'), Code(KeyCode::Home)], Action::Move(-END), "", "the first"),
    bind(&[Char('G'), Code(KeyCode::End)], Action::Move(END), "", "the last"),
    bind(&[Char('m')], Action::NextMetric, "", "curves: the next metric"),
    bind(&[Char('y')], Action::LogScale, "", "curves: linear or logarithmic"),
    bind(&[Char('~')], Action::Smooth, "", "curves: smooth by 0.6, 0.9, 0.99, or not"),
    bind(&[Char('x')], Action::Over, "", "curves: over epochs, steps or minutes"),
    bind(&[Char('v')], Action::Picture, "", "params: importance, slices, parallel, best so far"),
    bind(&[Char('n')], Action::FindNext, "", "log: the next line further up"),
    bind(&[Char('E')], Action::FirstError, "", "log: the first error"),
    bind(&[Char('F')], Action::Follow, "", "log: follow the end, or stay"),
    bind(&[Char('w')], Action::Wrap, "", "log: break long lines, or cut them"),
    bind(&[Char('f')], Action::Freeze, "", "freeze what is shown; nothing is lost"),
    bind(&[Char('c')], Action::Copy, "", "copy the folder of the trial"),
    bind(&[Ctrl('s')], Action::Save, "", "write the table (CSV) and the screen into files"),
    bind(&[Char(':')], Action::Palette, "", "type a command, for example :stop 7"),
    bind(&[Ctrl('z')], Action::Suspend, "", "back to the shell; fg returns"),
];

/// The row of a key.
pub fn lookup(key: Key) -> Option<&'static Binding> {
    BINDINGS.iter().find(|b| b.keys.contains(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_no_key_is_bound_twice_and_every_row_is_explained() {
        let mut seen = Vec::new();
        for binding in BINDINGS {
            assert!(!binding.help.is_empty() && !binding.keys.is_empty());
            for key in binding.keys {
                assert!(!seen.contains(key), "{key} is bound twice");
                seen.push(*key);
            }
        }
    }

    #[test]
    fn key_names_read_well() {
        let names = [Char(' '), Ctrl('d'), Code(KeyCode::BackTab), Code(KeyCode::Enter), Code(KeyCode::PageUp)];
        assert_eq!(names.map(|k| k.to_string()), ["space", "ctrl-d", "shift-tab", "enter", "pgup"]);
    }
}
