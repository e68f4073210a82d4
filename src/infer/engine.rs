//! Embeds with TensorRT engines on a GPU. libtorch owns the memory, and both work on CUDA's own stream, so what one of them
//! starts the other one waits for.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::eval::embedder::{Embedder, unit};
use crate::eval::torch;
use crate::journal::failure::{Failure, FailureKind};
use crate::onnx::external;
use crate::trt;
use crate::trt::session::{Memory, Number, Port, Session};

/// Largest metadata file that is read.
const MAX_METADATA: u64 = 1 << 24;

/// Engines, ready to embed.
#[derive(Debug)]
pub struct EngineEmbedder {
    vision: Option<usize>,
    text: Option<usize>,
    engines: Vec<Engine>,
    device: Device,
    path: PathBuf,
}

#[derive(Debug)]
struct Engine {
    session: Session,
    /// Rows of a run: at least and at most.
    batch: (i64, i64),
}

impl EngineEmbedder {
    /// Opens the engine `path`: of both towers, of one, or the base name of `<base>_vision.engine` and `<base>_text.engine`.
    ///
    /// # Errors
    /// `Unavailable` without a GPU or TensorRT; when no such file exists or it is not an engine of an export.
    pub fn open(path: &Path, device: Device) -> Result<Self, Failure> {
        let files = external::files(path, "engine")?;
        if device == Device::Cpu {
            let why = format!(
                "{}: running an engine needs an NVIDIA GPU, and this machine shows none; name the ONNX graph that the engine was built of instead (it computes the same, and runs on a CPU)",
                path.display()
            );
            return Err(Failure::new(FailureKind::Unavailable, why));
        }
        let mut embedder = Self { vision: None, text: None, engines: Vec::new(), device, path: path.to_owned() };
        for (place, (_, file)) in files.iter().enumerate() {
            let session = Session::open(file)?;
            let has = |name: &str| session.outputs().iter().any(|o| o.name == name);
            if has("image_embedding") {
                embedder.vision = Some(place);
            }
            if has("text_embedding") {
                embedder.text = Some(place);
            }
            let batch = batch(&session, &metadata(file));
            embedder.engines.push(Engine { session, batch });
        }
        if embedder.vision.is_none() && embedder.text.is_none() {
            let why = "the engine has neither an output image_embedding nor text_embedding";
            return Err(Failure::new(FailureKind::BadCheckpoint, format!("{}: {why}", path.display())));
        }
        Ok(embedder)
    }

    fn embed(&mut self, place: Option<usize>, input: (&str, &Tensor), output: &str) -> Result<Tensor, Failure> {
        let Some(engine) = place.and_then(|place| self.engines.get_mut(place)) else {
            let why = format!("{}: there is no tower for {}; give the base name of both", self.path.display(), input.0);
            return Err(Failure::new(FailureKind::SpecInvalid, why));
        };
        let (least, most) = engine.batch;
        let rows = input.1.size()[0];
        let mut parts = Vec::new();
        for start in (0..rows).step_by(usize::try_from(most).unwrap_or(1)) {
            let count = most.min(rows - start);
            let part = input.1.f_narrow(0, start, count).map_err(torch)?;
            let embedded = engine.run(self.device, (input.0, &part), output, count.max(least))?;
            parts.push(embedded.f_narrow(0, 0, count).map_err(torch)?);
        }
        Tensor::f_cat(&parts, 0).and_then(|rows| unit(&rows)).map_err(torch)
    }
}

impl Engine {
    /// Runs `batch` rows, the given ones first, and returns `output` as 32-bit floats on the CPU.
    fn run(
        &mut self,
        device: Device,
        (name, given): (&str, &Tensor),
        output: &str,
        batch: i64,
    ) -> Result<Tensor, Failure> {
        let held = |port: &Port| -> Result<(String, Tensor), tch::TchError> {
            let mut shape = port.shape.clone();
            if let Some(first) = shape.first_mut().filter(|n| **n < 0) {
                *first = batch;
            }
            let memory = Tensor::f_zeros(&shape, (kind(port.number), device))?;
            if port.name == name {
                memory.f_narrow(0, 0, given.size()[0])?.f_copy_(&given.f_to_device(device)?)?;
            } else if port.name == "attention_mask" {
                // As in training, every token counts: exports without a mask input behave the same.
                let _ = memory.shallow_clone().f_fill_(1)?;
            }
            Ok((port.name.clone(), memory))
        };
        let tensors = |ports: &[Port]| ports.iter().map(held).collect::<Result<Vec<_>, _>>().map_err(torch);
        let (inputs, outputs) = (tensors(self.session.inputs())?, tensors(self.session.outputs())?);
        let shapes = |tensors: &[(String, Tensor)]| tensors.iter().map(|(_, t)| t.size()).collect::<Vec<_>>();
        let (input_shapes, output_shapes) = (shapes(&inputs), shapes(&outputs));
        let memory = |((name, tensor), shape): (&'_ (String, Tensor), &'_ Vec<i64>)| {
            (name.clone(), shape.clone(), tensor.data_ptr())
        };
        let (ins, outs): (Vec<_>, Vec<_>) = (
            inputs.iter().zip(&input_shapes).map(memory).collect(),
            outputs.iter().zip(&output_shapes).map(memory).collect(),
        );
        fn memories(list: &[(String, Vec<i64>, *mut std::ffi::c_void)]) -> Vec<Memory<'_>> {
            list.iter().map(|(name, shape, address)| Memory { name, shape, address: *address }).collect()
        }
        // SAFETY: the tensors are on the device, of the shapes and kinds that the engine says, and outlive the copy below,
        // which waits for the stream.
        unsafe { self.session.run(&memories(&ins), &memories(&outs), std::ptr::null_mut()) }?;
        let found = outputs.iter().find(|(name, _)| name == output).map(|(_, tensor)| tensor);
        let found = found.ok_or_else(|| Failure::new(FailureKind::Unknown, format!("the engine gave no {output}")))?;
        found.f_to_device(Device::Cpu).and_then(|t| t.f_to_kind(Kind::Float)).map_err(torch)
    }
}

impl Embedder for EngineEmbedder {
    fn images(&mut self, images: &Tensor) -> Result<Tensor, Failure> {
        self.embed(self.vision, ("image", images), "image_embedding")
    }

    fn texts(&mut self, tokens: &Tensor) -> Result<Tensor, Failure> {
        self.embed(self.text, ("input_ids", tokens), "text_embedding")
    }
}

/// What lies beside the engine: `<engine>.json`; null without it.
pub fn metadata(engine: &Path) -> Value {
    let path = trt::metadata_file(engine);
    let small = std::fs::metadata(&path).is_ok_and(|m| m.len() <= MAX_METADATA);
    let bytes = if small { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

/// The batches that every input takes: that of the engine, or those of its profile.
fn batch(session: &Session, metadata: &Value) -> (i64, i64) {
    let fixed = session.inputs().iter().filter_map(|p| p.shape.first().copied()).find(|n| *n > 0);
    if let Some(batch) = fixed {
        return (batch, batch);
    }
    let profiles = metadata["profile"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ends = |end: &'static str| profiles.iter().filter_map(move |p| p[end][0].as_i64());
    // An engine without metadata was built for one row at least.
    let (least, most) = (ends("min").max().unwrap_or(1), ends("max").min().unwrap_or(1));
    (least.max(1), most.max(1))
}

fn kind(number: Number) -> Kind {
    match number {
        Number::Float => Kind::Float,
        Number::Half => Kind::Half,
        Number::Bfloat => Kind::BFloat16,
        Number::Int => Kind::Int,
        Number::Long => Kind::Int64,
    }
}
