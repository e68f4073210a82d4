//! The embeddings file, in TAO's layout: dataset `embeddings` (float32, N × D, gzip 4), the names of the rows as
//! variable-length UTF-8, and the counts as attributes of the file. A file has its name only when it is whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hdf5::types::VarLenUnicode;
use ndarray::{ArrayView2, s};

use crate::base::files;
use crate::journal::failure::{Failure, FailureKind};

/// Rows of a chunk of the compressed dataset.
const CHUNK_ROWS: usize = 256;

/// What the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Images, named by their path.
    Images,
    /// Texts, which are their own names.
    Texts,
}

impl Kind {
    /// The dataset of the rows' names.
    pub fn names_dataset(self) -> &'static str {
        match self {
            Self::Images => "image_paths",
            Self::Texts => "texts",
        }
    }

    /// The attribute with the number of rows.
    pub fn count_attribute(self) -> &'static str {
        match self {
            Self::Images => "num_images",
            Self::Texts => "num_texts",
        }
    }

    /// Value of the attribute `embedding_type`.
    pub fn embedding_type(self) -> &'static str {
        match self {
            Self::Images => "image",
            Self::Texts => "text",
        }
    }

    /// The usual name of the file.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Images => "image_embeddings.h5",
            Self::Texts => "text_embeddings.h5",
        }
    }
}

/// Writes one file block by block.
#[derive(Debug)]
pub struct Writer {
    file: Option<hdf5::File>,
    dataset: Option<hdf5::Dataset>,
    kind: Kind,
    rows: usize,
    width: usize,
    next: usize,
    temporary: PathBuf,
    path: PathBuf,
}

impl Writer {
    /// Starts the file `path` for `rows` rows. It appears under its name after [`Writer::finish`].
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path, kind: Kind, rows: usize) -> Result<Self, Failure> {
        let temporary = files::temporary_beside(path);
        let file = hdf5::File::create(&temporary).map_err(|e| failed(path, &e))?;
        let path = path.to_owned();
        Ok(Self { file: Some(file), dataset: None, kind, rows, width: 0, next: 0, temporary, path })
    }

    /// Appends a block of rows, `[n, D]`, already normalised. `D` is the same in every block.
    ///
    /// # Errors
    /// When the block does not fit or the file cannot be written.
    pub fn append(&mut self, block: ArrayView2<'_, f32>) -> Result<(), Failure> {
        let (rows, width) = block.dim();
        let Some(file) = &self.file else { return Ok(()) };
        if self.dataset.is_none() {
            self.width = width;
            let chunk = (self.rows.clamp(1, CHUNK_ROWS), width.max(1));
            let shape = (self.rows, width);
            let new = file.new_dataset::<f32>().chunk(chunk).deflate(4).shape(shape).create("embeddings");
            self.dataset = Some(new.map_err(|e| failed(&self.path, &e))?);
        }
        if width != self.width || self.next + rows > self.rows {
            let why = format!(
                "a block of {rows} × {width} does not fit at row {} of {} × {}",
                self.next, self.rows, self.width
            );
            return Err(Failure::new(FailureKind::Unknown, format!("{}: {why}", self.path.display())));
        }
        if let Some(dataset) = &self.dataset {
            let end = self.next + rows;
            dataset.write_slice(block, s![self.next..end, ..]).map_err(|e| failed(&self.path, &e))?;
        }
        self.next += rows;
        Ok(())
    }

    /// Writes the names of the rows and the attributes, and gives the file its name.
    ///
    /// # Errors
    /// When rows are missing, a name holds a NUL character, or the file cannot be written.
    pub fn finish(mut self, names: &[String]) -> Result<(), Failure> {
        if self.next != self.rows || names.len() != self.rows {
            let why = format!("{} of {} rows and {} names were written", self.next, self.rows, names.len());
            return Err(Failure::new(FailureKind::Unknown, format!("{}: {why}", self.path.display())));
        }
        self.write_names(names).map_err(|e| failed(&self.path, &e))?;
        self.dataset = None;
        if let Some(file) = self.file.take() {
            file.close().map_err(|e| failed(&self.path, &e))?;
        }
        fs::File::open(&self.temporary)?.sync_all()?;
        fs::rename(&self.temporary, &self.path).map_err(files::with_path(&self.path))?;
        files::sync_folder(&self.path)?;
        Ok(())
    }

    fn write_names(&self, names: &[String]) -> hdf5::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let text = |t: &str| VarLenUnicode::from_str(t).map_err(|e| hdf5::Error::from(format!("{t:?}: {e}")));
        let names: Vec<VarLenUnicode> = names.iter().map(|n| text(n)).collect::<hdf5::Result<_>>()?;
        let dataset = file.new_dataset::<VarLenUnicode>().shape(names.len()).create(self.kind.names_dataset())?;
        dataset.write(&names)?;
        let count = |name: &str, value: usize| {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            file.new_attr::<i64>().create(name)?.write_scalar(&value)
        };
        count(self.kind.count_attribute(), self.rows)?;
        count("embedding_dim", self.width)?;
        let kind = text(self.kind.embedding_type())?;
        file.new_attr::<VarLenUnicode>().create("embedding_type")?.write_scalar(&kind)
    }
}

impl Drop for Writer {
    /// A file that was not finished leaves nothing behind.
    fn drop(&mut self) {
        self.dataset = None;
        if let Some(file) = self.file.take() {
            let _ = file.close();
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn failed(path: &Path, error: &hdf5::Error) -> Failure {
    let text = error.to_string();
    let full = ["No space left", "Disk quota exceeded"].iter().any(|t| text.contains(t));
    let kind = if full { FailureKind::DiskFull } else { FailureKind::Io };
    Failure::new(kind, format!("{}: {text}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writer_two_blocks_read_back_equal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image_embeddings.h5");
        let values = ndarray::Array2::from_shape_fn((5, 3), |(i, j)| (i * 3 + j) as f32);
        let mut writer = Writer::create(&path, Kind::Images, 5).unwrap();
        writer.append(values.slice(s![0..2, ..])).unwrap();
        writer.append(values.slice(s![2..5, ..])).unwrap();
        assert!(!path.exists());
        let names: Vec<String> = (0..5).map(|i| format!("größe/{i}.png")).collect();
        writer.finish(&names).unwrap();

        let file = hdf5::File::open(&path).unwrap();
        let dataset = file.dataset("embeddings").unwrap();
        assert_eq!(dataset.read_2d::<f32>().unwrap(), values);
        assert_eq!(dataset.filters(), [hdf5::filters::Filter::Deflate(4)]);
        let read = file.dataset("image_paths").unwrap().read_1d::<VarLenUnicode>().unwrap();
        assert_eq!(read.iter().map(|n| n.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(file.attr("num_images").unwrap().read_scalar::<i64>().unwrap(), 5);
        assert_eq!(file.attr("embedding_dim").unwrap().read_scalar::<i64>().unwrap(), 3);
        assert_eq!(file.attr("embedding_type").unwrap().read_scalar::<VarLenUnicode>().unwrap().as_str(), "image");
    }

    #[test]
    fn writer_unfinished_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(&dir.path().join("text_embeddings.h5"), Kind::Texts, 2).unwrap();
        writer.append(ndarray::Array2::zeros((1, 4)).view()).unwrap();
        assert!(writer.finish(&["only one".into()]).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
