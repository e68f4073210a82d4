//! Embeddings by towers as they are before the first step, in the study's cache: the first trial computes them, the others read
//! them. Those of frozen towers serve throughout, those of the others the measurement of the model that all trials begin with.
//!
//! Invariant: the key names all that an embedding depends on: the tower's weights and architecture, the inputs by their content,
//! the kind of arithmetic, and how many inputs were embedded at a time.

use std::path::Path;

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::ranks::Group;
use crate::base::files::hex;
use crate::data::cache::{Rows, Shape, Sink};
use crate::journal::failure::Failure;
use crate::model::clip::failed;
use crate::model::parameters::Part;
use crate::model::{Clip, ClipConfig};

/// Rows that are written at a time.
const CHUNK: usize = 4096;

/// Names the embeddings of the `inputs` of a side.
pub(super) fn key(model: &Clip, part: Part, inputs: &str, batch: usize) -> Result<String, Failure> {
    let mut hash = Sha256::new();
    for (parameter, tensor) in model.named().filter(|(p, _)| p.part == part) {
        hash.update(format!("{} {:?};", parameter.name, tensor.size()).as_bytes());
        hash.update(bytes(tensor)?);
    }
    // How logits begin is nothing to an embedding, and another loss begins with others.
    let config = ClipConfig { init_logit_scale: None, init_logit_bias: None, ..model.config().clone() };
    let config = serde_json::to_string(&config).unwrap_or_default();
    let about = format!(
        "embeddings/1/{part:?}/{inputs}/{batch}/{:?}/{}/{config}",
        model.matmul_kind(),
        model.device().is_cuda()
    );
    hash.update(about.as_bytes());
    Ok(hex(&hash.finalize()))
}

/// The embeddings `[rows, width]` that `key` names, from the cache or, where they are not there, made by `embed`, in which all
/// ranks take part.
pub(super) fn shared(
    cache: &Path,
    key: &str,
    [rows, width]: [usize; 2],
    device: Device,
    group: &Group,
    embed: impl FnOnce() -> Result<Tensor, Failure>,
) -> Result<Tensor, Failure> {
    let path = cache.join(format!("embeddings-{}.rows", &key[..16]));
    let shape = Shape { rows, row_bytes: width * size_of::<f32>() };
    let read = |found: &Rows| {
        let found = found.bytes(0, rows * shape.row_bytes);
        Tensor::f_from_data_size(found, &[rows as i64, width as i64], Kind::Float)
            .and_then(|t| t.f_to_device(device))
            .map_err(failed)
    };
    // Ranks embed together, or not at all; one on another machine may lack what rank 0 has.
    if group.size() > 1 && group.any(!Rows::is_there(&path, key, shape))? {
        let embeddings = embed()?;
        if group.leads() {
            Rows::open_or_build(&path, key, shape, |sink| write(&embeddings, shape, sink))?;
        }
        return Ok(embeddings);
    }
    let mut made = None;
    let (found, _) = Rows::open_or_build(&path, key, shape, |sink| {
        let embeddings = embed()?;
        write(&embeddings, shape, sink)?;
        made = Some(embeddings);
        Ok(())
    })?;
    made.map_or_else(|| read(&found), Ok)
}

fn write(embeddings: &Tensor, shape: Shape, sink: &Sink<'_>) -> Result<(), Failure> {
    for first in (0..shape.rows).step_by(CHUNK) {
        let some = embeddings.f_narrow(0, first as i64, CHUNK.min(shape.rows - first) as i64).map_err(failed)?;
        sink.put_bytes(first * shape.row_bytes, &bytes(&some)?)?;
    }
    Ok(())
}

/// The values of a tensor as 32-bit floats, row by row.
fn bytes(tensor: &Tensor) -> Result<Vec<u8>, Failure> {
    let flat =
        tensor.detach().f_to_device(Device::Cpu).and_then(|t| t.f_to_kind(Kind::Float)?.f_contiguous()?.f_view(-1));
    let values = flat.and_then(|flat| Vec::<f32>::try_from(&flat)).map_err(failed)?;
    Ok(values.iter().flat_map(|v| v.to_le_bytes()).collect())
}
