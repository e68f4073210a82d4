//! Where the weights that training starts from come from, in this order: a path that the spec names, a model type that is a
//! folder with weights, the hub.

use std::path::{Path, PathBuf};

use super::catalog_table::{self, CATALOG};
use super::config::{self, ClipConfig};
use super::source::{Sources, TEACHER};
use crate::fetch::address::Address;
use crate::fetch::hub::{Hub, PREFIX, Repository};
use crate::fetch::mirror::{self, Found};
use crate::journal::failure::{Failure, FailureKind};
use crate::spec::sections::Spec;
use crate::tensors::{Key, TensorFile};

/// The files of a public SigLIP 2 repository.
const EXACT: &[&[&str]] = &[&[config::FILE_HUGGING_FACE], &["model.safetensors"]];
const CONFIGS: &[&str] = &[config::FILE, config::FILE_HUGGING_FACE];
const WEIGHTS: &[&str] = &[
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
];
/// What goes beside weights for whoever loads them: tokenizers and how images are prepared.
pub const COMPANIONS: &[&str] = &[
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
];

/// The weights that training starts from; `None` where nothing names any, so that it starts from random ones.
///
/// # Errors
/// When they are named and cannot be had.
pub fn of(spec: &Spec, config: &ClipConfig) -> Result<Option<Sources>, Failure> {
    let model = &spec.model;
    if let Some(named) = &spec.train.pretrained_model_path {
        return open(&named.to_string_lossy(), model.adaptor_name.as_deref(), config).map(Some);
    }
    let folder = Path::new(&model.kind);
    if folder.is_dir() && TensorFile::find(folder).is_some() {
        return Sources::open(folder, None, config).map(Some);
    }
    if model.kind.starts_with(PREFIX) {
        return open(&model.kind, model.adaptor_name.as_deref(), config).map(Some);
    }
    // The first source is the image tower's, or that of all; weights of another model are taken only when they are named.
    let mut entries = catalog_table::entries(&model.kind).filter(|entry| entry.own);
    let Some(source) = entries.next().and_then(|entry| entry.sources.first()) else { return Ok(None) };
    let hub = Hub::from_environment();
    let path = match config.layout {
        config::Layout::Radio => hub.file(&repository(source.repository), source.file)?,
        _ => hub.snapshot(&repository(source.repository), EXACT, COMPANIONS)?,
    };
    Sources::open(&path, teacher(&path, model.adaptor_name.as_deref(), config)?.as_deref(), config).map(Some)
}

/// What to say of a training that nothing names weights for; `None` when it has some.
pub fn remark(spec: &Spec) -> Option<String> {
    let kind = &spec.model.kind;
    let folder = Path::new(kind);
    let named = spec.train.pretrained_model_path.is_some()
        || spec.train.resume_training_checkpoint_path.is_some()
        || kind.starts_with(PREFIX)
        || (folder.is_dir() && TensorFile::find(folder).is_some());
    let mut entries = catalog_table::entries(kind);
    if named || entries.clone().any(|entry| entry.own) {
        return None;
    }
    let near = entries.find_map(|entry| entry.sources.first());
    let near = near.map_or_else(String::new, |s| format!(", for example {PREFIX}{}", s.repository));
    Some(format!("{kind} starts from random weights; train.pretrained_model_path names others{near}"))
}

/// Opens weights at a path, or in a repository (`hf:owner/name[@revision]`).
///
/// # Errors
/// When they cannot be had or read.
pub fn open(named: &str, adaptor: Option<&str>, config: &ClipConfig) -> Result<Sources, Failure> {
    let mut path = local(named)?;
    if let Some(whole) = Some(&path).filter(|_| config.layout == config::Layout::Radio).and_then(|p| radio_file(p)) {
        path = whole;
    }
    Sources::open(&path, teacher(&path, adaptor, config)?.as_deref(), config)
}

/// Where weights lie on this machine: the path itself, or what a repository (`hf:owner/name[@revision]`) or an address on S3
/// was fetched to.
///
/// # Errors
/// When they cannot be had.
pub fn local(named: &str) -> Result<PathBuf, Failure> {
    if let Some(address) = Address::of(Path::new(named)) {
        let (Found::File(copy) | Found::Folder(copy)) =
            mirror::open(&address?, &Hub::from_environment().cache, &|_| true)?;
        return Ok(copy);
    }
    let Some(repository) = Repository::parse(named) else { return Ok(PathBuf::from(named)) };
    let (hub, repository) = (Hub::from_environment(), repository?);
    // C-RADIO's repositories hold a second file, without the adaptors' heads, under the usual name.
    let firsts = CATALOG.iter().filter_map(|entry| entry.sources.first().filter(|_| entry.adaptor.is_some()));
    match firsts.into_iter().find(|source| source.repository == repository.id) {
        Some(source) => hub.file(&repository, source.file),
        None => fetch(&hub, &repository, &[]),
    }
}

/// The checkpoint in a copy of a C-RADIO repository: the file beside it that has a usual name lacks the adaptors' heads.
pub fn radio_file(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut files = files.filter(|path| path.to_string_lossy().ends_with(".pth.tar"));
    files.next().filter(|_| files.next().is_none())
}

/// The folder with the config of a repository.
///
/// # Errors
/// When it cannot be had.
pub fn config_folder(repository: &Repository) -> Result<PathBuf, Failure> {
    Hub::from_environment().snapshot(repository, &[CONFIGS], &["preprocessor_config.json"])
}

/// The folder with weights, config and companions of a repository.
fn fetch(hub: &Hub, repository: &Repository, more: &[&[&str]]) -> Result<PathBuf, Failure> {
    let wanted: Vec<&[&str]> = [CONFIGS, WEIGHTS].into_iter().chain(more.iter().copied()).collect();
    let folder = hub.snapshot(repository, &wanted, COMPANIONS)?;
    let index = folder.join("model.safetensors.index.json");
    if folder.join("model.safetensors").is_file() || !index.is_file() || !more.is_empty() {
        return Ok(folder);
    }
    let shards = TensorFile::shards(&index)?;
    let shards: Vec<[&str; 1]> = shards.iter().map(|name| [name.as_str()]).collect();
    let shards: Vec<&[&str]> = shards.iter().map(<[&str; 1]>::as_slice).collect();
    fetch(hub, repository, &shards)
}

/// Where the text tower of weights lies that hold none: in `teacher` beside them, or for C-RADIO on the hub.
fn teacher(path: &Path, adaptor: Option<&str>, config: &ClipConfig) -> Result<Option<PathBuf>, Failure> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    let (beside, is_radio) = (folder.join(TEACHER), config.layout == config::Layout::Radio);
    if !is_radio && !beside.is_dir() {
        return Ok(None);
    }
    let file = TensorFile::open(path, Key::from_environment().as_ref())?;
    let text = if is_radio { "text.token_embedding.weight" } else { "token_embedding.weight" };
    if file.tensors.keys().any(|name| name.ends_with(text) || name.contains("txt/Embed_0")) {
        return Ok(None);
    }
    if beside.is_dir() {
        return Ok(Some(beside));
    }
    let known = CATALOG.iter().find(|entry| entry.adaptor.is_some() && entry.adaptor == adaptor);
    let Some(source) = known.and_then(|entry| entry.sources.last()) else {
        let why = format!("{} holds no text tower, and there is no folder {}", path.display(), beside.display());
        return Err(Failure::new(FailureKind::BadCheckpoint, why));
    };
    fetch(&Hub::from_environment(), &repository(source.repository), &[]).map(Some).map_err(|mut failure| {
        failure.message +=
            &format!("\n  it is the text tower of {}, looked for in {} first", path.display(), beside.display());
        failure
    })
}

fn repository(id: &str) -> Repository {
    Repository { id: id.to_owned(), revision: "main".to_owned() }
}
