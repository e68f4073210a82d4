//! `cliptune schema`.

use super::output;
use crate::base::action::Action;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::spec::json_schema::json_schema;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The action.
    #[arg(value_name = "ACTION")]
    pub action: String,
}

/// Runs the command.
///
/// # Errors
/// When there is no such action.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let action = Action::from_name(&args.action).ok_or_else(|| {
        let problem = Problem::new(format!("there is no action {}", args.action));
        Problems::one(ExitCode::Usage, problem.help("train, evaluate, inference, export or gen_trt_engine"))
    })?;
    output::json(&json_schema(action));
    Ok(ExitCode::Ok)
}
