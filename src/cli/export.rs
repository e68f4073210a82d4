//! `cliptune export`: a model as ONNX graphs (the action), or a study in the format of another tool (`export optuna-journal STUDY`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{action, output, study};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files;
use crate::journal::job::Action;
use crate::journal::layout::StudyDir;
use crate::report::trackers::{self, Input, tensorboard};
use crate::state::{StateReader, StudyState, snapshot};

/// How often a study that is followed is looked at.
const PERIOD: Duration = Duration::from_millis(1000);

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(flatten)]
    action: action::Args,
    #[command(subcommand)]
    to: Option<To>,
}

/// The formats of other tools.
#[derive(Debug, clap::Subcommand)]
enum To {
    /// Event files for TensorBoard, a run for each trial, with HParams.
    #[command(name = "tensorboard")]
    Tensorboard(Board),
    /// A journal that Optuna and optuna-dashboard open.
    #[command(name = "optuna-journal")]
    OptunaJournal(File),
    /// The requests that make the study on an MLflow server, and a script that sends them.
    #[command(name = "mlflow")]
    Mlflow(Folder),
    /// The study's runs for Weights & Biases, and a script that logs them.
    #[command(name = "wandb")]
    Wandb(Folder),
    /// The lines of TAO's status.json, a file for each trial.
    #[command(name = "tao-status")]
    TaoStatus(Folder),
}

/// Arguments of exports that are folders.
#[derive(Debug, clap::Args)]
struct Folder {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    study: PathBuf,
    /// The folder to write into.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// Arguments of `tensorboard`.
#[derive(Debug, clap::Args)]
struct Board {
    #[command(flatten)]
    folder: Folder,
    /// Keep writing what happens until the study has ended.
    #[arg(short, long)]
    follow: bool,
}

/// Arguments of exports that are one file.
#[derive(Debug, clap::Args)]
struct File {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    study: PathBuf,
    /// The file to write; stdout without it.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the action, or writes the study in another format.
///
/// # Errors
/// Those of the action; when the folder holds no study, or a file cannot be written.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    match &args.to {
        None => action::run(Action::Export, &args.action),
        Some(To::Tensorboard(board)) if board.follow => follow(&board.folder),
        Some(To::Tensorboard(board)) => folder(&board.folder, |input, to| tensorboard::Board::new(to).update(input)),
        Some(To::Mlflow(args)) => folder(args, trackers::mlflow::write),
        Some(To::Wandb(args)) => folder(args, trackers::wandb::write),
        Some(To::TaoStatus(args)) => folder(args, trackers::tao::write),
        Some(To::OptunaJournal(args)) => {
            let (dir, state) = study::open(&args.study)?;
            let text = trackers::optuna::journal(&Input { dir: &dir, state: &state });
            match args.output.as_deref().filter(|path| *path != Path::new("-")) {
                None => output::data(text.trim_end()),
                Some(path) => {
                    files::atomic_write(path, text.as_bytes()).map_err(|e| failed(&e))?;
                    output::data(&path.display().to_string());
                }
            }
            Ok(ExitCode::Ok)
        }
    }
}

fn folder(
    args: &Folder,
    write: impl FnOnce(&Input<'_>, &Path) -> std::io::Result<Vec<PathBuf>>,
) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    let written = write(&Input { dir: &dir, state: &state }, &args.output).map_err(|e| failed(&e))?;
    written.iter().for_each(|path| output::data(&path.display().to_string()));
    Ok(ExitCode::Ok)
}

/// Writes what happens as it happens.
fn follow(args: &Folder) -> Result<ExitCode, Problems> {
    study::open(&args.study)?;
    let dir = StudyDir::new(&args.study);
    let mut reader = StateReader::new(dir.clone());
    let mut board = tensorboard::Board::new(&args.output);
    loop {
        // Whether it is over is asked first, so that the last look comes after the last event.
        let over = is_over(&dir, reader.state());
        reader.poll().map_err(|e| failed(&e))?;
        let input = Input { dir: &dir, state: reader.state() };
        for path in board.update(&input).map_err(|e| failed(&e))? {
            output::data(&path.display().to_string());
        }
        if over {
            return Ok(ExitCode::Ok);
        }
        std::thread::sleep(PERIOD);
    }
}

fn is_over(dir: &StudyDir, state: &StudyState) -> bool {
    state.ended.is_some() && !snapshot::controller_is_up(dir)
}

fn failed(error: &std::io::Error) -> Problems {
    Problems::one(ExitCode::Unexpected, Problem::new(error.to_string()))
}
