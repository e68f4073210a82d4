//! ONNX file in, serialised engine out.

use std::path::Path;
use std::sync::{Arc, Mutex};

use trtx::builder::{MemoryPoolType, network_flags};
use trtx::{Builder, LogHandler, Logger, OnnxParser, OptProfileSelector, Severity};

use super::library;
use super::target::Target;
use crate::journal::failure::{Failure, FailureKind};

/// The range of shapes of one input.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct InputProfile {
    /// The input.
    pub name: String,
    /// Smallest shape.
    pub min: Vec<i64>,
    /// The shape to be fastest for.
    pub opt: Vec<i64>,
    /// Largest shape.
    pub max: Vec<i64>,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The graph; its side file, if it has one, lies beside it.
    pub onnx: &'a Path,
    /// Shapes of every input with a free axis; none for a graph of fixed shapes.
    pub profiles: &'a [InputProfile],
    /// Scratch memory in MiB; 0 leaves it to the builder.
    pub workspace_mib: u64,
    /// The GPUs; none means the GPU of this machine, the only one that TensorRT without RTX builds for.
    pub targets: &'a [Target],
    /// Whether every message of the builder is kept.
    pub verbose: bool,
}

/// A built engine.
#[derive(Debug)]
pub struct Engine {
    /// The engine file's content.
    pub bytes: Vec<u8>,
    /// Inputs of the network as the builder sees it, with their shapes (-1 where free).
    pub inputs: Vec<(String, Vec<i64>)>,
    /// Outputs of the network.
    pub outputs: Vec<String>,
    /// Messages of the builder: warnings, or everything when `verbose`.
    pub messages: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Messages(Arc<Mutex<Vec<(Severity, String)>>>);

impl LogHandler for Messages {
    fn log(&self, severity: Severity, message: &str) {
        if let Ok(mut list) = self.0.lock() {
            list.push((severity, message.to_owned()));
        }
    }
}

impl Messages {
    fn up_to(&self, severity: Severity) -> Vec<String> {
        let list = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        list.iter().filter(|(s, _)| *s <= severity).map(|(_, m)| m.trim_end().to_owned()).collect()
    }
}

/// Builds an engine. One builder works at a time in a process.
///
/// # Errors
/// [`FailureKind::Unavailable`] when the libraries are missing, otherwise what the parser or the builder said.
pub fn build(request: &Request<'_>) -> Result<Engine, Failure> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    library::load()?;
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let messages = Messages::default();
    build_with(request, &messages).map_err(|e| {
        let mut said = messages.up_to(Severity::Error);
        said.truncate(5);
        let said = if said.is_empty() { String::new() } else { format!(":\n{}", said.join("\n")) };
        let message = format!("{}: {} cannot build an engine of it: {e}{said}", request.onnx.display(), library::NAME);
        Failure::new(FailureKind::Unknown, message)
    })
}

fn build_with(request: &Request<'_>, messages: &Messages) -> trtx::Result<Engine> {
    let logger = Logger::new(messages.clone())?;
    let mut builder = Builder::new(&logger)?;
    let network = builder.create_network(network_flags::EXPLICIT_BATCH)?;
    let mut config = builder.create_config()?;
    let mut profile = builder.creata_optimization_profile()?;
    let mut parser = OnnxParser::new(network, &logger)?;
    parser.parse_from_file(&request.onnx.to_string_lossy(), Severity::Warning as i32)?;
    if request.workspace_mib > 0 {
        let bytes = usize::try_from(request.workspace_mib << 20).unwrap_or(usize::MAX);
        config.set_memory_pool_limit(MemoryPoolType::kWORKSPACE, bytes);
    }
    #[cfg(not(feature = "tensorrt-enterprise"))]
    if !request.targets.is_empty() {
        config.set_nb_compute_capabilities(i32::try_from(request.targets.len()).unwrap_or(0))?;
        for (index, target) in (0..).zip(request.targets) {
            config.set_compute_capability(target.capability(), index)?;
        }
    }
    if !request.profiles.is_empty() {
        for input in request.profiles {
            for (select, shape) in [
                (OptProfileSelector::kMIN, &input.min),
                (OptProfileSelector::kOPT, &input.opt),
                (OptProfileSelector::kMAX, &input.max),
            ] {
                profile.set_dimensions(&input.name, select, &trtx::trtx_sys::Dims::from_slice(shape))?;
            }
        }
        config.add_optimization_profile(&mut profile)?;
    }
    let network = parser.network_mut();
    let mut inputs = Vec::new();
    for index in 0..network.nb_inputs() {
        let tensor = network.input(index)?;
        inputs.push((tensor.name(network)?, tensor.dimensions(network)?));
    }
    let mut outputs = Vec::new();
    for index in 0..network.nb_outputs() {
        outputs.push(network.output(index)?.name(network)?);
    }
    let bytes = builder.build_serialized_network(network, &mut config)?.to_vec();
    let kept = if request.verbose { Severity::Verbose } else { Severity::Warning };
    Ok(Engine { bytes, inputs, outputs, messages: messages.up_to(kept) })
}
