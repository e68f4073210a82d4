//! ONNX Runtime, loaded when it is first needed: a session takes named arrays and gives named arrays.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::{Session as OrtSession, SessionInputValue};
use ort::value::Tensor;
use prost::Message;

use super::proto::ModelProto;
use crate::base::libraries::Library;
use crate::journal::failure::{Failure, FailureKind};

/// A float tensor: its shape and its values, row by row.
pub type Floats = (Vec<i64>, Vec<f32>);

/// The library.
pub const LIBRARY: Library = Library {
    title: "ONNX Runtime",
    file: "libonnxruntime.so",
    variable: "ORT_DYLIB_PATH",
    package_folder: "onnxruntime/capi",
    package: "onnxruntime==1.32.0",
};

/// The one environment of the process and the file it was loaded from.
fn environment() -> Result<&'static (Environment, PathBuf), Failure> {
    static ENVIRONMENT: OnceLock<Result<(Environment, PathBuf), String>> = OnceLock::new();
    let loaded = ENVIRONMENT.get_or_init(|| {
        let file = LIBRARY.find().map_err(|e| e.to_string())?;
        let unusable = |e: &dyn std::fmt::Display| format!("ONNX Runtime at {} cannot be used: {e}", file.display());
        let environment = ort::init_from(&file)
            .map_err(|e| unusable(&e))?
            .with_name("cliptune")
            .with_telemetry(false)
            .build()
            .map_err(|e| unusable(&e))?;
        environment.set_log_level(ort::logging::LogLevel::Error);
        Ok((environment, file))
    });
    loaded.as_ref().map_err(|why| Failure::new(FailureKind::Unavailable, why.clone()))
}

/// The file name of the library in use, which carries its version.
///
/// # Errors
/// When ONNX Runtime is missing or cannot be used ([`FailureKind::Unavailable`]).
pub fn version() -> Result<String, Failure> {
    let (_, file) = environment()?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Ok(name.trim_start_matches("libonnxruntime.so").trim_start_matches('.').to_owned())
}

/// An array that goes into a session.
#[derive(Clone, Debug)]
pub enum Array {
    /// 32-bit floats.
    Float(Vec<i64>, Vec<f32>),
    /// 64-bit integers.
    Int(Vec<i64>, Vec<i64>),
}

impl Array {
    /// The values of a tensor: integers stay integers, every kind of float becomes 32-bit.
    ///
    /// # Errors
    /// When the values cannot be copied to the CPU.
    pub fn from_tensor(tensor: &tch::Tensor) -> Result<Self, Failure> {
        let shape = tensor.size();
        let flat = || tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?.f_view(-1_i64);
        let failed = |e: tch::TchError| Failure::new(FailureKind::Unknown, format!("cannot read a tensor: {e}"));
        if tensor.kind() == tch::Kind::Int64 {
            return Ok(Self::Int(shape, flat().and_then(|t| Vec::try_from(&t)).map_err(failed)?));
        }
        let values = flat().and_then(|t| t.f_to_kind(tch::Kind::Float)).and_then(|t| Vec::try_from(&t));
        Ok(Self::Float(shape, values.map_err(failed)?))
    }
}

/// A float tensor on the CPU from what a session gave.
///
/// # Errors
/// When the shape does not fit the values.
pub fn to_tensor((shape, values): &(Vec<i64>, Vec<f32>)) -> Result<tch::Tensor, Failure> {
    tch::Tensor::f_from_slice(values)
        .and_then(|t| t.f_reshape(shape))
        .map_err(|e| Failure::new(FailureKind::Unknown, format!("cannot make a tensor of {shape:?}: {e}")))
}

/// An input or output of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its axes; -1 where the length is free.
    pub shape: Vec<i64>,
}

/// How a graph is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Threads; 0 leaves it to the runtime.
    pub threads: usize,
    /// The GPU to run on, where the library has its CUDA provider; the CPU otherwise.
    pub cuda: Option<i32>,
    /// Leave weights where they are instead of arranging them anew: less memory, slower runs.
    pub lean: bool,
}

/// A loaded graph.
#[derive(Debug)]
pub struct Session {
    session: OrtSession,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    path: PathBuf,
}

impl Session {
    /// Loads the graph in the file `path`.
    ///
    /// # Errors
    /// When ONNX Runtime or its CUDA provider is missing ([`FailureKind::Unavailable`]), or it refuses the file
    /// ([`FailureKind::BadCheckpoint`]).
    pub fn open(path: &Path, load: &Load) -> Result<Self, Failure> {
        Self::load(path, None, load)
    }

    /// Loads the graph `model`, which was made of the file `path`.
    ///
    /// # Errors
    /// Like [`Session::open`].
    pub fn of(model: &ModelProto, path: &Path, load: &Load) -> Result<Self, Failure> {
        Self::load(path, Some(&model.encode_to_vec()), load)
    }

    fn load(path: &Path, bytes: Option<&[u8]>, load: &Load) -> Result<Self, Failure> {
        let (environment, _) = environment()?;
        let refused = |e: &dyn std::fmt::Display| {
            Failure::new(FailureKind::BadCheckpoint, format!("{}: ONNX Runtime refuses it: {e}", path.display()))
        };
        let mut builder = OrtSession::builder(environment).map_err(|e| refused(&e))?;
        if load.threads > 0 {
            builder = builder.with_intra_threads(load.threads).map_err(|e| refused(&e))?;
        }
        if load.lean {
            // Folding would write weights of 16 bits out in 32.
            builder = builder.with_prepacking(false).map_err(|e| refused(&e))?;
            builder = builder.with_disabled_optimizers("ConstantFolding").map_err(|e| refused(&e))?;
        }
        if let Some(device) = load.cuda {
            let provider = ort::ep::CUDA::default().with_device_id(device).build().error_on_failure();
            builder = builder.with_execution_providers([provider]).map_err(|e| {
                let why =
                    format!("ONNX Runtime cannot use CUDA: {e}; install onnxruntime-gpu, or leave the provider at cpu");
                Failure::new(FailureKind::Unavailable, why)
            })?;
        }
        let session = match bytes {
            Some(bytes) => builder.commit_from_memory(bytes),
            None => builder.commit_from_file(path),
        }
        .map_err(|e| refused(&e))?;
        let port = |o: &ort::value::Outlet| Port {
            name: o.name().to_owned(),
            shape: o.dtype().tensor_shape().map(|s| s.to_vec()).unwrap_or_default(),
        };
        let (inputs, outputs) =
            (session.inputs().iter().map(port).collect(), session.outputs().iter().map(port).collect());
        Ok(Self { session, inputs, outputs, path: path.to_owned() })
    }

    /// Its inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// Its outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Runs the graph and returns the shape and the values of the float outputs `wanted`, in that order.
    ///
    /// # Errors
    /// When an input does not fit, or the output does not exist or holds no floats.
    pub fn run(&mut self, inputs: &[(&str, Array)], wanted: &[&str]) -> Result<Vec<Floats>, Failure> {
        let path = self.path.display().to_string();
        let failed =
            |e: &dyn std::fmt::Display| Failure::new(FailureKind::Unknown, format!("{path}: ONNX Runtime failed: {e}"));
        let mut values: Vec<(String, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for (name, array) in inputs {
            let value: SessionInputValue<'_> = match array.clone() {
                Array::Float(shape, data) => Tensor::from_array((shape, data)).map_err(|e| failed(&e))?.into(),
                Array::Int(shape, data) => Tensor::from_array((shape, data)).map_err(|e| failed(&e))?.into(),
            };
            values.push(((*name).to_owned(), value));
        }
        let results = self.session.run(values).map_err(|e| failed(&e))?;
        wanted
            .iter()
            .map(|name| {
                let value = results.get(name).ok_or_else(|| failed(&format!("there is no output {name}")))?;
                let (shape, data) = value.try_extract_tensor::<f32>().map_err(|e| failed(&e))?;
                Ok((shape.to_vec(), data.to_vec()))
            })
            .collect()
    }
}
