//! `cliptune spec`.

use std::path::Path;

use super::output;
use crate::base::action::Action;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::spec;
use crate::spec::Comments;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do: show or check a spec, print a template, or every key as a page of Markdown.
    #[arg(value_name = "VERB", value_parser = ["show", "check", "template", "reference"])]
    pub verb: String,
    /// The spec, or the name of the template; not of `reference`.
    #[arg(value_name = "SPEC.yaml|ACTION")]
    pub target: Option<String>,
    /// The action that the spec is for.
    #[arg(long, value_name = "ACTION", default_value = "train")]
    pub action: String,
    /// Print where each value came from.
    #[arg(long)]
    pub origin: bool,
    /// Overrides, for example `train.num_epochs=3`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// One versioned JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Every problem of the spec, or of the command line.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let usage = |what: String, help: &str| Problems::one(ExitCode::Usage, Problem::new(what).help(help));
    if args.verb == "reference" {
        if let Some(target) = &args.target {
            return Err(usage(format!("`spec reference` takes no {target}"), "it prints every key of every action"));
        }
        output::data(spec::reference::markdown().trim_end());
        return Ok(ExitCode::Ok);
    }
    let Some(target) = args.target.as_deref() else {
        let help = "`cliptune spec check SPEC.yaml`, `cliptune spec template train`";
        return Err(usage(format!("`spec {}` needs a spec or a name", args.verb), help));
    };
    if args.verb == "template" {
        let text = spec::template::template(target).ok_or_else(|| {
            let names: Vec<&str> = spec::template::names().collect();
            usage(format!("there is no template {target}"), &format!("there are {}", names.join(", ")))
        })?;
        output::data(text.trim_end());
        return Ok(ExitCode::Ok);
    }
    let action = Action::from_name(&args.action).ok_or_else(|| {
        usage(format!("there is no action {}", args.action), "train, evaluate, inference, export or gen_trt_engine")
    })?;
    let resolved = spec::load(action, Some(Path::new(target)), &args.overrides)?;
    match args.verb.as_str() {
        "check" if args.json => {
            output::json(&serde_json::json!({"version": 1, "valid": true, "action": action.name()}))
        }
        "check" => output::data(&format!("{target}: valid for {}", action.name())),
        "show" if args.json => {
            let origins: serde_json::Map<String, serde_json::Value> =
                resolved.origins.iter().map(|(key, origin)| (key.clone(), origin.to_string().into())).collect();
            output::json(&serde_json::json!({
                "version": 1, "action": action.name(), "spec": resolved.tree, "origins": origins,
            }));
        }
        _ => {
            let comments = if args.origin { Comments::All } else { Comments::None };
            output::data(resolved.to_yaml_with(comments).trim_end());
        }
    }
    Ok(ExitCode::Ok)
}
