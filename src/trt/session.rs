//! An engine that runs: named device memory in, named device memory out. Memory and stream belong to the caller.

use std::ffi::c_void;
use std::path::{Path, PathBuf};

use trtx::{CudaEngine, DataType, ExecutionContext, LogHandler, Logger, Runtime, Severity, TensorIOMode};

use super::library;
use crate::journal::failure::{Failure, FailureKind};

/// Kind of number of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// 32-bit floats.
    Float,
    /// 16-bit floats.
    Half,
    /// 16-bit floats with the range of 32-bit ones.
    Bfloat,
    /// 32-bit whole numbers.
    Int,
    /// 64-bit whole numbers.
    Long,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its axes; -1 where the length is free.
    pub shape: Vec<i64>,
    /// Its numbers.
    pub number: Number,
}

/// Device memory that holds a tensor, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// The port.
    pub name: &'a str,
    /// The shape of what is there.
    pub shape: &'a [i64],
    /// Where it lies on the GPU.
    pub address: *mut c_void,
}

/// An engine on the GPU that is current in this thread.
pub struct Session {
    // In the order in which they must go.
    context: ExecutionContext<'static>,
    _engine: CudaEngine<'static>,
    _runtime: Runtime<'static>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    path: PathBuf,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("path", &self.path).field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// Errors are repeated in the failures of calls; the rest is of no use to anyone.
#[derive(Debug)]
struct Silent;

impl LogHandler for Silent {
    fn log(&self, _: Severity, _: &str) {}
}

impl Session {
    /// Loads the engine in the file `path`.
    ///
    /// # Errors
    /// [`FailureKind::Unavailable`] when TensorRT or a GPU is missing, [`FailureKind::BadCheckpoint`] when the library takes
    /// the file for no engine of this GPU and this version.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        library::load()?;
        let bytes = std::fs::read(path).map_err(crate::base::files::with_path(path))?;
        let unusable = |e: trtx::Error| {
            let why = format!("{}: {} cannot run here: {e}", path.display(), library::NAME);
            Failure::new(FailureKind::Unavailable, why)
        };
        // The runtime wants its logger for as long as it lives; there are as many as engines are opened, which is two.
        let logger: &'static Logger = Box::leak(Box::new(Logger::new(Silent).map_err(unusable)?));
        let mut runtime = Runtime::new(logger).map_err(unusable)?;
        let refused = |e: trtx::Error| {
            let why = format!(
                "{}: {} {} refuses it ({e}); an engine runs on the kinds of GPU and with the version that it was built for, which the .json beside it names",
                path.display(),
                library::NAME,
                library::version()
            );
            Failure::new(FailureKind::BadCheckpoint, why)
        };
        let mut engine = runtime.deserialize_cuda_engine(&bytes).map_err(refused)?;
        drop(bytes);
        let (inputs, outputs) = ports(&engine).map_err(refused)?;
        let context = engine.create_execution_context().map_err(unusable)?;
        Ok(Self { context, _engine: engine, _runtime: runtime, inputs, outputs, path: path.to_owned() })
    }

    /// Its inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// Its outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Starts a run on the stream `stream` (null is CUDA's own); its end is the stream's business.
    ///
    /// # Safety
    /// Every address must be memory of the current GPU, large enough for its shape and its port's numbers, until the stream
    /// has got past this run.
    ///
    /// # Errors
    /// When a shape is outside of what the engine was built for, or the run cannot be started.
    pub unsafe fn run(
        &mut self,
        inputs: &[Memory<'_>],
        outputs: &[Memory<'_>],
        stream: *mut c_void,
    ) -> Result<(), Failure> {
        let path = &self.path;
        let failed = |what: &str, e: trtx::Error| {
            let why = format!("{}: {} failed on {what}: {e}", path.display(), library::NAME);
            Failure::new(FailureKind::Unknown, why)
        };
        for input in inputs {
            let shape = trtx::trtx_sys::Dims::from_slice(input.shape);
            let what = format!("{} of shape {:?}", input.name, input.shape);
            self.context.set_input_shape(input.name, &shape).map_err(|e| failed(&what, e))?;
        }
        for memory in inputs.iter().chain(outputs) {
            // SAFETY: the caller vouches for the address.
            unsafe { self.context.set_tensor_address(memory.name, memory.address) }
                .map_err(|e| failed(memory.name, e))?;
        }
        // SAFETY: every port has its memory, for which the caller vouches.
        unsafe { self.context.enqueue_v3(stream) }.map_err(|e| failed("the run", e))
    }
}

fn ports(engine: &CudaEngine<'_>) -> trtx::Result<(Vec<Port>, Vec<Port>)> {
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    for index in 0..engine.nb_io_tensors()? {
        let name = engine.io_tensor_name(index)?;
        let shape = engine.tensor_shape(&name)?;
        let number = match engine.tensor_data_type(&name)? {
            DataType::kFLOAT => Number::Float,
            DataType::kHALF => Number::Half,
            DataType::kBF16 => Number::Bfloat,
            DataType::kINT32 => Number::Int,
            DataType::kINT64 => Number::Long,
            _ => return Err(trtx::Error::Runtime(format!("the numbers of {name} are of an unusual kind"))),
        };
        let is_input = engine.tensor_io_mode(&name)? == TensorIOMode::kINPUT;
        if is_input { &mut inputs } else { &mut outputs }.push(Port { name, shape, number });
    }
    Ok((inputs, outputs))
}
