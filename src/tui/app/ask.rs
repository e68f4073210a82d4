//! What the screen asks of a study. Nothing is asked without a question first; more than one trial at once wants the number
//! typed.

use super::{App, Effect, Mode};
use crate::base::ids::TrialId;
use crate::journal::spool::Command;
use crate::state::TrialStatus;
use crate::tui::rows::Trial;

/// What can be done to a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Stopped for good, with a checkpoint.
    Stop,
    /// Stopped for good, at once.
    Kill,
    /// Paused; a paused one is queued again.
    Pause,
    /// Run again.
    Retry,
    /// Promoted.
    Promote,
}

impl Deed {
    /// The command that does it to a trial as it stands; `None` when there is nothing to do.
    fn command(self, trial: &Trial) -> Option<Command> {
        let (id, status) = (trial.id, trial.status);
        match self {
            Self::Stop if !status.is_final() => Some(Command::StopTrial { trial: id }),
            Self::Kill if status.is_active() => Some(Command::KillTrial { trial: id }),
            Self::Pause if status == TrialStatus::Paused => Some(Command::ResumeTrial { trial: id }),
            Self::Pause if !status.is_final() => Some(Command::PauseTrial { trial: id }),
            Self::Retry if matches!(status, TrialStatus::Failed | TrialStatus::Cancelled) => {
                Some(Command::Retry { trial: id })
            }
            Self::Promote if trial.value.is_some() => Some(Command::Promote { trial: Some(id), force: false }),
            _ => None,
        }
    }
}

/// What a command asks for, in words.
pub fn described(command: &Command) -> String {
    match command {
        Command::Stop => "stop the study".to_owned(),
        Command::StopTrial { trial } => format!("stop trial {trial} for good"),
        Command::KillTrial { trial } => format!("kill trial {trial} now, without a checkpoint"),
        Command::PauseTrial { trial } => format!("pause trial {trial}"),
        Command::ResumeTrial { trial } => format!("queue trial {trial} again"),
        Command::Retry { trial } => format!("retry trial {trial}"),
        Command::Promote { trial: Some(trial), .. } => {
            format!("promote trial {trial} (candidates, export, parity check, engine, manifest)")
        }
        Command::AddTrials { count } => format!("add {}", crate::base::units::plural(*count as usize, "trial")),
        other => format!("{other:?}").to_lowercase(),
    }
}

impl App {
    /// Asks about the marked trials, or the selected one when none is marked.
    pub(super) fn ask_about_chosen(&mut self, deed: Deed) {
        let mut chosen: Vec<TrialId> = self.marked.iter().copied().collect();
        if chosen.is_empty() || deed == Deed::Promote {
            chosen = self.selected.into_iter().collect();
        }
        self.ask_about(deed, &chosen);
    }

    /// Asks about these trials.
    pub(super) fn ask_about(&mut self, deed: Deed, ids: &[TrialId]) {
        let trials: Vec<&Trial> = self.trials.iter().filter(|t| ids.contains(&t.id)).collect();
        let commands: Vec<Command> = trials.iter().filter_map(|t| deed.command(t)).collect();
        self.toast = match (trials.as_slice(), ids) {
            ([], []) => "no trial is selected".to_owned(),
            ([], [id, ..]) => format!("there is no trial {id}"),
            ([only], _) => format!("trial {} is {}: nothing to do", only.id, only.status.name()),
            (several, _) => format!("nothing to do for these {} trials", several.len()),
        };
        if !commands.is_empty() || self.read_only.is_some() {
            self.ask(commands);
        }
    }

    /// Asks whether these commands are meant.
    pub(super) fn ask(&mut self, commands: Vec<Command>) {
        if let Some(why) = &self.read_only {
            self.toast = format!("read-only: {why}");
            return;
        }
        self.toast.clear();
        let mut question = described(&commands[0]);
        if let Some(first) = question.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let word = (commands.len() > 1).then(|| commands.len().to_string());
        question = match &word {
            None => question + "?",
            Some(count) => format!("{question} and {} more? Type {count}, then enter", commands.len() - 1),
        };
        self.mode = Mode::Confirm { question, word, typed: String::new(), yes: Effect::Ask(commands) };
    }
}
