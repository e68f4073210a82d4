//! `cliptune compare`.

use serde_json::json;

use super::{output, study};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;
use crate::base::time::Timestamp;
use crate::base::units;
use crate::report::table::table;
use crate::state::snapshot;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folders of the studies.
    #[arg(value_name = "STUDY_DIR", required = true)]
    pub studies: Vec<std::path::PathBuf>,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When one of the folders holds no study.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let now = Timestamp::now();
    let studies = args.studies.iter().map(|path| study::open(path)).collect::<Result<Vec<_>, _>>()?;
    if args.json {
        let list: Vec<_> = studies
            .iter()
            .map(|(dir, state)| snapshot::status(dir, state, snapshot::controller_is_up(dir), now))
            .collect();
        output::json(&json!({"version": snapshot::VERSION, "studies": list}));
        return Ok(ExitCode::Ok);
    }
    let shown = |v: Option<f64>| v.map_or("–".to_owned(), |v| format!("{v:.4}"));
    let rows: Vec<Vec<String>> = studies
        .iter()
        .map(|(dir, state)| {
            let best = state.best();
            vec![
                dir.path().display().to_string(),
                snapshot::phase(state, snapshot::controller_is_up(dir)).to_owned(),
                state.meta.as_ref().map_or(String::new(), |m| m.sampler.clone()),
                state.counts().done().to_string(),
                state.metric().to_owned(),
                shown(state.pretrained()),
                shown(state.baseline().and_then(|t| t.value)),
                shown(best.and_then(|t| t.value)),
                best.map_or("–".to_owned(), |t| t.id.to_string()),
                units::duration(state.elapsed(state.last_event.unwrap_or(now))),
            ]
        })
        .collect();
    let heading = ["study", "state", "sampler", "trials", "metric", "untrained", "baseline", "best", "trial", "time"];
    output::data(&table(&heading, &rows, &["trials", "untrained", "baseline", "best", "time"]));
    Ok(ExitCode::Ok)
}
