//! Weights in and out of a model: files of any public layout are compared, then copied into its parameters; what is
//! written is safetensors in the layout of the family.
//!
//! Loading reads through a memory map in blocks and gives the pages back, so that its peak is the model and one block.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Kind, TchError, Tensor};

use super::clip::failed;
use super::config::{ClipConfig, Layout};
use super::layout::{self, How};
use super::parameters::Parameter;
use super::positions;
use super::source::{Found, Piece, Sources};
use crate::journal::failure::{Failure, FailureKind};
use crate::tensors::{Dtype, Entry, Key, Outgoing, TensorFile, write_safetensors, write_torch};

/// File name of the weights in a checkpoint folder.
pub const FILE: &str = "model.safetensors";

/// Differences that a failure names.
const SHOWN: usize = 20;

/// How weights compare with an architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    /// The layout of each file, and its container.
    pub layouts: Vec<String>,
    /// Tensors of the files.
    pub tensors: usize,
    /// Values of the parameters that were found.
    pub values: u64,
    /// Parameters that the architecture trains, in values.
    pub parameters: i64,
    /// Tensors by kind of number (`F32` …).
    pub kinds: BTreeMap<String, usize>,
    /// Public names of what the files lack.
    pub missing: Vec<String>,
    /// Tensors of the files that the architecture has no place for.
    pub unexpected: Vec<String>,
    /// Tensors whose shape or kind differs, in words.
    pub shapes: Vec<String>,
}

impl Comparison {
    /// Whether the weights can be loaded.
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

/// Compares weights with an architecture.
pub fn compare(sources: &Sources, config: &ClipConfig, parameters: &[Parameter]) -> Comparison {
    let mut out = Comparison { layouts: sources.layouts(), ..Comparison::default() };
    out.parameters = parameters.iter().filter(|p| p.trainable).map(Parameter::count).sum();
    for entry in sources.entries() {
        out.tensors += 1;
        *out.kinds.entry(entry.dtype.to_string()).or_default() += 1;
    }
    let mut used = std::collections::HashSet::new();
    for p in parameters {
        match sources.find(&p.name) {
            Found::Whole { how, pieces } => {
                used.extend(pieces.iter().flat_map(|piece| piece.names.iter().cloned()));
                out.values += p.count() as u64;
                out.shapes.extend(unfit(config, p, how, &pieces));
            }
            // The bias belongs to the loss: a model that was trained without one starts with the loss's own. C-RADIO has
            // neither scalar.
            Found::Missing { .. } if p.name == "logit_bias" || (p.shape.is_empty() && sources.lacks_scalars()) => {}
            Found::Missing { absent, present } => {
                out.missing.extend(absent);
                used.extend(present);
            }
        }
    }
    // A bias that training with the sigmoid loss added is no fault of an architecture without one.
    out.unexpected = sources.leftovers(|name| name == "logit_bias" || used.contains(name));
    out
}

/// Why a parameter cannot take what was found for it.
fn unfit(config: &ClipConfig, p: &Parameter, how: How, pieces: &[Piece]) -> Option<String> {
    if let Some(piece) = pieces.iter().find(|piece| kind(piece.dtype).is_none()) {
        return Some(format!("{} holds {}, expected floats", piece.names[0], piece.dtype));
    }
    let shape = canonical_shape(how, pieces);
    let resizes = |s: &[i64]| positions::resizes(config, p, &s.iter().map(|&n| n as usize).collect::<Vec<_>>());
    match shape {
        Some(shape) if shape == p.shape || resizes(&shape) => None,
        Some(shape) if p.shape.is_empty() && shape == [1] => None,
        _ => {
            let found: Vec<String> = pieces.iter().map(|piece| format!("{:?}", piece.shape)).collect();
            Some(format!("{} has shape {}, expected {:?}", pieces[0].names[0], found.join(" + "), expected(how, p)))
        }
    }
}

/// The shape that the first public tensor of a parameter should have.
fn expected(how: How, p: &Parameter) -> Vec<i64> {
    match how {
        How::Transposed if p.shape.len() == 2 => vec![p.shape[1], p.shape[0]],
        How::Scalar => vec![1],
        _ => p.shape.clone(),
    }
}

/// The canonical shape of what was found.
pub(super) fn canonical_shape(how: How, pieces: &[Piece]) -> Option<Vec<i64>> {
    let mut shapes = pieces.iter().map(|piece| how.canonical(&piece.shape));
    let mut whole = shapes.next()??;
    for shape in shapes {
        let shape = shape?;
        if shape.is_empty() || whole.get(1..) != shape.get(1..) {
            return None;
        }
        whole[0] += shape[0];
    }
    Some(whole)
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

/// Copies weights into `tensors`, which are those of `parameters`.
///
/// # Errors
/// `BadCheckpoint` with every difference; nothing has changed then.
pub fn load(
    sources: &Sources,
    config: &ClipConfig,
    parameters: &[Parameter],
    tensors: &[Tensor],
) -> Result<(), Failure> {
    let found = compare(sources, config, parameters);
    if !found.fits() {
        let mut all = found.differences();
        let more = all.len().saturating_sub(SHOWN);
        all.truncate(SHOWN);
        let message = format!(
            "{} ({}) does not fit the model:\n  {}{}",
            sources.path().display(),
            found.layouts[0],
            all.join("\n  "),
            if more > 0 { format!("\n  and {more} more, which `cliptune weights check` names") } else { String::new() }
        );
        return Err(Failure::new(FailureKind::BadCheckpoint, message));
    }
    tch::no_grad(|| {
        for (p, tensor) in parameters.iter().zip(tensors) {
            if let Found::Whole { how, pieces } = sources.find(&p.name) {
                fill(sources, config, p, tensor, how, &pieces)?;
            }
        }
        Ok(())
    })
}

fn fill(
    sources: &Sources,
    config: &ClipConfig,
    p: &Parameter,
    tensor: &Tensor,
    how: How,
    pieces: &[Piece],
) -> Result<(), Failure> {
    let stays = canonical_shape(how, pieces).is_some_and(|shape| shape == p.shape);
    if let (true, How::Same | How::Stack(_)) = (stays, how) {
        let flat = tensor.f_view([-1]).map_err(failed)?;
        let mut start = 0;
        for piece in pieces {
            let count = piece.shape.iter().product();
            let part = flat.f_narrow(0, start, count).map_err(failed)?;
            match &piece.entry {
                Some(entry) => copy(entry, &part)?,
                None => part
                    .shallow_clone()
                    .f_copy_(&sources.folded(piece)?.f_view([-1]).map_err(failed)?)
                    .map_err(failed)?,
            }
            start += count;
        }
        return Ok(());
    }
    let read = |piece: &Piece| -> Result<Tensor, Failure> {
        let value = match &piece.entry {
            Some(entry) => tensor_of(entry)?,
            None => sources.folded(piece)?,
        };
        how.read(&value).map_err(failed)
    };
    let parts = pieces.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let value = match &parts[..] {
        [one] => one.shallow_clone(),
        several => Tensor::f_cat(several, 0).map_err(failed)?,
    };
    let put = || -> Result<(), TchError> {
        let value = if stays || p.shape.is_empty() {
            value.f_reshape(&p.shape)?
        } else {
            positions::for_image_size(config, &value.f_to_kind(Kind::Float)?)?
        };
        tensor.shallow_clone().f_copy_(&value).map(drop)
    };
    put().map_err(failed)
}

/// Copies a tensor of a file into a vector of as many values, block by block.
fn copy(entry: &Entry, to: &Tensor) -> Result<(), Failure> {
    let kind = kind(entry.dtype).unwrap_or(Kind::Float);
    let width = kind.elt_size_in_bytes();
    entry.in_blocks(|at, bytes| {
        let count = (bytes.len() / width) as i64;
        let block = Tensor::f_from_data_size(bytes, &[count], kind).map_err(failed)?;
        to.f_narrow(0, (at / width) as i64, count).and_then(|mut part| part.f_copy_(&block)).map_err(failed)?;
        Ok(())
    })
}

/// A tensor of a file, in its own kind.
pub(super) fn tensor_of(entry: &Entry) -> Result<Tensor, Failure> {
    let shape: Vec<i64> = entry.shape.iter().map(|&n| n as i64).collect();
    let kind = match entry.dtype {
        Dtype::BOOL => Some(Kind::Bool),
        Dtype::U8 => Some(Kind::Uint8),
        Dtype::I32 => Some(Kind::Int),
        other => kind(other),
    };
    let kind = kind.ok_or_else(|| {
        Failure::new(FailureKind::BadCheckpoint, format!("numbers of kind {} are not read", entry.dtype))
    })?;
    let tensor = Tensor::f_from_data_size(&entry.bytes()?, &shape, kind).map_err(failed)?;
    entry.release();
    Ok(tensor)
}

/// Reads every tensor of a file, by name. The key of encrypted files comes from the environment.
///
/// # Errors
/// `BadCheckpoint` when it is no file of tensors.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, Failure> {
    read_if(path, |_| true)
}

/// Reads the tensors of a file whose names are wanted.
///
/// # Errors
/// As [`read`].
pub fn read_if(path: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Tensor>, Failure> {
    let file = TensorFile::open(path, Key::from_environment().as_ref())?;
    let wanted = file.tensors.iter().filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, entry)| Ok((name.clone(), tensor_of(entry)?))).collect()
}

/// Writes tensors (f32 or i64) durably under their names, encrypted when the environment holds a key.
///
/// # Errors
/// `DiskFull` or `Io`; nothing is left then.
pub fn save<'a>(path: &Path, tensors: impl Iterator<Item = (&'a str, &'a Tensor)>) -> Result<(), Failure> {
    let outgoing = tensors.map(|(name, t)| outgoing(name.to_owned(), t.shallow_clone())).collect();
    write_safetensors(path, &[("format", "pt".to_owned())], outgoing, Key::from_environment().as_ref())
}

/// Writes parameters durably in the layout of their family: safetensors, or for a path that ends in `.pth` a PyTorch archive.
///
/// # Errors
/// `DiskFull` or `Io`; nothing is left then.
pub fn save_model<'a>(
    path: &Path,
    config: &ClipConfig,
    parameters: impl Iterator<Item = (&'a Parameter, &'a Tensor)>,
) -> Result<(), Failure> {
    let out = public(config, parameters)?.into_iter().map(|(name, tensor)| outgoing(name, tensor)).collect::<Vec<_>>();
    if path.extension().is_some_and(|e| e == "pth") {
        return write_torch(path, &out, Some("state_dict"));
    }
    write_safetensors(path, &[("format", "pt".to_owned())], out, Key::from_environment().as_ref())
}

/// Writes parameters as a PyTorch archive that TAO's clip task takes as `train.pretrained_model_path`: a bare dict under the
/// names of its adapter, which holds the model of the family's library further inside and the scalars itself.
///
/// # Errors
/// `SpecInvalid` for a family whose adapter is not known; those of [`save_model`].
pub fn save_for_tao<'a>(
    path: &Path,
    config: &ClipConfig,
    parameters: impl Iterator<Item = (&'a Parameter, &'a Tensor)>,
) -> Result<(), Failure> {
    let siglip = match config.layout {
        Layout::HfSiglip | Layout::HfSiglip2 => true,
        Layout::OpenClip => false,
        _ => {
            let why = "TAO's names are known for the SigLIP 2 and ViT-*-SigLIP-CLIPA types alone";
            return Err(Failure::new(FailureKind::SpecInvalid, why));
        }
    };
    let mut out = Vec::new();
    for (name, tensor) in public(config, parameters)? {
        if name.starts_with("logit_") {
            out.push(outgoing(name.clone(), tensor.f_view([]).map_err(failed)?));
            // Its copy of transformers' model keeps scalars that nothing uses.
            if siglip {
                out.push(outgoing(format!("backbone.inner.{name}"), tensor.f_view([1]).map_err(failed)?));
            }
            continue;
        }
        out.push(outgoing(format!("backbone.{}.{name}", if siglip { "inner" } else { "model" }), tensor));
    }
    if siglip {
        let mask = Tensor::f_ones([1, 1], (Kind::Int, Device::Cpu)).map_err(failed)?;
        out.push(outgoing("backbone.mask".to_owned(), mask));
    }
    write_torch(path, &out, None)
}

/// Parameters under the public names of their family.
fn public<'a>(
    config: &ClipConfig,
    parameters: impl Iterator<Item = (&'a Parameter, &'a Tensor)>,
) -> Result<Vec<(String, Tensor)>, Failure> {
    let table = layout::of(config);
    let mut out = Vec::new();
    for (p, tensor) in parameters {
        let (names, how) = table.public(&p.name, "").ok_or_else(|| {
            Failure::new(FailureKind::Unknown, format!("the layout {} has no name for {}", table.name, p.name))
        })?;
        out.extend(names.into_iter().zip(tch::no_grad(|| how.write(tensor)).map_err(failed)?));
    }
    Ok(out)
}

/// A tensor on its way into a file: copied to the host when its turn comes.
fn outgoing(name: String, tensor: Tensor) -> Outgoing<'static> {
    let (dtype, kind) = match tensor.kind() {
        Kind::Int64 => (Dtype::I64, Kind::Int64),
        Kind::Int => (Dtype::I32, Kind::Int),
        _ => (Dtype::F32, Kind::Float),
    };
    let shape = tensor.size().iter().map(|&n| n as usize).collect();
    let bytes = move || {
        let host = tensor.f_detach().and_then(|t| t.f_to_device(Device::Cpu)).and_then(|t| t.f_to_kind(kind));
        let host = host.and_then(|t| t.f_contiguous()).map_err(failed)?;
        let mut bytes = vec![0; host.numel() * kind.elt_size_in_bytes()];
        host.f_copy_data_u8(&mut bytes, host.numel()).map_err(failed)?;
        Ok(Cow::Owned(bytes))
    };
    Outgoing { name, dtype, shape, bytes: Box::new(bytes) }
}
