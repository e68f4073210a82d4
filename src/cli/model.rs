//! `cliptune model`: the model types that come with the binary, and one of them in full.

use super::format::Shape;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `list` or `show`.
    #[arg(value_name = "list|show", value_parser = ["list", "show"])]
    pub verb: String,
    /// For `show`: a model type, a model config, or a folder with one.
    #[arg(value_name = "TYPE")]
    pub model: Option<String>,
    /// The adaptor of a C-RADIO type: `siglip` or `clip`.
    #[arg(long, value_name = "NAME")]
    pub adaptor: Option<String>,
    /// Pairs of a step, for the memory that training takes.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: u32,
    /// Precision of training, for the same.
    #[arg(long, value_parser = ["bf16", "fp32"], default_value = "bf16")]
    pub precision: String,
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let usage = |what: String, help: &str| Err(Problems::one(ExitCode::Usage, Problem::new(what).help(help)));
    match (args.verb.as_str(), &args.model) {
        ("list", None) => with_torch::list(args),
        ("show", Some(model)) => with_torch::show(args, model),
        ("list", Some(model)) => usage(format!("`list` takes no type, but got {model:?}"), "use `show` for one type"),
        _ => usage("`show` needs a type".to_owned(), "`cliptune model list` names them"),
    }
}

#[cfg(feature = "torch")]
mod with_torch {
    use serde_json::{Value, json};

    use super::Args;
    use crate::base::diagnostic::Problems;
    use crate::base::exit::ExitCode;
    use crate::base::units::bytes;
    use crate::cli::output;
    use crate::journal::failure::Failure;
    use crate::model::catalog_table::{self, CATALOG, Entry};
    use crate::model::memory::{self, Training};
    use crate::model::{ClipConfig, preprocess};
    use crate::report::table::Grid;

    fn failed(f: Failure) -> Problems {
        (&f).into()
    }

    /// What can be said of a model in numbers.
    fn facts(name: &str, adaptor: Option<&str>, args: &Args) -> Result<Value, Problems> {
        let config = ClipConfig::resolve(name, adaptor).map_err(failed)?;
        let counts = memory::counts(&config);
        let how = Training { batch: args.batch.into(), half: args.precision == "bf16", vision: true, text: true };
        let memory = memory::training(&config, how);
        Ok(json!({
            "type": name,
            "adaptor": adaptor,
            "parameters": counts.total,
            "parameters_vision": counts.vision,
            "parameters_text": counts.text,
            "image_size": config.vision_cfg.image_size,
            "patch_size": config.vision_cfg.patch_size,
            "context_length": config.text_cfg.context_length,
            "embed_dim": config.embed_dim,
            "train_batch": args.batch,
            "train_precision": args.precision,
            "train_bytes": memory.total(),
            "train_bytes_activations": memory.activations,
        }))
    }

    fn with_entry(mut facts: Value, entry: &Entry) -> Value {
        let sources = entry.sources.iter();
        let sources = sources.map(|s| json!({"repository": s.repository, "file": s.file, "what": s.what}));
        facts["family"] = json!(entry.family);
        facts["licence"] = json!(entry.licence);
        facts["weights"] = sources.collect();
        facts["note"] = json!(entry.note);
        facts
    }

    pub(super) fn list(args: &Args) -> Result<ExitCode, Problems> {
        let rows: Vec<Value> = CATALOG
            .iter()
            .map(|entry| Ok(with_entry(facts(entry.name, entry.adaptor, args)?, entry)))
            .collect::<Result<_, Problems>>()?;
        let memory = format!("train x{} {}", args.batch, args.precision);
        let head = ["type", "adaptor", "params", "size", "patch", "ctx", "embed", &memory, "licence", "weights"];
        let grid = |exact| Grid::new(&head, rows.iter().map(|row| cells(row, exact)).collect(), &[]);
        args.shape.print(|| grid(false).text(), grid, || json!({"version": 1, "models": rows}));
        output::note("Also any folder or JSON config of transformers' CLIP, SigLIP and SigLIP 2 or of open_clip.");
        output::note("`cliptune model show TYPE` has everything about one.");
        Ok(ExitCode::Ok)
    }

    /// A row of the list; `exact` for other programs: numbers in full.
    fn cells(row: &Value, exact: bool) -> Vec<String> {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let number = |key: &str| row[key].as_i64().unwrap_or_default();
        let weights = row["weights"].as_array().and_then(|w| w.first()?["repository"].as_str()).unwrap_or("-");
        vec![
            text("type"),
            text("adaptor"),
            match exact {
                true => number("parameters").to_string(),
                false => format!("{:.1} M", number("parameters") as f64 / 1e6),
            },
            number("image_size").to_string(),
            number("patch_size").to_string(),
            number("context_length").to_string(),
            number("embed_dim").to_string(),
            if exact { row["train_bytes"].to_string() } else { bytes(row["train_bytes"].as_u64().unwrap_or_default()) },
            text("licence"),
            weights.to_owned(),
        ]
    }

    pub(super) fn show(args: &Args, model: &str) -> Result<ExitCode, Problems> {
        let entries: Vec<&Entry> = catalog_table::entries(model)
            .filter(|e| args.adaptor.is_none() || e.adaptor == args.adaptor.as_deref())
            .collect();
        // Without an adaptor the first one is shown; the others are named.
        let adaptor = args.adaptor.as_deref().or_else(|| entries.first().and_then(|e| e.adaptor));
        let mut shown = facts(model, adaptor, args)?;
        if let Some(entry) = entries.first() {
            shown = with_entry(shown, entry);
        }
        let config = ClipConfig::resolve(model, adaptor).map_err(failed)?;
        shown["adaptors"] = catalog_table::entries(model).filter_map(|e| e.adaptor).collect();
        shown["images"] = serde_json::to_value(preprocess::transform(&config)).unwrap_or_default();
        shown["architecture"] = serde_json::to_value(&config).unwrap_or_default();
        let said = |(key, value): (&String, &Value)| Some((key.replace('_', " "), said(key, value)?));
        let entries: Vec<(String, String)> = shown.as_object().into_iter().flatten().filter_map(said).collect();
        let lines = || entries.iter().map(|(key, text)| format!("{key:<21} {text}")).collect::<Vec<_>>().join("\n");
        let rows = || entries.iter().map(|(key, text)| vec![key.clone(), text.clone()]).collect();
        args.shape.print(
            lines,
            |_| Grid::new(&["key", "value"], rows(), &[]),
            || {
                let mut object = shown.clone();
                object["version"] = json!(1);
                object
            },
        );
        Ok(ExitCode::Ok)
    }

    /// A value for people; `None` where there is nothing to say.
    fn said(key: &str, value: &Value) -> Option<String> {
        Some(match value {
            Value::Null => return None,
            Value::Array(items) if items.is_empty() => return None,
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => text.clone(),
            Value::Array(items) if key == "weights" => {
                let line = |s: &Value| {
                    let part = |key: &str| s[key].as_str().unwrap_or_default().to_owned();
                    format!("hf:{} {} ({})", part("repository"), part("file"), part("what"))
                };
                items.iter().map(line).collect::<Vec<_>>().join("; ")
            }
            Value::Number(n) if key.starts_with("train_bytes") => bytes(n.as_u64().unwrap_or_default()),
            Value::Object(_) => format!("{value:#}"),
            other => other.to_string(),
        })
    }
}

#[cfg(not(feature = "torch"))]
mod with_torch {
    use super::Args;
    use crate::base::diagnostic::{Problem, Problems};
    use crate::base::exit::ExitCode;

    pub(super) fn list(_args: &Args) -> Result<ExitCode, Problems> {
        let problem = Problem::new("this binary was built without libtorch and knows no models")
            .help("build it with the feature `torch`, the default");
        Err(Problems::one(ExitCode::Unavailable, problem))
    }

    pub(super) fn show(args: &Args, _model: &str) -> Result<ExitCode, Problems> {
        list(args)
    }
}
