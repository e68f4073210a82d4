//! `cliptune promote`: through the controller when there is one, by itself otherwise.

use super::watcher::Watcher;
use super::{study, train};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::journal::job::Action;
use crate::journal::spool::Command;
use crate::spec;
use crate::state::{PromotionState, snapshot};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// This trial instead of the best one.
    #[arg(value_name = "TRIAL")]
    pub trial: Option<crate::base::ids::TrialId>,
}

/// Runs the command.
///
/// # Errors
/// When there is no such study or trial, nothing to promote, or a step fails.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    if let Some(id) = args.trial {
        study::trial(&state, id)?;
    }
    if snapshot::controller_is_up(&dir) {
        return study::send(&args.study, args.trial, &Command::Promote { trial: args.trial });
    }
    if args.trial.is_none() && state.best().is_none() {
        let problem = Problem::new("no trial has finished: there is nothing to promote");
        return Err(Problems::one(ExitCode::NoTrialSucceeded, problem.help("name the trial, or continue the study")));
    }
    // A study that was moved is promoted where it is now.
    let here = std::path::absolute(dir.path()).unwrap_or_else(|_| dir.path().to_owned());
    let resolved = spec::load(Action::Train, Some(&dir.spec()), &[format!("results_dir={}", here.display())])?;
    let (mut config, _) = train::configure(&resolved, true)?;
    config.only_promote = Some(args.trial);
    let signals = train::install_signals()?;
    let left = {
        let mut watcher = Watcher::new();
        crate::study::run(config, &signals, &mut watcher)?
    };
    if left.state.promotion.as_ref().is_some_and(PromotionState::is_done) {
        return train::conclude(&dir, &left, false);
    }
    let why = left.state.promotion.iter().flat_map(|p| &p.steps).find(|s| s.status == "failed");
    let what = why.map_or_else(|| left.reason.clone(), |s| format!("{} failed: {}", s.step, s.detail));
    Err(Problems::one(ExitCode::Rejected, Problem::new(format!("not promoted: {what}"))))
}
