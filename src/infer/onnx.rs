//! Embeds with exported graphs in ONNX Runtime. A combined graph is cut into its two towers when it is opened, so that
//! embedding images does not run the text tower on invented input.

use std::path::{Path, PathBuf};

use tch::Tensor;

use crate::eval::embedder::{Embedder, unit};
use crate::eval::torch;
use crate::journal::failure::{Failure, FailureKind};
use crate::onnx::proto::{EXTERNAL, ModelProto};
use crate::onnx::runtime::{self, Array, Load, Session};
use crate::onnx::{external, prune};

/// Exported graphs, ready to embed.
#[derive(Debug)]
pub struct OnnxEmbedder {
    vision: Option<Half>,
    text: Option<Half>,
    metadata: Vec<(String, String)>,
    path: PathBuf,
}

/// One tower.
#[derive(Debug)]
struct Half {
    session: Session,
    /// Inputs of the other tower, when the graph could not be cut.
    idle: Vec<(String, Vec<i64>)>,
}

impl OnnxEmbedder {
    /// Opens the graph `path`: combined, one tower, or the base name of `<base>_vision.onnx` and `<base>_text.onnx`.
    ///
    /// # Errors
    /// When no such file exists, ONNX Runtime is missing, or a graph does not have the inputs and outputs of an export.
    pub fn open(path: &Path, load: &Load) -> Result<Self, Failure> {
        let mut embedder = Self { vision: None, text: None, metadata: Vec::new(), path: path.to_owned() };
        for (_, file) in external::files(path, "graph")? {
            embedder.add(&file, load)?;
        }
        if embedder.vision.is_none() && embedder.text.is_none() {
            let why = "the graph has neither an output image_embedding nor text_embedding";
            return Err(Failure::new(FailureKind::BadCheckpoint, format!("{}: {why}", path.display())));
        }
        Ok(embedder)
    }

    fn add(&mut self, file: &Path, load: &Load) -> Result<(), Failure> {
        let model = external::read(file).map_err(|e| Failure::new(FailureKind::BadCheckpoint, e.to_string()))?;
        self.metadata.extend(model.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())));
        let graph = model.graph.as_ref();
        let has = |name: &str| graph.is_some_and(|g| g.output.iter().any(|o| o.name == name));
        let (vision, text) = (has("image_embedding"), has("text_embedding"));
        if vision {
            self.vision = Some(Half::open(&model, file, "image_embedding", vision && text, load)?);
        }
        if text {
            self.text = Some(Half::open(&model, file, "text_embedding", vision && text, load)?);
        }
        Ok(())
    }

    /// A value that the export wrote into the graph.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    fn missing(&self, tower: &str) -> Failure {
        let why = format!("{}: there is no {tower} tower; give the base name of both graphs", self.path.display());
        Failure::new(FailureKind::SpecInvalid, why)
    }
}

impl Half {
    fn open(model: &ModelProto, file: &Path, output: &str, cut: bool, load: &Load) -> Result<Self, Failure> {
        let outside = model.graph.iter().flat_map(|g| &g.initializer).any(|t| t.data_location == EXTERNAL);
        if cut && !outside {
            let mut half = model.clone();
            prune::keep_outputs(&mut half, &[output]);
            return Ok(Self { session: Session::of(&half, file, load)?, idle: Vec::new() });
        }
        let session = Session::open(file, load)?;
        let own: &[&str] = if output == "image_embedding" { &["image"] } else { &["input_ids", "attention_mask"] };
        let idle = session.inputs().iter().filter(|p| !own.contains(&p.name.as_str()));
        let idle = idle.map(|p| (p.name.clone(), p.shape.clone())).collect();
        Ok(Self { session, idle })
    }

    /// Embeds the rows of the inputs, in blocks of the graph's batch when that is fixed.
    fn embed(&mut self, inputs: &[(&str, &Tensor)], output: &str) -> Result<Tensor, Failure> {
        let rows = inputs[0].1.size()[0];
        let ports: Vec<String> = self.session.inputs().iter().map(|p| p.name.clone()).collect();
        let port = self.session.inputs().iter().find(|p| p.name == inputs[0].0);
        let fixed = port.and_then(|p| p.shape.first()).copied().filter(|b| *b > 0);
        let block = fixed.unwrap_or(rows).max(1);
        let mut parts = Vec::new();
        for start in (0..rows).step_by(usize::try_from(block).unwrap_or(1)) {
            let count = block.min(rows - start);
            let mut values: Vec<(&str, Array)> = Vec::new();
            for (name, tensor) in inputs.iter().filter(|(name, _)| ports.iter().any(|p| p == name)) {
                let part = tensor.f_narrow(0, start, count).map_err(torch)?;
                values.push((name, padded(Array::from_tensor(&part)?, block)));
            }
            for (name, shape) in &self.idle {
                let shape: Vec<i64> = shape.iter().map(|n| if *n > 0 { *n } else { block }).collect();
                let len = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
                let value =
                    if name == "image" { Array::Float(shape, vec![0.0; len]) } else { Array::Int(shape, vec![0; len]) };
                values.push((name, value));
            }
            let result = self.session.run(&values, &[output])?;
            let embedded = result.first().map(runtime::to_tensor).transpose()?;
            let embedded = embedded.ok_or_else(|| Failure::new(FailureKind::Unknown, "the graph gave no output"))?;
            parts.push(embedded.f_narrow(0, 0, count).map_err(torch)?);
        }
        Tensor::f_cat(&parts, 0).and_then(|rows| unit(&rows)).map_err(torch)
    }
}

/// Fills the first axis up to `rows` with zeros.
fn padded(array: Array, rows: i64) -> Array {
    let grown = |shape: &[i64]| -> (Vec<i64>, usize) {
        let mut shape = shape.to_vec();
        if let Some(first) = shape.first_mut() {
            *first = rows;
        }
        let len = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
        (shape, len)
    };
    match array {
        Array::Float(shape, mut values) => {
            let (shape, len) = grown(&shape);
            values.resize(len, 0.0);
            Array::Float(shape, values)
        }
        Array::Int(shape, mut values) => {
            let (shape, len) = grown(&shape);
            values.resize(len, 0);
            Array::Int(shape, values)
        }
    }
}

impl Embedder for OnnxEmbedder {
    fn images(&mut self, images: &Tensor) -> Result<Tensor, Failure> {
        let missing = self.missing("image");
        self.vision.as_mut().ok_or(missing)?.embed(&[("image", images)], "image_embedding")
    }

    fn texts(&mut self, tokens: &Tensor) -> Result<Tensor, Failure> {
        let missing = self.missing("text");
        let mask = tokens.f_ones_like().map_err(torch)?;
        let inputs = [("input_ids", tokens), ("attention_mask", &mask)];
        self.text.as_mut().ok_or(missing)?.embed(&inputs, "text_embedding")
    }
}
