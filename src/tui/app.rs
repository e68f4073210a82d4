//! The state of the screen and what keys do to it. Pure: no terminal, no files, no clock.
//!
//! Invariant: `selected` is a trial that is visible, or `None` when none is.

use std::collections::BTreeSet;

use crossterm::event::KeyCode;

use super::filter::Filter;
use super::keymap_table::{self, Action, END, Key, PAGE};
use super::rows::{Study, Trial};
use super::sort::{self, Column};
use crate::base::ids::TrialId;
use crate::journal::spool::Command;
use crate::state::TrialStatus;

/// A view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The table of trials.
    #[default]
    Trials,
    /// Metrics over epochs.
    Curves,
    /// Parameters against the metric.
    Params,
    /// The console of a trial.
    Logs,
}

impl View {
    /// Every view, in the order of the tab key.
    pub const ALL: [Self; 4] = [Self::Trials, Self::Curves, Self::Params, Self::Logs];

    /// Its number and title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Trials => "1 Trials",
            Self::Curves => "2 Curves",
            Self::Params => "3 Params",
            Self::Logs => "5 Logs",
        }
    }

    fn step(self, by: usize) -> Self {
        let here = Self::ALL.iter().position(|v| *v == self).unwrap_or(0);
        Self::ALL[(here + by) % Self::ALL.len()]
    }
}

/// What keys mean at the moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Mode {
    /// The key table.
    #[default]
    Normal,
    /// A filter is typed.
    Filter,
    /// A question waits for yes or no.
    Confirm {
        /// The question.
        question: String,
        /// What a yes asks of the study.
        command: Command,
    },
    /// The help page is open, from this row on.
    Help(usize),
}

/// What the shell around the app has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Leave.
    Detach,
    /// Drop a command into the spool.
    Ask(Command),
}

/// The console of a trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// Whose it is.
    pub trial: Option<TrialId>,
    /// Its last lines.
    pub lines: Vec<String>,
    /// Lines the view is scrolled up from the end; 0 follows.
    pub up: usize,
}

/// The screen.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// The study.
    pub study: Study,
    /// Its trials, by number.
    pub trials: Vec<Trial>,
    /// The focused view.
    pub view: View,
    /// Whether it has the screen for itself.
    pub expanded: bool,
    /// What keys mean.
    pub mode: Mode,
    /// The selected trial.
    pub selected: Option<TrialId>,
    /// The marked trials.
    pub marked: BTreeSet<TrialId>,
    /// The column the table is sorted by.
    pub column: Column,
    /// Whether it is sorted the other way round.
    pub reversed: bool,
    /// The filter as typed.
    pub filter_text: String,
    filter: Filter,
    /// The metric of the curves; `None` is the study's.
    pub metric: Option<String>,
    /// Whether curves are drawn over a logarithmic axis.
    pub log_scale: bool,
    /// Whether what is shown stands still.
    pub frozen: bool,
    /// Whether keys that ask the study for something are dead, and why.
    pub read_only: Option<String>,
    /// The console of the selected trial.
    pub log: Log,
    /// A word about what just happened.
    pub toast: String,
    /// Rows of a page, as last drawn.
    pub page: usize,
}

impl App {
    /// A screen of a study.
    pub fn new(study: Study, trials: Vec<Trial>) -> Self {
        let mut app = Self { page: 10, ..Self::default() };
        app.set(study, trials);
        app
    }

    /// Takes in a newer state of the study; the selection stays with its trial.
    pub fn set(&mut self, study: Study, trials: Vec<Trial>) {
        self.study = study;
        self.trials = trials;
        self.repair_selection();
    }

    /// The trials that pass the filter, in the order of the table.
    pub fn visible(&self) -> Vec<&Trial> {
        let mut rows: Vec<&Trial> = self.trials.iter().filter(|t| self.filter.passes(t)).collect();
        sort::sort(&mut rows, self.column, self.reversed, self.study.direction);
        rows
    }

    /// The selected trial.
    pub fn selection(&self) -> Option<&Trial> {
        self.trials.iter().find(|t| Some(t.id) == self.selected)
    }

    /// The metric that the curves show.
    pub fn curve_metric(&self) -> &str {
        self.metric.as_deref().unwrap_or(&self.study.metric)
    }

    /// Selects a trial, as a click does.
    pub fn select(&mut self, trial: TrialId) {
        self.selected = Some(trial);
        self.repair_selection();
    }

    /// What a key does in the present mode.
    pub fn press(&mut self, key: Key) -> Option<Effect> {
        self.toast.clear();
        if key == Key::Ctrl('c') {
            return Some(Effect::Detach);
        }
        match &mut self.mode {
            Mode::Normal => self.act(key),
            Mode::Filter => {
                self.edit_filter(key);
                None
            }
            Mode::Confirm { command, .. } => match key {
                Key::Char('y' | 'Y') => {
                    let command = command.clone();
                    self.mode = Mode::Normal;
                    Some(Effect::Ask(command))
                }
                Key::Char('n' | 'N' | 'q') | Key::Code(KeyCode::Esc) => {
                    self.mode = Mode::Normal;
                    None
                }
                _ => None,
            },
            Mode::Help(row) => {
                match keymap_table::lookup(key).map(|b| b.action) {
                    Some(Action::Move(by)) => *row = moved(*row, by, self.page / 2, keymap_table::BINDINGS.len()),
                    _ => self.mode = Mode::Normal,
                }
                None
            }
        }
    }

    fn act(&mut self, key: Key) -> Option<Effect> {
        let binding = keymap_table::lookup(key)?;
        if binding.commands {
            return self.ask(binding.action);
        }
        match binding.action {
            Action::Detach => return Some(Effect::Detach),
            Action::Help => self.mode = Mode::Help(0),
            Action::Show(view) => self.view = view,
            Action::NextView => self.view = self.view.step(1),
            Action::PreviousView => self.view = self.view.step(View::ALL.len() - 1),
            Action::Back if !self.filter_text.is_empty() => self.set_filter(String::new()),
            Action::Back => {
                self.expanded = false;
                self.view = View::Trials;
            }
            Action::Expand => self.expanded = !self.expanded,
            Action::Move(by) if self.view == View::Logs => self.scroll_log(by),
            Action::Move(by) => self.move_selection(by),
            Action::Mark => self.toggle_mark(),
            Action::Filter => self.mode = Mode::Filter,
            Action::Sort => self.column = self.column.next(),
            Action::Reverse => self.reversed = !self.reversed,
            Action::NextMetric => self.next_metric(),
            Action::LogScale => self.log_scale = !self.log_scale,
            Action::Freeze => self.frozen = !self.frozen,
            Action::Follow => self.log.up = if self.log.up == 0 { 1 } else { 0 },
            Action::Stop | Action::Pause | Action::Retry | Action::Promote => {}
        }
        None
    }

    /// Asks the study for something: at once when it can be undone, after a question when not.
    fn ask(&mut self, action: Action) -> Option<Effect> {
        if let Some(why) = &self.read_only {
            self.toast = format!("read-only: {why}");
            return None;
        }
        let Some((trial, status)) = self.selection().map(|t| (t.id, t.status)) else {
            self.toast = "no trial is selected".to_owned();
            return None;
        };
        let over = status.is_final();
        let confirm = |question: String, command| Mode::Confirm { question, command };
        match action {
            Action::Stop if !over => {
                self.mode = confirm(format!("Stop trial {trial} for good?"), Command::StopTrial { trial });
                None
            }
            Action::Pause if status == TrialStatus::Paused => Some(Effect::Ask(Command::ResumeTrial { trial })),
            Action::Pause if !over => Some(Effect::Ask(Command::PauseTrial { trial })),
            Action::Retry if matches!(status, TrialStatus::Failed | TrialStatus::Cancelled) => {
                Some(Effect::Ask(Command::Retry { trial }))
            }
            Action::Promote if self.selection().is_some_and(|t| t.value.is_some()) => {
                let question = format!("Promote trial {trial}? Export, parity check, engine, manifest.");
                self.mode = confirm(question, Command::Promote { trial: Some(trial) });
                None
            }
            _ => {
                self.toast = format!("trial {trial} is {}: nothing to do", status.name());
                None
            }
        }
    }

    fn edit_filter(&mut self, key: Key) {
        let mut text = std::mem::take(&mut self.filter_text);
        match key {
            Key::Code(KeyCode::Enter) => self.mode = Mode::Normal,
            Key::Code(KeyCode::Esc) => {
                text.clear();
                self.mode = Mode::Normal;
            }
            Key::Code(KeyCode::Backspace) => {
                text.pop();
            }
            Key::Ctrl('u') => text.clear(),
            Key::Char(c) => text.push(c),
            _ => {}
        }
        self.set_filter(text);
    }

    fn set_filter(&mut self, text: String) {
        self.filter = Filter::parse(&text);
        self.filter_text = text;
        self.repair_selection();
    }

    fn repair_selection(&mut self) {
        let visible: Vec<TrialId> = self.visible().iter().map(|t| t.id).collect();
        if !self.selected.is_some_and(|id| visible.contains(&id)) {
            self.selected = visible.first().copied();
        }
    }

    fn move_selection(&mut self, by: i32) {
        let visible: Vec<TrialId> = self.visible().iter().map(|t| t.id).collect();
        let here = visible.iter().position(|id| Some(*id) == self.selected).unwrap_or(0);
        self.selected = visible.get(moved(here, by, self.page / 2, visible.len())).copied();
    }

    fn scroll_log(&mut self, by: i32) {
        self.log.up = moved(self.log.up, -by, self.page / 2, self.log.lines.len());
    }

    fn toggle_mark(&mut self) {
        if let Some(id) = self.selected
            && !self.marked.remove(&id)
        {
            self.marked.insert(id);
        }
    }

    fn next_metric(&mut self) {
        let all: BTreeSet<&String> = self.trials.iter().flat_map(|t| t.curves.keys()).collect();
        let all: Vec<&String> = all.into_iter().collect();
        let here = all.iter().position(|m| m.as_str() == self.curve_metric());
        self.metric = all.get(here.map_or(0, |i| (i + 1) % all.len())).map(|m| (*m).clone());
    }
}

/// `here` moved by `by` rows among `len`; see [`PAGE`] and [`END`].
fn moved(here: usize, by: i32, half_page: usize, len: usize) -> usize {
    let distance = match by.abs() {
        END => len,
        PAGE => half_page.max(1),
        rows => rows as usize,
    };
    if by < 0 { here.saturating_sub(distance) } else { (here + distance).min(len.saturating_sub(1)) }
}
