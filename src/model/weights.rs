//! Weights in the safetensors format, under open_clip's names: written whole or not at all, read through a memory map.
//!
//! Names of `CustomTextCLIP` (`text.`) and of wrapped models (`module.`) are understood.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use tch::{Device, Kind, Tensor};

use super::clip::failed;
use super::config::{ClipConfig, Layout};
use super::parameters::Parameter;
use super::positions;
use crate::base::files::{self, with_path};
use crate::journal::failure::{Failure, FailureKind};

/// File name of the weights in a checkpoint folder.
pub const FILE: &str = "model.safetensors";

/// How a weights file compares with an architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Tensors of the file.
    pub tensors: usize,
    /// Values of the file.
    pub values: u64,
    /// Tensors by kind of number (`F32` …).
    pub kinds: BTreeMap<String, usize>,
    /// Parameters that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the architecture has no place for.
    pub unexpected: Vec<String>,
    /// Parameters whose shape differs, in words.
    pub shapes: Vec<String>,
}

impl Comparison {
    /// Whether the file can be loaded.
    pub fn fits(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.shapes.is_empty()
    }

    /// Every difference, a line each.
    pub fn differences(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|n| format!("{n} is missing"));
        let unexpected = self.unexpected.iter().map(|n| format!("{n} is not a parameter of the model"));
        missing.chain(unexpected).chain(self.shapes.iter().cloned()).collect()
    }
}

/// An open weights file.
struct Weights {
    map: Mmap,
}

impl Weights {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|e| bad(path, &e))?;
        // SAFETY: weights are replaced by renaming, never written in place, so the mapping cannot change under us.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| bad(path, &e))?;
        Ok(Self { map })
    }

    /// Tensors by the name that the architecture uses.
    fn tensors(&self, path: &Path) -> Result<HashMap<String, TensorView<'_>>, Failure> {
        let file = SafeTensors::deserialize(&self.map).map_err(|e| bad(path, &e))?;
        Ok(file.tensors().into_iter().map(|(name, view)| (canonical_name(&name), view)).collect())
    }
}

/// Beginnings of the names of a text tower in open_clip's class CLIP, which has no prefix for it.
const TEXT: &[&str] = &["token_embedding.", "positional_embedding", "transformer.", "ln_final.", "text_projection"];

fn canonical_name(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    if TEXT.iter().any(|start| name.starts_with(start)) { format!("text.{name}") } else { name.to_owned() }
}

/// The name of a tensor in a file of this layout.
pub(super) fn public_name(name: &str, layout: Layout) -> &str {
    if layout == Layout::OpenClip { name.strip_prefix("text.").unwrap_or(name) } else { name }
}

fn bad(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureKind::BadCheckpoint, format!("{}: not a readable safetensors file: {error}", path.display()))
}

/// Compares the names and shapes of a weights file with an architecture.
///
/// # Errors
/// `BadCheckpoint` when it is no weights file.
pub fn compare(path: &Path, config: &ClipConfig, parameters: &[Parameter]) -> Result<Comparison, Failure> {
    let weights = Weights::open(path)?;
    Ok(difference(&weights.tensors(path)?, config, parameters))
}

fn difference(tensors: &HashMap<String, TensorView<'_>>, config: &ClipConfig, parameters: &[Parameter]) -> Comparison {
    let mut out = Comparison { tensors: tensors.len(), ..Comparison::default() };
    for view in tensors.values() {
        out.values += view.shape().iter().product::<usize>() as u64;
        *out.kinds.entry(format!("{:?}", view.dtype())).or_default() += 1;
    }
    for p in parameters {
        match tensors.get(&p.name) {
            // The bias belongs to the loss: a model that was trained without one starts with the loss's own.
            None if p.name == "logit_bias" => {}
            None => out.missing.push(p.name.clone()),
            Some(view) if !same_shape(view.shape(), p) && !positions::resizes(config, p, view.shape()) => {
                out.shapes.push(format!("{} has shape {:?}, expected {:?}", p.name, view.shape(), p.shape));
            }
            Some(view) if kind(view.dtype()).is_none() => {
                out.shapes.push(format!("{} holds {:?}, expected floats", p.name, view.dtype()));
            }
            Some(_) => {}
        }
    }
    let known = |name: &String| name == "logit_bias" || parameters.iter().any(|p| p.name == *name);
    out.unexpected = tensors.keys().filter(|name| !known(name)).cloned().collect();
    out.unexpected.sort();
    out
}

fn same_shape(shape: &[usize], p: &Parameter) -> bool {
    let same = shape.iter().map(|&n| n as i64).eq(p.shape.iter().copied());
    // Some checkpoints keep their scalars in vectors of one.
    same || (p.shape.is_empty() && shape == [1])
}

fn kind(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::F64 => Some(Kind::Double),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::I64 => Some(Kind::Int64),
        _ => None,
    }
}

/// Copies a weights file into `tensors`, which are those of `parameters`.
///
/// # Errors
/// `BadCheckpoint` with every difference; nothing has changed then.
pub fn load(path: &Path, config: &ClipConfig, parameters: &[Parameter], tensors: &[Tensor]) -> Result<(), Failure> {
    let weights = Weights::open(path)?;
    let views = weights.tensors(path)?;
    let found = difference(&views, config, parameters);
    if !found.fits() {
        let all = found.differences();
        let message = format!("{} does not fit the model:\n  {}", path.display(), all.join("\n  "));
        return Err(Failure::new(FailureKind::BadCheckpoint, message));
    }
    tch::no_grad(|| {
        for (p, tensor) in parameters.iter().zip(tensors) {
            let Some(view) = views.get(&p.name) else { continue };
            let mut value = tensor_of(view)?;
            if positions::resizes(config, p, view.shape()) {
                value =
                    value.f_to_kind(Kind::Float).and_then(|t| positions::for_image_size(config, &t)).map_err(failed)?;
            }
            let value = value.f_view(p.shape.as_slice()).map_err(failed)?;
            tensor.shallow_clone().f_copy_(&value).map_err(failed)?;
        }
        Ok(())
    })
}

fn tensor_of(view: &TensorView<'_>) -> Result<Tensor, Failure> {
    let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
    let kind = kind(view.dtype()).unwrap_or(Kind::Float);
    Tensor::f_from_data_size(view.data(), &shape, kind).map_err(failed)
}

/// Reads every tensor of a file, by name.
///
/// # Errors
/// `BadCheckpoint` when it is no safetensors file.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, Failure> {
    let weights = Weights::open(path)?;
    let file = SafeTensors::deserialize(&weights.map).map_err(|e| bad(path, &e))?;
    file.tensors().into_iter().map(|(name, view)| Ok((name, tensor_of(&view)?))).collect()
}

/// Writes tensors (f32 or i64) durably: to a temporary file beside `path`, then renamed.
///
/// # Errors
/// `DiskFull` or `Io`; nothing is left then.
pub fn save<'a>(path: &Path, tensors: impl Iterator<Item = (&'a str, &'a Tensor)>) -> Result<(), Failure> {
    let mut data: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, tensor) in tensors {
        let (dtype, kind) = match tensor.kind() {
            Kind::Int64 => (Dtype::I64, Kind::Int64),
            _ => (Dtype::F32, Kind::Float),
        };
        let host = tensor.f_detach().and_then(|t| t.f_to_device(Device::Cpu)).and_then(|t| t.f_to_kind(kind));
        let host = host.and_then(|t| t.f_contiguous()).map_err(failed)?;
        let mut bytes = vec![0; host.numel() * kind.elt_size_in_bytes()];
        host.f_copy_data_u8(&mut bytes, host.numel()).map_err(failed)?;
        data.push((name.to_owned(), dtype, host.size().iter().map(|&n| n as usize).collect(), bytes));
    }
    let views = data
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(|e| bad(path, &e))?;
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let temporary = files::temporary_beside(path);
    let written = safetensors::serialize_to_file(views, Some(format), &temporary)
        .map_err(|e| match e {
            SafeTensorError::IoError(e) => e,
            other => io::Error::other(other.to_string()),
        })
        .and_then(|()| File::open(&temporary)?.sync_all())
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| files::sync_folder(path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&temporary);
        Failure::io(&with_path(path)(e))
    })
}
