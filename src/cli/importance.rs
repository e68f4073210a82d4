//! `cliptune importance`.

use serde_json::json;

use super::format::Shape;
use super::study;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::report::importance;
use crate::state::snapshot;
use crate::study::importance::{of_study, space};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: std::path::PathBuf,
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
}

/// Runs the command.
///
/// # Errors
/// When the folder holds no study, or its space cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    let space = space(&dir).ok_or_else(|| {
        let problem = Problem::new(format!("{} is missing or is no search space", dir.space().display()));
        Problems::one(ExitCode::NotFound, problem.help("it is written when the study begins; restore it from there"))
    })?;
    let list = of_study(&space, &state);
    let object = || {
        let parameters: Vec<_> = list
            .iter()
            .map(|i| json!({"key": i.key, "share": i.share, "spread": i.spread, "trend": i.trend, "trials": i.trials}))
            .collect();
        json!({
            "version": snapshot::VERSION,
            "study": state.meta.as_ref().map(|m| m.name.clone()),
            "metric": state.metric(),
            "parameters": parameters,
        })
    };
    args.shape.print(
        || importance::text(&list, state.metric()),
        |exact| importance::grid(&list, state.metric(), exact),
        object,
    );
    Ok(ExitCode::Ok)
}
