//! `cliptune weights`: whether a weights file fits an architecture, before anything is started with it.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exits with 0 when the weights fit, with 10 when they do not.")]
pub struct Args {
    /// `check`.
    #[arg(value_name = "check")]
    pub verb: String,
    /// A checkpoint folder or a .safetensors file.
    #[arg(value_name = "PATH")]
    pub path: std::path::PathBuf,
    /// The model type, or a model config of open_clip or Hugging Face.
    #[arg(long, value_name = "TYPE")]
    pub model: String,
    /// Adaptor of a C-RADIO model: siglip or clip.
    #[arg(long, value_name = "NAME")]
    pub adaptor: Option<String>,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    if args.verb != "check" {
        let problem = Problem::new(format!("unknown verb {:?}", args.verb)).help("the one verb is `check`");
        return Err(Problems::one(ExitCode::Usage, problem));
    }
    if !args.path.exists() {
        let problem = Problem::new(format!("there is no {}", args.path.display()));
        return Err(Problems::one(ExitCode::NotFound, problem));
    }
    check(args)
}

#[cfg(feature = "torch")]
fn check(args: &Args) -> Result<ExitCode, Problems> {
    use serde_json::json;

    use super::output;
    use crate::journal::failure::Failure;
    use crate::model::{ClipConfig, parameters, weights};

    let failed = |f: Failure| Problems::one(f.kind.exit(), Problem::new(f.message).help(f.kind.help()));
    let config = ClipConfig::resolve(&args.model, args.adaptor.as_deref()).map_err(failed)?;
    let path = if args.path.is_dir() { args.path.join(weights::FILE) } else { args.path.clone() };
    let found = weights::compare(&path, &config, &parameters::of(&config)).map_err(failed)?;
    if args.json {
        output::json(&json!({
            "version": 1,
            "path": path,
            "model": args.model,
            "fits": found.fits(),
            "tensors": found.tensors,
            "values": found.values,
            "kinds": found.kinds,
            "missing": found.missing,
            "unexpected": found.unexpected,
            "shapes": found.shapes,
        }));
    } else {
        let kinds: Vec<String> = found.kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        output::data(&format!(
            "{}: {} tensors ({}), {} values",
            path.display(),
            found.tensors,
            kinds.join(", "),
            found.values
        ));
        for line in found.differences() {
            output::data(&format!("  {line}"));
        }
        let verdict = if found.fits() { "fit" } else { "do not fit" };
        output::data(&format!("the weights {verdict} {}", args.model));
    }
    Ok(if found.fits() { ExitCode::Ok } else { ExitCode::Rejected })
}

#[cfg(not(feature = "torch"))]
fn check(_args: &Args) -> Result<ExitCode, Problems> {
    let problem = Problem::new("this binary was built without libtorch and cannot read weights")
        .help("build it with the feature `torch`, the default");
    Err(Problems::one(ExitCode::Unavailable, problem))
}
