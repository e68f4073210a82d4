//! `cliptune stop`, `pause` and `resume`, of a whole study or of one trial; `priority` of a trial; `add`, which gives a study
//! more to do.

use super::study;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::ids::TrialId;
use crate::journal::event::Params;
use crate::journal::spool::Command;

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// One trial instead of the whole study.
    #[arg(value_name = "TRIAL")]
    pub trial: Option<TrialId>,
    /// Kill the trial's worker now, without a checkpoint.
    #[arg(long, requires = "trial")]
    pub kill: bool,
}

/// Arguments of `pause` and `resume`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// One trial instead of the whole study.
    #[arg(value_name = "TRIAL")]
    pub trial: Option<TrialId>,
}

/// Stops the study, or the trial for good.
///
/// # Errors
/// When there is no such study or trial, or no controller to carry the command out.
pub fn stop(args: &StopArgs) -> Result<ExitCode, Problems> {
    let command = match args.trial {
        None => Command::Stop,
        Some(trial) if args.kill => Command::KillTrial { trial },
        Some(trial) => Command::StopTrial { trial },
    };
    study::send(&args.study, args.trial, &command)
}

/// Starts no new trials, or pauses the trial.
///
/// # Errors
/// As [`stop`].
pub fn pause(args: &Args) -> Result<ExitCode, Problems> {
    send(args, Command::Pause, |trial| Command::PauseTrial { trial })
}

/// Starts trials again, or queues the paused trial.
///
/// # Errors
/// As [`stop`].
pub fn resume(args: &Args) -> Result<ExitCode, Problems> {
    send(args, Command::Resume, |trial| Command::ResumeTrial { trial })
}

/// Arguments of `priority`.
#[derive(Debug, clap::Args)]
pub struct PriorityArgs {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// The trial.
    #[arg(value_name = "TRIAL")]
    pub trial: TrialId,
    /// Waiting trials with a higher one start first; that of all others is 0.
    #[arg(value_name = "LEVEL", default_value_t = 1, allow_negative_numbers = true)]
    pub level: i32,
}

/// Lets a waiting trial start before others, or after them.
///
/// # Errors
/// When there is no such study or trial.
pub fn priority(args: &PriorityArgs) -> Result<ExitCode, Problems> {
    let command = Command::Prioritise { trial: args.trial, priority: args.level };
    study::send(&args.study, Some(args.trial), &command)
}

/// Arguments of `add`.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// So many more trials of the sampler's choice.
    #[arg(long, value_name = "N", conflicts_with = "point", required_unless_present = "point")]
    pub trials: Option<u32>,
    /// One trial at this point; keys that are left out are those of the baseline.
    #[arg(value_name = "KEY=VALUE")]
    pub point: Vec<String>,
}

/// Adds trials to a study.
///
/// # Errors
/// When there is no such study, or the point is none of its space.
pub fn add(args: &AddArgs) -> Result<ExitCode, Problems> {
    if let Some(count) = args.trials {
        return study::send(&args.study, None, &Command::AddTrials { count });
    }
    let (_, state) = study::open(&args.study)?;
    let mut params: Params = state.trials.get(&TrialId(0)).map(|t| t.params.clone()).unwrap_or_default();
    for setting in &args.point {
        let Some((key, value)) = setting.split_once('=') else {
            let problem = Problem::new(format!("{setting}: not KEY=VALUE"));
            return Err(Problems::one(ExitCode::Usage, problem.help("for example train.optim.vision_lr=3e-5")));
        };
        let value = serde_yaml::from_str(value).unwrap_or_else(|_| value.into());
        params.insert(key.trim().to_owned(), value);
    }
    study::send(&args.study, None, &Command::Enqueue { params })
}

fn send(args: &Args, whole: Command, one: impl Fn(TrialId) -> Command) -> Result<ExitCode, Problems> {
    study::send(&args.study, args.trial, &args.trial.map_or(whole, one))
}
