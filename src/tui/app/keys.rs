//! What a key does, in every mode.

use crossterm::event::KeyCode;

use super::{App, Effect, Mode, SMOOTHING, View, moved};
use crate::journal::spool::Command;
use crate::tui::keymap_table::{self, Action, BINDINGS, Key};
use crate::tui::palette::{self, Typed};

impl App {
    /// What a key does in the present mode.
    pub fn press(&mut self, key: Key) -> Option<Effect> {
        self.toast.clear();
        if key == Key::Ctrl('c') {
            return self.interrupt();
        }
        self.armed = false;
        match &mut self.mode {
            Mode::Normal => self.act(key),
            Mode::Filter => {
                let mut text = std::mem::take(&mut self.filter_text);
                if let Some(end) = edit(&mut text, key) {
                    self.mode = Mode::Normal;
                    text = if end == End::Keep { text } else { String::new() };
                }
                self.set_filter(text);
                None
            }
            Mode::Find => {
                match edit(&mut self.find, key) {
                    Some(End::Keep) => {
                        self.mode = Mode::Normal;
                        self.log.up = 0;
                        self.find_next();
                    }
                    Some(End::Drop) => {
                        self.mode = Mode::Normal;
                        self.find.clear();
                    }
                    None => {}
                }
                None
            }
            Mode::Palette(text) => match edit(text, key)? {
                End::Drop => {
                    self.mode = Mode::Normal;
                    None
                }
                End::Keep => {
                    let text = std::mem::take(text);
                    self.mode = Mode::Normal;
                    self.run(&text)
                }
            },
            Mode::Confirm { .. } => self.answer(key),
            Mode::Help(row) => {
                let rows = BINDINGS.len() + palette::COMMANDS.len() + 1;
                match keymap_table::lookup(key).map(|b| b.action) {
                    Some(Action::Move(by)) => *row = moved(*row, by, self.page / 2, rows),
                    _ => self.mode = Mode::Normal,
                }
                None
            }
            Mode::Describe { lines, from, .. } => {
                match keymap_table::lookup(key).map(|b| b.action) {
                    Some(Action::Move(by)) => *from = moved(*from, by, self.page / 2, lines.len()),
                    _ => self.mode = Mode::Normal,
                }
                None
            }
        }
    }

    /// ctrl-c leaves the screen, in the terminal that started the controller only after a question.
    fn interrupt(&mut self) -> Option<Effect> {
        if !self.owns || self.read_only.is_some() {
            return Some(Effect::Detach);
        }
        if !std::mem::replace(&mut self.armed, true) {
            self.toast = "ctrl-c again to stop the study; q leaves it running".to_owned();
            return None;
        }
        self.armed = false;
        self.mode = Mode::Confirm {
            question: "Stop the study? Running trials write a checkpoint; --resume goes on".to_owned(),
            word: None,
            typed: String::new(),
            yes: Effect::Ask(vec![Command::Stop]),
        };
        None
    }

    fn answer(&mut self, key: Key) -> Option<Effect> {
        let Mode::Confirm { word, typed, yes, .. } = &mut self.mode else { return None };
        let is_no = matches!(key, Key::Code(KeyCode::Esc) | Key::Char('n' | 'N' | 'q'));
        let is_yes = match word {
            _ if is_no => false,
            None => matches!(key, Key::Char('y' | 'Y')),
            Some(word) => {
                let entered = edit(typed, key) == Some(End::Keep);
                entered && typed == word
            }
        };
        let effect = is_yes.then(|| yes.clone());
        if is_no || is_yes {
            self.mode = Mode::Normal;
        }
        effect
    }

    fn act(&mut self, key: Key) -> Option<Effect> {
        let several = self.studies.len() > 1;
        match keymap_table::lookup(key)?.action {
            Action::Detach => return Some(Effect::Detach),
            Action::Suspend => return Some(Effect::Suspend),
            Action::Help => self.mode = Mode::Help(0),
            Action::Open if self.view == View::Studies => return Some(Effect::Open(self.chosen)),
            Action::Open => self.view = View::Curves,
            Action::Show(View::Studies) if !several => {
                self.toast = "one study only; name several folders, or one that holds them".to_owned();
            }
            Action::Show(view) => self.view = view,
            Action::NextView => self.view = self.view.step(1, several),
            Action::PreviousView => {
                self.view = self.view.step(View::ALL.len() - 1 - usize::from(!several), several);
            }
            Action::Back if !self.filter_text.is_empty() => self.set_filter(String::new()),
            Action::Back => {
                self.expanded = false;
                self.view = if several && self.view == View::Trials { View::Studies } else { View::Trials };
            }
            Action::Expand => self.expanded = !self.expanded,
            Action::Move(by) => self.move_by(by),
            Action::Mark => self.toggle_mark(),
            Action::Pin => self.toggle_pin(),
            Action::Wrap => self.wrap = !self.wrap,
            Action::Filter if self.view == View::Logs => {
                self.find.clear();
                self.mode = Mode::Find;
            }
            Action::Filter => self.mode = Mode::Filter,
            Action::FindNext => self.find_next(),
            Action::FirstError => {
                self.view = View::Logs;
                self.first_error();
            }
            Action::Palette => self.mode = Mode::Palette(String::new()),
            Action::Sort => self.column = self.column.next(),
            Action::Reverse => self.reversed = !self.reversed,
            Action::NextMetric => self.next_metric(),
            Action::LogScale => self.log_scale = !self.log_scale,
            Action::Smooth => self.smoothing = (self.smoothing + 1) % SMOOTHING.len(),
            Action::Over => self.over = self.over.next(),
            Action::Picture if self.view == View::Params => self.picture = self.picture.next(),
            Action::Picture => self.view = View::Params,
            Action::Freeze => self.frozen = !self.frozen,
            Action::Follow => self.log.up = if self.log.up == 0 { 1 } else { 0 },
            Action::Describe => return self.selected.map(Effect::Describe),
            Action::Copy => return self.selected.map(Effect::Copy),
            Action::Save => {
                let question = "Write the table and the screen into this folder?".to_owned();
                self.mode = Mode::Confirm { question, word: None, typed: String::new(), yes: Effect::Save };
            }
            Action::Deed(deed) => self.ask_about_chosen(deed),
        }
        None
    }

    fn find_next(&mut self) {
        let find = self.find.to_lowercase();
        if find.is_empty() {
            self.toast = "nothing to look for: / in the log".to_owned();
        } else if !self.look_up(|line| line.contains(&find)) {
            self.toast = format!("{:?} is not in the log", self.find);
        }
    }

    /// Carries a typed command out, or says what is wrong with it.
    fn run(&mut self, text: &str) -> Option<Effect> {
        match palette::parse(text) {
            Err(why) => self.toast = why,
            Ok(Typed::Quit) => return Some(Effect::Detach),
            Ok(Typed::Trial(deed, id)) => self.ask_about(deed, &[id]),
            Ok(Typed::Add(count)) => self.ask(vec![Command::AddTrials { count }]),
            Ok(Typed::Go(id)) if self.trials.iter().any(|t| t.id == id) => self.select(id),
            Ok(Typed::Go(id)) => self.toast = format!("there is no trial {id}"),
            Ok(Typed::Sort(column)) => self.sort_by(column),
            Ok(Typed::Show(view)) => self.view = view,
            Ok(Typed::Metric(name)) => match self.metrics().into_iter().find(|m| m.ends_with(&name)).cloned() {
                Some(metric) => (self.metric, self.view) = (Some(metric), View::Curves),
                None => self.toast = format!("no metric {name:?}"),
            },
            Ok(Typed::Filter(text)) => self.set_filter(text),
        }
        None
    }
}

/// How typing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Keep,
    Drop,
}

/// Types into a line of text; tells when that is over.
fn edit(text: &mut String, key: Key) -> Option<End> {
    match key {
        Key::Code(KeyCode::Enter) => return Some(End::Keep),
        Key::Code(KeyCode::Esc) => return Some(End::Drop),
        Key::Code(KeyCode::Backspace) => drop(text.pop()),
        Key::Ctrl('u') => text.clear(),
        Key::Char(c) => text.push(c),
        _ => {}
    }
    None
}
