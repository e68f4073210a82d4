//! `cliptune logs`.

use std::io::{Read, Seek, SeekFrom};

use serde_json::{Value, json};

use super::{output, study};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::journal::layout::StudyDir;
use crate::journal::tail::Tail;
use crate::state::reader::StateReader;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// The trial.
    #[arg(value_name = "TRIAL")]
    pub trial: crate::base::ids::TrialId,
    /// Keep printing what is added.
    #[arg(short, long)]
    pub follow: bool,
    /// The events of the trial's journal instead, one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study, the study has no such trial, or the trial was never started.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    study::trial(&state, args.trial)?;
    if args.json {
        return events(&dir, args);
    }
    let path = dir.trial(args.trial).console();
    let failed = |e: std::io::Error| {
        Problems::one(
            ExitCode::NotFound,
            Problem::new(format!("{}: {e}", path.display())).help("the trial has not been started yet"),
        )
    };
    let mut file = std::fs::File::open(&path).map_err(failed)?;
    let mut reader = StateReader::new(dir.clone());
    loop {
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        if !text.is_empty() {
            output::data(String::from_utf8_lossy(&text).trim_end_matches('\n'));
        }
        let _ = reader.poll();
        let over = reader.state().trials.get(&args.trial).is_none_or(|t| t.state.is_final());
        if !args.follow || over {
            return Ok(ExitCode::Ok);
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
        // A worker that is started again truncates the file.
        let length = file.metadata().map_err(failed)?.len();
        if file.stream_position().is_ok_and(|at| at > length) {
            file.seek(SeekFrom::Start(0)).map_err(failed)?;
        }
    }
}

/// What the trial's worker reported, as it reports it.
fn events(dir: &StudyDir, args: &Args) -> Result<ExitCode, Problems> {
    let mut journal = Tail::new(dir.trial(args.trial).events());
    let mut reader = StateReader::new(dir.clone());
    loop {
        // Looked at first: what a trial said last stands in its journal before its end stands in the study's.
        let _ = reader.poll();
        let over = reader.state().trials.get(&args.trial).is_none_or(|t| t.state.is_final());
        let lines = journal.read::<Value>().map_err(|e| {
            let help = "`cliptune store check STUDY_DIR` names all damage";
            Problems::one(ExitCode::Unexpected, Problem::new(e.to_string()).help(help))
        })?;
        for line in lines {
            let event = json!({"version": line.v, "seq": line.seq, "ts": line.ts, "event": line.event});
            output::data(&event.to_string());
        }
        if !args.follow || over {
            return Ok(ExitCode::Ok);
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
}
