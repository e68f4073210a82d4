//! The state of the screen and what keys do to it. Pure: no terminal, no files, no clock.
//!
//! Invariant: `selected` is a trial that is visible, or `None` when none is.

mod ask;
mod keys;
mod view;

use std::collections::BTreeSet;

use super::filter::Filter;
use super::keymap_table::{END, PAGE};
use super::rows::{Overview, Study, Trial};
use super::sort::{self, Column};
use crate::base::ids::TrialId;
use crate::journal::spool::Command;

pub use ask::{Deed, described};
pub use view::{Over, Picture, SMOOTHING, View};

/// What keys mean at the moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Mode {
    /// The key table.
    #[default]
    Normal,
    /// A filter is typed.
    Filter,
    /// What to look for in the log is typed.
    Find,
    /// A command is typed.
    Palette(String),
    /// A question waits for yes or no.
    Confirm {
        /// The question.
        question: String,
        /// What has to be typed for a yes; `None` wants a `y` alone.
        word: Option<String>,
        /// What was typed so far.
        typed: String,
        /// What a yes does.
        yes: Effect,
    },
    /// The help page is open, from this row on.
    Help(usize),
    /// A trial in full, from this row on.
    Describe {
        /// The trial.
        trial: TrialId,
        /// A line a fact.
        lines: Vec<String>,
        /// The first line shown.
        from: usize,
    },
}

/// What the shell around the app has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Leave.
    Detach,
    /// Drop commands into the spool.
    Ask(Vec<Command>),
    /// Show another study of the workspace.
    Open(usize),
    /// Put a trial's facts into the app.
    Describe(TrialId),
    /// Put the folder of a trial into the clipboard.
    Copy(TrialId),
    /// Write the table and the screen into files.
    Save,
    /// Give the terminal to the shell until it comes back.
    Suspend,
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
    /// Every study of the workspace; fewer than two when there is only this one.
    pub studies: Vec<Overview>,
    /// The selected study.
    pub chosen: usize,
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
    /// The trials that stay at the top.
    pub pinned: BTreeSet<TrialId>,
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
    /// Which of [`SMOOTHING`] curves are drawn with.
    pub smoothing: usize,
    /// What curves are drawn over.
    pub over: Over,
    /// What the parameters view draws.
    pub picture: Picture,
    /// Whether what is shown stands still.
    pub frozen: bool,
    /// Whether keys that ask the study for something are dead, and why.
    pub read_only: Option<String>,
    /// Whether this terminal started the controller: ctrl-c twice then offers to stop the study.
    pub owns: bool,
    /// Whether ctrl-c was the last key.
    armed: bool,
    /// The console of the selected trial.
    pub log: Log,
    /// What is looked for in it.
    pub find: String,
    /// Whether its long lines are broken instead of cut.
    pub wrap: bool,
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

    /// The trials that pass the filter, in the order of the table: pinned ones first.
    pub fn visible(&self) -> Vec<&Trial> {
        let mut rows: Vec<&Trial> = self.trials.iter().filter(|t| self.filter.passes(t)).collect();
        sort::sort(&mut rows, self.column, self.reversed, self.study.direction);
        rows.sort_by_key(|t| !self.pinned.contains(&t.id));
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

    /// Sorts by a column, the other way round when it is the one already, as a click on its title does.
    pub fn sort_by(&mut self, column: Column) {
        self.reversed = self.column == column && !self.reversed;
        self.column = column;
    }

    /// Shows a trial in full.
    pub fn describe(&mut self, trial: TrialId, lines: Vec<String>) {
        self.mode = Mode::Describe { trial, lines, from: 0 };
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

    fn move_by(&mut self, by: i32) {
        let half = self.page / 2;
        match self.view {
            View::Studies => self.chosen = moved(self.chosen, by, half, self.studies.len()),
            View::Logs => self.log.up = moved(self.log.up, -by, half, self.log.lines.len()),
            _ => {
                let visible: Vec<TrialId> = self.visible().iter().map(|t| t.id).collect();
                let here = visible.iter().position(|id| Some(*id) == self.selected).unwrap_or(0);
                self.selected = visible.get(moved(here, by, half, visible.len())).copied();
            }
        }
    }

    fn toggle_mark(&mut self) {
        if let Some(id) = self.selected
            && !self.marked.remove(&id)
        {
            self.marked.insert(id);
        }
    }

    fn toggle_pin(&mut self) {
        if let Some(id) = self.selected
            && !self.pinned.remove(&id)
        {
            self.pinned.insert(id);
        }
    }

    /// Every metric of the trials, in order.
    fn metrics(&self) -> Vec<&String> {
        let all: BTreeSet<&String> = self.trials.iter().flat_map(|t| t.curves.metrics.keys()).collect();
        all.into_iter().collect()
    }

    fn next_metric(&mut self) {
        let all = self.metrics();
        let here = all.iter().position(|m| m.as_str() == self.curve_metric());
        self.metric = all.get(here.map_or(0, |i| (i + 1) % all.len())).map(|m| (*m).clone());
    }

    /// Scrolls the log to the next line above the present one that passes, from the end again when there is none.
    fn look_up(&mut self, passes: impl Fn(&str) -> bool) -> bool {
        let count = self.log.lines.len();
        let found = |from: usize| (from..count).find(|up| passes(&self.log.lines[count - 1 - up].to_lowercase()));
        match found(self.log.up + 1).or_else(|| found(0)) {
            Some(up) => self.log.up = up,
            None => return false,
        }
        true
    }

    /// Scrolls the log to its first line that reports an error.
    fn first_error(&mut self) {
        let found = self.log.lines.iter().position(|line| is_error(line));
        match found {
            Some(line) => self.log.up = self.log.lines.len() - 1 - line,
            None => self.toast = "no line of the log reports an error".to_owned(),
        }
    }
}

/// Whether a line of a log reports an error.
pub fn is_error(line: &str) -> bool {
    let line = line.to_lowercase();
    line.contains("error") || line.contains("panicked")
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
