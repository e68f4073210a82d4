//! Writes a state dict as PyTorch's archive, for tools that read nothing else. `torch.load(weights_only=True)` takes it.
//!
//! Reference: torch.serialization of PyTorch 2.11 (`_save`, and `_rebuild_tensor_v2` of torch._utils).

use std::io::{self, BufWriter, Write};
use std::path::Path;

use safetensors::Dtype;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::entry::row_by_row;
use super::write::{Outgoing, atomically};
use crate::journal::failure::{Failure, FailureKind};

/// Writes `{name: tensor}`, or `{wrapper: {name: tensor}}`, durably.
///
/// # Errors
/// `DiskFull` or `Io`, or that of a tensor's bytes; nothing is left then.
pub fn write_torch(path: &Path, tensors: &[Outgoing<'_>], wrapper: Option<&str>) -> Result<(), Failure> {
    let pickle = pickle(tensors, wrapper)?;
    atomically(path, |file| {
        let mut zip = ZipWriter::new(BufWriter::with_capacity(1 << 20, file));
        // PyTorch maps storages in place: stored, and each at a multiple of 64 bytes.
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(64);
        let stored = stored.large_file(true);
        let mut add = |name: String, bytes: &[u8]| -> io::Result<()> {
            zip.start_file(name, stored)?;
            zip.write_all(bytes)
        };
        add("archive/data.pkl".to_owned(), &pickle)?;
        add("archive/byteorder".to_owned(), b"little")?;
        for (i, tensor) in tensors.iter().enumerate() {
            add(format!("archive/data/{i}"), &tensor.checked()?)?;
        }
        add("archive/version".to_owned(), b"3\n")?;
        zip.finish().map_err(io::Error::from)?.flush()?;
        Ok(())
    })
}

fn pickle(tensors: &[Outgoing<'_>], wrapper: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut p = Pickle(vec![0x80, 2]);
    if let Some(key) = wrapper {
        p.code(b"}");
        p.text(key);
    }
    p.global("collections", "OrderedDict");
    p.code(b")R(");
    for (i, tensor) in tensors.iter().enumerate() {
        let class = storage_class(tensor.dtype).ok_or_else(|| {
            Failure::new(FailureKind::Unknown, format!("PyTorch has no storage for {}", tensor.dtype))
        })?;
        let count: usize = tensor.shape.iter().product();
        p.text(&tensor.name);
        p.global("torch._utils", "_rebuild_tensor_v2");
        p.code(b"((");
        p.text("storage");
        p.global("torch", class);
        p.text(&i.to_string());
        p.text("cpu");
        p.number(count);
        p.code(b"tQ");
        p.number(0);
        p.sizes(&tensor.shape);
        p.sizes(&row_by_row(&tensor.shape));
        // No gradient, no hooks.
        p.code(b"\x89");
        p.global("collections", "OrderedDict");
        p.code(b")RtR");
    }
    p.code(if wrapper.is_some() { b"us." } else { b"u." });
    Ok(p.0)
}

/// Opcodes of protocol 2.
struct Pickle(Vec<u8>);

impl Pickle {
    fn code(&mut self, codes: &[u8]) {
        self.0.extend_from_slice(codes);
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.extend_from_slice(format!("c{module}\n{name}\n").as_bytes());
    }

    fn number(&mut self, n: usize) {
        self.0.extend_from_slice(&[0x8a, 9]);
        self.0.extend_from_slice(&(n as u64).to_le_bytes());
        self.0.push(0);
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.code(b"(");
        sizes.iter().for_each(|&n| self.number(n));
        self.code(b"t");
    }
}

fn storage_class(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::F64 => "DoubleStorage",
        Dtype::F32 => "FloatStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::BF16 => "BFloat16Storage",
        Dtype::I64 => "LongStorage",
        Dtype::I32 => "IntStorage",
        Dtype::U8 => "ByteStorage",
        Dtype::BOOL => "BoolStorage",
        _ => return None,
    })
}
