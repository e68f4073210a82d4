//! `cliptune weights`: whether weights fit an architecture, before anything is started with them; and from one container or
//! layout to another.

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "check compares and exits with 0 when the weights fit, with 10 when they do not. convert writes them in \
the layout of the model's family: a folder that its Python library loads, or one file where --out ends in .safetensors or .pth; \
a .pth with --tao is what TAO's train.pretrained_model_path takes. With CLIPTUNE_ENCRYPTION_KEY set, encrypted weights are opened and safetensors are written encrypted; .pth never is."
)]
pub struct Args {
    /// `check` or `convert`.
    #[arg(value_name = "check|convert")]
    pub verb: String,
    /// Weights: a checkpoint folder, a file (.safetensors, .bin, .pth, .pth.tar, .ckpt, .npz), hf:owner/name or s3://bucket/key.
    #[arg(value_name = "PATH")]
    pub path: std::path::PathBuf,
    /// The model type, or a model config of open_clip or Hugging Face.
    #[arg(long, value_name = "TYPE")]
    pub model: String,
    /// Adaptor of a C-RADIO model: siglip or clip.
    #[arg(long, value_name = "NAME")]
    pub adaptor: Option<String>,
    /// Where `convert` writes.
    #[arg(long, value_name = "PATH")]
    pub out: Option<std::path::PathBuf>,
    /// `convert` to a .pth under the names of TAO's clip task.
    #[arg(long, requires = "out")]
    pub tao: bool,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let out = match (args.verb.as_str(), &args.out) {
        ("check", None) => None,
        ("convert", Some(out)) => Some(out.as_path()),
        (verb, _) => {
            let problem = Problem::new(format!("{verb:?} is not a choice of verb and --out"));
            let help = "`check PATH --model TYPE`, or `convert PATH --model TYPE --out PATH`";
            return Err(Problems::one(ExitCode::Usage, problem.help(help)));
        }
    };
    if args.tao && out.is_none_or(|out| out.extension().is_none_or(|e| e != "pth")) {
        let problem = Problem::new("TAO reads PyTorch archives").help("let --out end in .pth");
        return Err(Problems::one(ExitCode::Usage, problem));
    }
    let elsewhere = ["hf:", "s3://"].iter().any(|start| args.path.to_string_lossy().starts_with(start));
    if !args.path.exists() && !elsewhere {
        let problem = Problem::new(format!("there is no {}", args.path.display()));
        return Err(Problems::one(ExitCode::NotFound, problem));
    }
    work(args, out)
}

#[cfg(feature = "torch")]
fn work(args: &Args, out: Option<&std::path::Path>) -> Result<ExitCode, Problems> {
    use serde_json::json;

    use super::output;
    use crate::journal::failure::Failure;
    use crate::model::{Clip, ClipConfig, parameters, pretrained, weights};

    let failed = |f: Failure| Problems::from(&f);
    let config = ClipConfig::resolve(&args.model, args.adaptor.as_deref()).map_err(failed)?;
    let named = args.path.to_string_lossy();
    let sources = pretrained::open(&named, args.adaptor.as_deref(), &config).map_err(failed)?;
    let config = sources.fitted(config);
    if let Some(out) = out {
        let model = Clip::pretrained(&config, &sources, tch::Device::Cpu).map_err(failed)?;
        if args.tao {
            model.save_for_tao(out).map_err(failed)?;
        } else if out.extension().is_some_and(|e| e == "pth" || e == "safetensors") {
            model.save(out).map_err(failed)?;
        } else {
            std::fs::create_dir_all(out).map_err(|e| failed(Failure::io(&e)))?;
            model.save_folder(out).map_err(failed)?;
        }
        output::data(&out.display().to_string());
        return Ok(ExitCode::Ok);
    }
    let found = weights::compare(&sources, &config, &parameters::of(&config));
    if args.json {
        output::json(&json!({
            "version": 1,
            "path": sources.path(),
            "model": args.model,
            "fits": found.fits(),
            "layouts": found.layouts,
            "tensors": found.tensors,
            "values": found.values,
            "parameters": found.parameters,
            "kinds": found.kinds,
            "missing": found.missing,
            "unexpected": found.unexpected,
            "shapes": found.shapes,
        }));
    } else {
        let kinds: Vec<String> = found.kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        output::data(&format!("{}: {}", sources.path().display(), found.layouts.join("; ")));
        output::data(&format!("  {} tensors ({}), {} values", found.tensors, kinds.join(", "), found.values));
        output::data(&format!("  {} has {} parameters", args.model, found.parameters));
        for line in found.differences() {
            output::data(&format!("  {line}"));
        }
        let verdict = if found.fits() { "fit" } else { "do not fit" };
        output::data(&format!("the weights {verdict} {}", args.model));
    }
    Ok(if found.fits() { ExitCode::Ok } else { ExitCode::Rejected })
}

#[cfg(not(feature = "torch"))]
fn work(_args: &Args, _out: Option<&std::path::Path>) -> Result<ExitCode, Problems> {
    let problem = Problem::new("this binary was built without libtorch and cannot read weights")
        .help("build it with the feature `torch`, the default");
    Err(Problems::one(ExitCode::Unavailable, problem))
}
