//! Commented spec templates, generated from the table: the sections an action reads, with every default, its range and its
//! meaning, and a few values to start from.

use serde_json::{Value, json};

use super::schema::{self, Field, Kind};
use crate::base::action::Action;

/// A template: its name, its action, what it is for, the sections it shows and the values it suggests.
struct Template {
    name: &'static str,
    action: Action,
    about: &'static str,
    sections: &'static [&'static str],
    suggested: fn() -> Vec<Suggestion>,
}

/// A key, the value that the template sets, and why it is not the default (empty where that is plain).
type Suggestion = (&'static str, Value, &'static str);

const TEMPLATES: &[Template] = &[
    Template {
        name: "train",
        action: Action::Train,
        about: "Tunes a small CLIP on the bundled drawings: cliptune train -e templates/train.yaml (once, with --automl off).\n#\n# Your own data: name your folders or archives in both `datasets` lists; paths are meant from the folder of this file.\n# A pretrained model: set model.type and model.image_size, train.pretrained_model_path, rates of about 1e-5, and\n# automl.search_space to default.",
        sections: &["model", "dataset", "train", "peft", "regularization", "automl", "wandb"],
        suggested: || {
            [
                data("train"),
                vec![data("val").remove(1)],
                vec![
                    ("model.image_size", json!(64), "what clip-tiny-64 takes"),
                    ("train.precision", json!("fp32"), "for a CPU; bf16 on a recent GPU"),
                    ("train.num_epochs", json!(5), "a few minutes on two cores"),
                    ("train.grad_clip_norm", json!(1.0), "keeps the first steps from random weights steady"),
                    ("train.loss_type", json!("clip"), "softmax over the batch, as in templates/demo.yaml"),
                    ("train.optim.vision_lr", json!(1e-3), "from random weights; 1e-4 hardly learns there"),
                    ("train.optim.text_lr", json!(1e-3), "as vision_lr"),
                    ("train.optim.warmup_steps", json!(20), "an epoch has 14 steps"),
                    ("dataset.train.batch_size", json!(128), "the larger, the more negatives"),
                    ("dataset.val.batch_size", json!(128), ""),
                    (
                        "dataset.augmentation.scale",
                        json!([1.0, 1.0]),
                        "drawings fill the image: a crop hides what captions say",
                    ),
                    ("dataset.augmentation.color_jitter", json!([]), "captions name colours"),
                    ("dataset.augmentation.grayscale", json!(0.0), "captions name colours"),
                    (
                        "automl.search_space",
                        json!("from_scratch"),
                        "rates for random weights; default is for fine-tuning",
                    ),
                    ("automl.max_trials", json!(12), ""),
                ],
            ]
            .concat()
        },
    },
    Template {
        name: "evaluate",
        action: Action::Evaluate,
        about: "Measures a checkpoint, an ONNX graph or an engine. `--parent STUDY` fills evaluate.checkpoint.",
        sections: &["model", "dataset", "evaluate"],
        suggested: || {
            [data("val"), vec![("model.image_size", json!(64), ""), ("evaluate.batch_size", json!(128), "")]].concat()
        },
    },
    Template {
        name: "inference",
        action: Action::Inference,
        about: "Writes image_embeddings.h5 and text_embeddings.h5. `--parent STUDY` fills inference.checkpoint.",
        sections: &["model", "dataset", "inference"],
        suggested: || {
            vec![
                (
                    "inference.datasets",
                    json!([{"image_dir": "demo/val/images.tar.gz", "image_list_file": "demo/val/image_list.txt"}]),
                    "",
                ),
                ("inference.batch_size", json!(128), ""),
            ]
        },
    },
    Template {
        name: "export",
        action: Action::Export,
        about: "Writes ONNX graphs, checked against libtorch. `--parent STUDY` fills export.checkpoint.",
        sections: &["model", "dataset", "export"],
        suggested: || {
            [
                data("val"),
                vec![
                    ("model.image_size", json!(64), ""),
                    ("export.input_height", json!(64), "as model.image_size"),
                    ("export.input_width", json!(64), "as model.image_size"),
                    ("export.onnx_file", json!("${results_dir}/export/clip_model.onnx"), ""),
                ],
            ]
            .concat()
        },
    },
    Template {
        name: "gen_trt_engine",
        action: Action::GenTrtEngine,
        about: "Builds TensorRT engines. `--parent STUDY_OR_EXPORT` fills gen_trt_engine.onnx_file.",
        sections: &["gen_trt_engine"],
        suggested: || engine("fp32"),
    },
    Template {
        name: "deploy_gen_trt_engine",
        action: Action::GenTrtEngine,
        about: "Builds an fp16 engine for serving.",
        sections: &["gen_trt_engine"],
        suggested: || engine("fp16"),
    },
    Template {
        name: "deploy_evaluate",
        action: Action::Evaluate,
        about: "Measures an engine, on a machine with a GPU.",
        sections: &["dataset", "evaluate"],
        suggested: || {
            [data("val"), vec![("evaluate.trt_engine", json!("${results_dir}/gen_trt_engine/clip_model.engine"), "")]]
                .concat()
        },
    },
    Template {
        name: "deploy_inference",
        action: Action::Inference,
        about: "Writes embeddings with an engine, on a machine with a GPU.",
        sections: &["dataset", "inference"],
        suggested: || {
            vec![
                ("inference.datasets", json!([{"image_dir": "demo/val/images.tar.gz"}]), ""),
                ("inference.trt_engine", json!("${results_dir}/gen_trt_engine/clip_model.engine"), ""),
            ]
        },
    },
];

fn data(split: &'static str) -> Vec<Suggestion> {
    let entry = json!([{
        "image_dir": format!("demo/{split}/images.tar.gz"),
        "image_list_file": format!("demo/{split}/image_list.txt"),
        "caption_dir": format!("demo/{split}/captions.tar.gz"),
    }]);
    let key = if split == "train" { "dataset.train.datasets" } else { "dataset.val.datasets" };
    vec![("model.type", json!("clip-tiny-64"), "small enough for a CPU"), (key, entry, "the bundled drawings")]
}

fn engine(data_type: &'static str) -> Vec<Suggestion> {
    vec![
        ("gen_trt_engine.onnx_file", json!("${results_dir}/export/clip_model.onnx"), "where export.yaml puts it"),
        ("gen_trt_engine.trt_engine", json!("${results_dir}/gen_trt_engine/clip_model.engine"), ""),
        ("gen_trt_engine.tensorrt.data_type", json!(data_type), ""),
    ]
}

/// The names of all templates.
pub fn names() -> impl Iterator<Item = &'static str> {
    TEMPLATES.iter().map(|t| t.name)
}

/// The action of a template.
pub fn action(name: &str) -> Option<Action> {
    TEMPLATES.iter().find(|t| t.name == name).map(|t| t.action)
}

/// The text of a template.
pub fn template(name: &str) -> Option<String> {
    let t = TEMPLATES.iter().find(|t| t.name == name)?;
    let suggested = (t.suggested)();
    let mut out = format!(
        "# {}\n#\n# Values differing from the default are set; every other field is shown as a comment with its default.\n",
        t.about
    );
    out.push_str(&format!("# Generated by `cliptune spec template {}`.\n\nresults_dir: results\n", t.name));
    for section in t.sections {
        if let Some(field) = schema::field(section) {
            out.push('\n');
            emit(field, 0, &suggested, &mut out);
        }
    }
    Some(out)
}

fn emit(field: &Field, depth: usize, suggested: &[Suggestion], out: &mut String) {
    let indent = "  ".repeat(depth);
    if field.kind == Kind::Section {
        // A section none of whose keys is set must be a comment as a whole: an empty mapping is no mapping.
        let live = suggested.iter().any(|(key, ..)| key.starts_with(&format!("{}.", field.path)));
        let mark = if live { "" } else { "# " };
        out.push_str(&format!("{indent}{mark}{}:  # {}\n", field.name(), field.help));
        for child in schema::children(field.path) {
            emit(child, depth + 1, suggested, out);
        }
        return;
    }
    let meaning = format!("{}{}", field.help.trim_end_matches('.'), limits(field));
    let found = suggested.iter().find(|(key, ..)| *key == field.path);
    let meaning = match found {
        Some((.., why)) if !why.is_empty() => format!("{meaning}. Here: {why}"),
        _ => meaning,
    };
    match found {
        Some((_, Value::Array(entries), _)) if entries.first().is_some_and(Value::is_object) => {
            out.push_str(&format!("{indent}{}:  # {meaning}\n", field.name()));
            for entry in entries {
                for (i, (key, value)) in entry.as_object().into_iter().flatten().enumerate() {
                    let mark = if i == 0 { "- " } else { "  " };
                    out.push_str(&format!("{indent}  {mark}{key}: {}\n", scalar(value)));
                }
            }
        }
        Some((_, value, _)) => out.push_str(&format!("{indent}{}: {}  # {meaning}\n", field.name(), scalar(value))),
        None => out.push_str(&format!("{indent}# {}: {}  # {meaning}\n", field.name(), field.default)),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains([':', '#', '$', '{', '"']) => text.clone(),
        other => other.to_string(),
    }
}

fn limits(field: &Field) -> String {
    match (field.kind, field.min, field.max) {
        (Kind::Choice(options), ..) => format!(" ({})", options.join(" | ")),
        (_, None, None) => String::new(),
        _ => format!(" ({})", super::value::range(field)),
    }
}
