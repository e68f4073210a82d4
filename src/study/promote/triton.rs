//! A promotion as a model repository of NVIDIA Triton: the graphs once more under the names that Triton looks for, as links
//! to the same data, each with a `config.pbtxt`. Triton's backend for them is ONNX Runtime.
//!
//! Reference: Triton's model repository and model configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ONNX;
use crate::base::files::{self, StagingFolder, with_path};

/// Name of the folder in the promotion.
pub const FOLDER: &str = "model_repository";

/// Requests that Triton may put together where the batch of the graph is free.
const MAX_BATCH: u64 = 64;

/// What of a graph its configuration names.
struct Shapes {
    side: u64,
    length: u64,
    width: u64,
    /// `None` where it is free.
    batch: Option<u64>,
}

impl Shapes {
    fn read(config: &Path) -> io::Result<Self> {
        let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", config.display()));
        let text = fs::read_to_string(config).map_err(with_path(config))?;
        let tree: Value = serde_yaml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        let number = |path: &str| {
            tree.pointer(path).and_then(Value::as_u64).ok_or_else(|| bad(format!("there is no number at {path}")))
        };
        Ok(Self {
            side: number("/export/input_height")?,
            length: number("/model/text_cfg/context_length")?,
            width: number("/model/embed_dim")?,
            batch: number("/export/batch_size").ok(),
        })
    }
}

/// Writes the repository into the folder of a promotion and returns it.
///
/// # Errors
/// When the promotion holds no graph or a file cannot be written; an earlier repository is then untouched.
pub fn write(promotion: &Path) -> io::Result<PathBuf> {
    let stem = ONNX.trim_end_matches(".onnx");
    let graphs = ["", "_vision", "_text"].map(|tower| format!("{stem}{tower}"));
    let graphs: Vec<&String> = graphs.iter().filter(|name| promotion.join(format!("{name}.onnx")).is_file()).collect();
    if graphs.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{} holds no graph", promotion.display())));
    }
    let shapes = Shapes::read(&promotion.join(format!("{stem}_config.yaml")))?;
    let target = promotion.join(FOLDER);
    let staging = StagingFolder::beside(&target)?;
    let repository = staging.path().join(FOLDER);
    for name in graphs {
        let model = repository.join(name);
        let version = model.join("1");
        fs::create_dir_all(&version).map_err(with_path(&version))?;
        // A graph looks for its side file beside itself.
        for file in [format!("{name}.onnx"), format!("{name}_weights.bin")] {
            let from = promotion.join(&file);
            if from.is_file() {
                link(&from, &version.join(&file))?;
            }
        }
        files::atomic_write(&model.join("config.pbtxt"), config(name, &shapes).as_bytes())?;
    }
    files::replace_folder(&repository, &target)?;
    Ok(target)
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    // File systems without hard links get a copy.
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)).map_err(with_path(to))
}

/// `config.pbtxt` of a graph. The scale and the bias of the logits, which have no batch, are left out.
fn config(name: &str, shapes: &Shapes) -> String {
    let (vision, text) = (!name.ends_with("_text"), !name.ends_with("_vision"));
    let Shapes { side, length, width, batch } = *shapes;
    // With a fixed batch Triton puts nothing together, and the shapes have the batch themselves.
    let dims = |rest: &[u64]| {
        let all: Vec<String> = batch.iter().chain(rest).map(u64::to_string).collect();
        format!("[ {} ]", all.join(", "))
    };
    let port = |name: &str, kind: &str, rest: &[u64]| {
        format!("  {{ name: \"{name}\" data_type: {kind} dims: {} }}", dims(rest))
    };
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    if vision {
        inputs.push(port("image", "TYPE_FP32", &[3, side, side]));
        outputs.push(port("image_embedding", "TYPE_FP32", &[width]));
    }
    if text {
        inputs.push(port("input_ids", "TYPE_INT64", &[length]));
        inputs.push(port("attention_mask", "TYPE_INT64", &[length]));
        outputs.push(port("text_embedding", "TYPE_FP32", &[width]));
    }
    let (max, batching) = if batch.is_some() { (0, "") } else { (MAX_BATCH, "dynamic_batching { }\n") };
    format!(
        "name: \"{name}\"\nbackend: \"onnxruntime\"\ndefault_model_filename: \"{name}.onnx\"\nmax_batch_size: {max}\n{batching}input [\n{}\n]\noutput [\n{}\n]\n",
        inputs.join(",\n"),
        outputs.join(",\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promotion(batch: i64, files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(
            "model: {{embed_dim: 32, text_cfg: {{context_length: 16}}}}\nexport: {{input_height: 64, batch_size: {batch}}}\n"
        );
        fs::write(dir.path().join("clip_model_config.yaml"), config).unwrap();
        for file in files {
            fs::write(dir.path().join(file), file).unwrap();
        }
        dir
    }

    #[test]
    fn repository_of_one_graph_with_a_free_batch() {
        let dir = promotion(-1, &["clip_model.onnx", "clip_model_weights.bin"]);
        let repository = write(dir.path()).unwrap();
        insta::assert_snapshot!(fs::read_to_string(repository.join("clip_model/config.pbtxt")).unwrap());
        for file in ["clip_model.onnx", "clip_model_weights.bin"] {
            assert_eq!(fs::read_to_string(repository.join("clip_model/1").join(file)).unwrap(), file);
        }
        write(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "nothing is left beside it");
    }

    #[test]
    fn repository_of_two_graphs_with_a_fixed_batch() {
        let dir = promotion(8, &["clip_model_vision.onnx", "clip_model_text.onnx"]);
        let repository = write(dir.path()).unwrap();
        let text = |model: &str| fs::read_to_string(repository.join(model).join("config.pbtxt")).unwrap();
        insta::assert_snapshot!(text("clip_model_vision") + &text("clip_model_text"));
    }

    #[test]
    fn promotion_without_a_graph_is_refused() {
        let dir = promotion(-1, &[]);
        assert!(write(dir.path()).unwrap_err().to_string().contains("holds no graph"));
    }
}
