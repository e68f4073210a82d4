//! Open weights under canonical names: one file, or for C-RADIO the image tower's and that of its text tower's teacher.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tch::Tensor;

use super::clip::failed;
use super::config::{ClipConfig, Tokens, VisionPool};
use super::layout::{self, Folded, How, RADIO, Table};
use super::weights::{canonical_shape, tensor_of};
use crate::journal::failure::{Failure, FailureKind};
use crate::tensors::{Dtype, Entry, Key, TensorFile};

/// The folder beside a C-RADIO checkpoint that holds the teacher of its text tower.
pub const TEACHER: &str = "teacher";

/// Where a parameter is.
#[derive(Debug)]
pub(super) enum Found {
    /// All of it, in these tensors.
    Whole {
        /// How they are arranged.
        how: How,
        /// The tensors, in order.
        pieces: Vec<Piece>,
    },
    /// Not whole: public names that are absent, and those of its parts that are there.
    Missing {
        /// What it lacks.
        absent: Vec<String>,
        /// What there is of it.
        present: Vec<String>,
    },
}

/// A public tensor.
#[derive(Debug)]
pub(super) struct Piece {
    /// Names of the tensors that it is made of; the first is its own.
    pub(super) names: Vec<String>,
    pub(super) shape: Vec<i64>,
    pub(super) dtype: Dtype,
    /// The tensor; `None` for one that is folded out of several.
    pub(super) entry: Option<Entry>,
}

#[derive(Debug)]
struct Source {
    file: TensorFile,
    table: &'static Table,
    /// What `$` stands for: the key of C-RADIO's head.
    head: String,
    /// Names of the file by plain names.
    names: HashMap<String, String>,
}

/// Open weights.
#[derive(Debug)]
pub struct Sources {
    list: Vec<Source>,
    /// Which token C-RADIO's adaptor reads, where the checkpoint says so.
    slot: Option<i64>,
}

impl Sources {
    /// Opens the weights at `path` (a file or a folder) for an architecture, and those of the `teacher` whose text tower
    /// C-RADIO takes. The key of encrypted files comes from the environment.
    ///
    /// # Errors
    /// `BadCheckpoint` when a file cannot be read or has no known layout.
    pub fn open(path: &Path, teacher: Option<&Path>, config: &ClipConfig) -> Result<Self, Failure> {
        let key = Key::from_environment();
        let files = [Some(path), teacher].into_iter().flatten();
        Self::new(files.map(|path| TensorFile::open(path, key.as_ref())).collect::<Result<_, _>>()?, config)
    }

    /// Weights out of open files.
    ///
    /// # Errors
    /// `BadCheckpoint` when one has no known layout.
    pub fn new(files: Vec<TensorFile>, config: &ClipConfig) -> Result<Self, Failure> {
        let mut slot = None;
        let mut list = Vec::new();
        for file in files {
            let mut source = Source::new(file)?;
            if source.table.name == RADIO {
                (source.head, slot) = source.adaptor(config);
            }
            list.push(source);
        }
        Ok(Self { list, slot })
    }

    /// The first file.
    pub fn path(&self) -> &Path {
        self.list.first().map_or(Path::new(""), |source| &source.file.path)
    }

    /// What the architecture leaves open, as these weights have it.
    #[must_use]
    pub fn fitted(&self, config: ClipConfig) -> ClipConfig {
        let shape = |name: &str| match self.find(name) {
            Found::Whole { how, pieces } => canonical_shape(how, &pieces),
            Found::Missing { .. } => None,
        };
        let mut config = config.fitted(&shape);
        if let (Some(slot), VisionPool::Token(token)) = (self.slot, &mut config.vision_cfg.pool) {
            *token = slot;
        }
        config
    }

    /// The folders of all files, the last one first: there the text tower's vocabulary lies.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.list.iter().rev().filter_map(|source| source.file.path.parent()).map(Path::to_owned).collect()
    }

    /// The folder of the first file that has companions: tokenizers and the like.
    pub(super) fn folder(&self) -> &Path {
        self.path().parent().unwrap_or(Path::new(""))
    }

    /// Whether the first file is a C-RADIO checkpoint, which has no logit scale.
    pub(super) fn lacks_scalars(&self) -> bool {
        self.list.first().is_some_and(|source| source.table.name == RADIO)
    }

    /// Layout and container of each file, in words.
    pub(super) fn layouts(&self) -> Vec<String> {
        self.list.iter().map(|s| format!("{}, {}", s.table.name, s.file.container.name())).collect()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.list.iter().flat_map(|source| source.file.tensors.values())
    }

    pub(super) fn find(&self, canonical: &str) -> Found {
        let mut missing = None;
        for source in &self.list {
            match source.find(canonical) {
                whole @ Found::Whole { .. } => return whole,
                nowhere @ Found::Missing { .. } => missing = missing.or(Some(nowhere)),
            }
        }
        missing.unwrap_or(Found::Missing { absent: vec![canonical.to_owned()], present: Vec::new() })
    }

    /// Tensors of the first file that nothing used. A teacher's image tower is left over by design.
    pub(super) fn leftovers(&self, used: impl Fn(&str) -> bool) -> Vec<String> {
        let source = self.list.first();
        let names = source.into_iter().flat_map(|s| s.names.iter().map(move |(plain, name)| (s, plain, name)));
        let mut out: Vec<String> = names
            .filter(|(s, plain, _)| !used(plain) && !s.table.ignores(plain))
            .map(|(_, _, name)| name.clone())
            .collect();
        out.sort();
        out
    }

    /// The plain weight of a reparametrised one.
    pub(super) fn folded(&self, piece: &Piece) -> Result<Tensor, Failure> {
        let source = self.list.iter().find(|s| piece.names.iter().all(|n| s.names.contains_key(n)));
        let lost = || Failure::new(FailureKind::Unknown, format!("{:?} is gone", piece.names));
        source.ok_or_else(lost)?.folded(piece)
    }
}

impl Source {
    fn new(file: TensorFile) -> Result<Self, Failure> {
        let mut names: HashMap<String, (usize, String)> = HashMap::new();
        for name in file.tensors.keys() {
            let (plain, depth) = layout::plain(name);
            if names.get(&plain).is_none_or(|(other, _)| *other > depth) {
                names.insert(plain, (depth, name.clone()));
            }
        }
        let names: HashMap<String, String> = names.into_iter().map(|(plain, (_, name))| (plain, name)).collect();
        let table = layout::recognise(|name| names.contains_key(name)).ok_or_else(|| {
            let known: Vec<&str> = layout::TABLES.iter().map(|t| t.name).collect();
            let some: Vec<&str> = file.tensors.keys().take(5).map(String::as_str).collect();
            let message = format!(
                "{}: the names of its {} tensors ({} …) are those of no known layout ({})",
                file.path.display(),
                file.tensors.len(),
                some.join(", "),
                known.join(", ")
            );
            Failure::new(FailureKind::BadCheckpoint, message)
        })?;
        Ok(Self { file, table, head: String::new(), names })
    }

    fn entry(&self, plain: &str) -> Option<&Entry> {
        self.file.tensors.get(self.names.get(plain)?)
    }

    fn find(&self, canonical: &str) -> Found {
        let Some((names, how)) = self.table.public(canonical, &self.head) else {
            return Found::Missing { absent: vec![canonical.to_owned()], present: Vec::new() };
        };
        let pieces: Vec<Option<Piece>> = names.iter().map(|name| self.piece(name)).collect();
        if pieces.iter().all(Option::is_some) {
            return Found::Whole { how, pieces: pieces.into_iter().flatten().collect() };
        }
        let present = pieces.iter().flatten().flat_map(|piece| piece.names.clone()).collect();
        let absent = names.into_iter().zip(pieces).filter(|(_, piece)| piece.is_none());
        Found::Missing { absent: absent.map(|(name, _)| name).collect(), present }
    }

    fn piece(&self, name: &str) -> Option<Piece> {
        let plain = |names: Vec<String>, entry: Entry| Piece {
            names,
            shape: entry.shape.iter().map(|&n| n as i64).collect(),
            dtype: entry.dtype,
            entry: Some(entry),
        };
        if let Some(entry) = self.entry(name) {
            return Some(plain(vec![name.to_owned()], entry.clone()));
        }
        if let Some((whole, layer)) = stacked(name) {
            let entry = self.entry(&whole)?.at(layer)?;
            return Some(plain(vec![whole], entry));
        }
        let original = self.entry(&Folded::original(name))?;
        let shape = original.shape.iter().map(|&n| n as i64).collect();
        let prefix = Folded::original(name).strip_suffix("original").map(str::to_owned)?;
        let mut names: Vec<String> = self.names.keys().filter(|n| n.starts_with(&prefix)).cloned().collect();
        names.sort_by_key(|n| !n.ends_with(".original"));
        Some(Piece { names, shape, dtype: original.dtype, entry: None })
    }

    fn folded(&self, piece: &Piece) -> Result<Tensor, Failure> {
        let weight = piece.names.first().map(|n| n.replace(".parametrizations", "").replace(".original", ""));
        let weight = weight.unwrap_or_default();
        let get = |name: &str| {
            let lacks = || {
                let why = format!("{}: {name} is missing, which {weight} is made of", self.file.path.display());
                Failure::new(FailureKind::BadCheckpoint, why)
            };
            tensor_of(self.entry(name).ok_or_else(lacks)?)
        };
        let count = (0..).take_while(|&i| self.entry(&Folded::name(&weight, Some(i), "_u")).is_some()).count();
        let indices: Vec<Option<usize>> = if count == 0 { vec![None] } else { (0..count).map(Some).collect() };
        let part = |i: Option<usize>| {
            let version = match self.entry(&Folded::name(&weight, i, "_sn_version")) {
                Some(entry) => tensor_of(entry)?.f_int64_value(&[]).map_err(failed)?,
                None => 1,
            };
            let [u, v, scale] = ["_u", "_v", "scale"].map(|piece| get(&Folded::name(&weight, i, piece)));
            Ok::<_, Failure>((u?, v?, scale?, version))
        };
        let parts = indices.into_iter().map(part).collect::<Result<_, _>>()?;
        Folded { original: get(&Folded::original(&weight))?, parts }.weight().map_err(failed)
    }

    /// The key of the head that the architecture asks for, and the token it reads, out of the list of teachers.
    fn adaptor(&self, config: &ClipConfig) -> (String, Option<i64>) {
        let VisionPool::Token(own) = config.vision_cfg.pool else { return (String::new(), None) };
        let teachers = self.file.metadata["args"]["teachers"].as_array().map_or(&[][..], Vec::as_slice);
        let wanted = |teacher: &serde_json::Value| {
            let name = teacher["name"].as_str().unwrap_or_default();
            match config.text_cfg.tokens {
                Tokens::ClipBpe => matches!(name, "clip" | "dfn" | "dfn_clip"),
                _ => name.starts_with("siglip"),
            }
        };
        let Some(index) = teachers.iter().position(wanted) else { return (own.to_string(), None) };
        let name = teachers[index]["name"].as_str().unwrap_or_default();
        let by_name = format!("_heads.{name}.");
        let named = self.names.keys().any(|n| n.starts_with(&by_name));
        let slot = teachers[index]["token_slot"].as_i64().unwrap_or(index as i64);
        (if named { name.to_owned() } else { index.to_string() }, Some(slot))
    }
}

/// big_vision may keep all layers of a tower in one tensor: its name, and the layer.
fn stacked(name: &str) -> Option<(String, usize)> {
    let (before, rest) = name.split_once("encoderblock_")?;
    let (layer, rest) = rest.split_once('/')?;
    Some((format!("{before}encoderblock/{rest}"), layer.parse().ok()?))
}
