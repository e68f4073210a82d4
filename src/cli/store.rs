//! `cliptune store`: check a study's files, list its jobs, make derived files anew.

use std::path::PathBuf;

use serde_json::json;

use super::format::{Format, Shape};
use super::{output, study};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files::OwnerLock;
use crate::base::process::{ProcessRef, host};
use crate::base::units;
use crate::journal::event::Outcome;
use crate::journal::layout::StudyDir;
use crate::report::table::Grid;
use crate::state::{TrialState, jobs, snapshot};
use crate::study::check;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Cmd,
}

#[derive(Debug, clap::Subcommand)]
enum Cmd {
    /// Check journals, checkpoints and the index of a study; exit code 10 when something is wrong.
    #[command(name = "check")]
    Check {
        /// The folder of the study.
        #[arg(value_name = "STUDY_DIR")]
        study: PathBuf,
        /// Hash every checkpoint and promoted file too.
        #[arg(long)]
        deep: bool,
        #[command(flatten)]
        shape: Shape,
    },
    /// Every job of the study with what it started from, what it made and how it ended.
    #[command(name = "jobs")]
    Jobs {
        /// The folder of the study.
        #[arg(value_name = "STUDY_DIR")]
        study: PathBuf,
        #[command(flatten)]
        shape: Shape,
    },
    /// Make everything anew that is derived from the journals: the index, state.json, leaderboard.csv.
    #[command(name = "rebuild")]
    Rebuild {
        /// The folder of the study.
        #[arg(value_name = "STUDY_DIR")]
        study: PathBuf,
        /// Of a damaged study.jsonl, keep the lines before the damage (all of it stays beside it as a copy).
        #[arg(long)]
        cut_damaged: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study, another process owns it, or its files cannot be read or written.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    match &args.command {
        Cmd::Check { study, deep, shape } => check(&existing(study)?, *deep, *shape),
        Cmd::Jobs { study, shape } => list_jobs(study, *shape),
        Cmd::Rebuild { study, cut_damaged } => rebuild(&existing(study)?, *cut_damaged),
    }
}

fn existing(path: &std::path::Path) -> Result<StudyDir, Problems> {
    let dir = StudyDir::new(path);
    if dir.exists() {
        return Ok(dir);
    }
    let problem = Problem::new(format!("there is no study in {}", path.display()));
    Err(Problems::one(ExitCode::NotFound, problem.help("give the results_dir of a `cliptune train`")))
}

fn check(dir: &StudyDir, deep: bool, shape: Shape) -> Result<ExitCode, Problems> {
    let report = check::check(dir, deep).map_err(failed)?;
    if shape.get() != Format::Table || !report.problems.is_empty() {
        let rows = || report.problems.iter().map(|problem| vec![problem.clone()]).collect();
        shape.print(
            || report.problems.join("\n"),
            |_| Grid::new(&["problem"], rows(), &[]),
            || {
                json!({
                    "version": snapshot::VERSION, "dir": dir.path(), "trials": report.trials, "events": report.events,
                    "checkpoints": report.checkpoints, "problems": report.problems, "skipped": report.skipped,
                })
            },
        );
    }
    if !shape.is_json() {
        for skipped in &report.skipped {
            output::note(&format!("not looked at: {skipped}"));
        }
        output::note(&format!(
            "{} events, {}, {} hashed: {}",
            report.events,
            units::plural(report.trials, "trial"),
            units::plural(report.checkpoints, "checkpoint"),
            if report.problems.is_empty() {
                "all is well".to_owned()
            } else {
                units::plural(report.problems.len(), "problem")
            }
        ));
        if !report.problems.is_empty() {
            output::note(
                "help: `cliptune store rebuild` makes derived files anew; with --cut-damaged it shortens a damaged study.jsonl",
            );
        }
    }
    Ok(if report.problems.is_empty() { ExitCode::Ok } else { ExitCode::Rejected })
}

fn list_jobs(path: &std::path::Path, shape: Shape) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(path)?;
    let actions = jobs::actions(&dir).map_err(failed)?;
    let word = |outcome: &Option<Outcome>| match outcome {
        None => "no last word".to_owned(),
        Some(Outcome::Completed) => "completed".to_owned(),
        Some(Outcome::Stopped { why }) => format!("stopped: {why}"),
        Some(Outcome::Failed { failure }) => format!("failed: {}", failure.kind.code()),
    };
    let of_trial = |t: &TrialState| {
        let jobs = t.jobs.iter().map(|(attempt, job)| {
            let from =
                job.resumed_from.map_or_else(String::new, |e| format!("attempt {} after epoch {e}", attempt - 1));
            vec!["train".to_owned(), format!("trial {} attempt {attempt}", t.id), from, word(&job.outcome)]
        });
        jobs.collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = state.trials.values().flat_map(of_trial).collect();
    rows.extend(actions.iter().map(|job| {
        let inputs = job.inputs.iter().map(|i| i.path.display().to_string()).collect::<Vec<_>>().join(", ");
        vec![job.action.name().to_owned(), job.folder.display().to_string(), inputs, word(&job.outcome)]
    }));
    let grid = Grid::new(&["action", "job", "from", "outcome"], rows, &[]);
    let object = || {
        let attempts = |t: &TrialState| {
            let jobs = t.jobs.iter().map(|(attempt, job)| json!({"attempt": attempt, "job": job})).collect::<Vec<_>>();
            let inputs = t.provenance.as_ref().map(|p| &p.inputs);
            json!({"trial": t.id, "folder": dir.trial(t.id).path(), "inputs": inputs, "checkpoint": t.checkpoint, "jobs": jobs})
        };
        let trials: Vec<_> = state.trials.values().map(attempts).collect();
        json!({"version": snapshot::VERSION, "trials": trials, "actions": actions})
    };
    shape.print(|| grid.text(), |_| grid.clone(), object);
    Ok(ExitCode::Ok)
}

fn rebuild(dir: &StudyDir, cut_damaged: bool) -> Result<ExitCode, Problems> {
    let owner = format!("pid {} on {} (store rebuild)", ProcessRef::current().pid, host());
    let _lock = OwnerLock::take(&dir.lock(), &owner).map_err(|refused| match refused {
        Ok(owner) => {
            let problem = Problem::new(format!("another process has the study: {owner}"));
            Problems::one(ExitCode::Locked, problem.help("end it first with `cliptune stop`"))
        }
        Err(e) => failed(e),
    })?;
    if cut_damaged && let Some(lines) = check::cut_damaged(dir).map_err(failed)? {
        output::note(&format!(
            "study.jsonl was shortened to its first {}; `cliptune train --resume` finds finished trials in their folders",
            units::plural(lines, "line")
        ));
    }
    let state = check::rebuild(dir).map_err(failed)?;
    let trials = units::plural(state.trials.len(), "trial");
    output::note(&format!("made anew from the journals: index, state.json, leaderboard.csv ({trials})"));
    Ok(ExitCode::Ok)
}

fn failed(e: std::io::Error) -> Problems {
    let help =
        "`cliptune store check` names all damage; `cliptune store rebuild --cut-damaged` keeps what is before it";
    Problems::one(ExitCode::Unexpected, Problem::new(e.to_string()).help(help))
}
