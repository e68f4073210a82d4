//! Where the weights that training starts from come from, in this order: a path that the spec names, a model type that is a
//! folder with weights, the hub.

use std::path::{Path, PathBuf};

use super::config::{self, ClipConfig};
use super::source::{Sources, TEACHER};
use crate::fetch::address::Address;
use crate::fetch::hub::{Hub, PREFIX, Repository};
use crate::fetch::mirror::{self, Found};
use crate::journal::failure::{Failure, FailureKind};
use crate::spec::sections::Spec;
use crate::tensors::{Key, TensorFile};

/// Public weights of a bundled model type.
struct Public {
    /// The type.
    kind: &'static str,
    /// The repository.
    repository: &'static str,
    /// The file, where it is not one of the usual.
    file: Option<&'static str>,
}

const fn public(kind: &'static str, repository: &'static str, file: Option<&'static str>) -> Public {
    Public { kind, repository, file }
}

/// Types whose weights a hub holds. NV-CLIP's are not public: `train.pretrained_model_path` names them.
const PUBLIC: &[Public] = &[
    public("siglip2-so400m-patch16-256", "google/siglip2-so400m-patch16-256", None),
    public("siglip2-so400m-patch14-224", "google/siglip2-so400m-patch14-224", None),
    public("siglip2-so400m-patch14-384", "google/siglip2-so400m-patch14-384", None),
    public("siglip2-so400m-patch16-384", "google/siglip2-so400m-patch16-384", None),
    public("siglip2-so400m-patch16-512", "google/siglip2-so400m-patch16-512", None),
    public("siglip2-so400m-patch16-naflex", "google/siglip2-so400m-patch16-naflex", None),
    public("c-radio_v3-b", "nvidia/C-RADIOv3-B", Some("c-radio_v3-b_half.pth.tar")),
    // The name of the file is spelled unlike its siblings.
    public("c-radio_v3-l", "nvidia/C-RADIOv3-L", Some("c-radio-v3-l_half.pth.tar")),
    public("c-radio_v3-h", "nvidia/C-RADIOv3-H", Some("c-radio_v3-h_half.pth.tar")),
    public("c-radio_v3-g", "nvidia/C-RADIOv3-g", Some("c-radio_v3-g_half.pth.tar")),
];

/// Whose text tower goes with an adaptor of C-RADIO.
const TEACHERS: &[(&str, &str)] =
    &[("siglip", "google/siglip2-giant-opt-patch16-384"), ("clip", "apple/DFN5B-CLIP-ViT-H-14-378")];

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
    let Some(public) = PUBLIC.iter().find(|p| p.kind == model.kind) else { return Ok(None) };
    let hub = Hub::from_environment();
    let path = match public.file {
        Some(file) => hub.file(&repository(public.repository), file)?,
        None => hub.snapshot(&repository(public.repository), EXACT, COMPANIONS)?,
    };
    Sources::open(&path, teacher(&path, model.adaptor_name.as_deref(), config)?.as_deref(), config).map(Some)
}

/// Opens weights at a path, or in a repository (`hf:owner/name[@revision]`).
///
/// # Errors
/// When they cannot be had or read.
pub fn open(named: &str, adaptor: Option<&str>, config: &ClipConfig) -> Result<Sources, Failure> {
    let path = local(named)?;
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
    match PUBLIC.iter().find(|p| p.repository == repository.id).and_then(|p| p.file) {
        Some(file) => hub.file(&repository, file),
        None => fetch(&hub, &repository, &[]),
    }
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

/// Whose text tower C-RADIO takes: what lies in `teacher` beside its weights, or the hub's, where the weights hold none.
fn teacher(path: &Path, adaptor: Option<&str>, config: &ClipConfig) -> Result<Option<PathBuf>, Failure> {
    if config.layout != config::Layout::Radio {
        return Ok(None);
    }
    let file = TensorFile::open(path, Key::from_environment().as_ref())?;
    if file.tensors.keys().any(|name| name.ends_with("text.token_embedding.weight")) {
        return Ok(None);
    }
    let beside = file.path.parent().unwrap_or(Path::new("")).join(TEACHER);
    if beside.is_dir() {
        return Ok(Some(beside));
    }
    let known = TEACHERS.iter().find(|(name, _)| Some(*name) == adaptor);
    let Some((_, id)) = known else {
        let why = format!("{} holds no text tower, and there is no folder {}", path.display(), beside.display());
        return Err(Failure::new(FailureKind::BadCheckpoint, why));
    };
    fetch(&Hub::from_environment(), &repository(id), &[]).map(Some)
}

fn repository(id: &str) -> Repository {
    Repository { id: id.to_owned(), revision: "main".to_owned() }
}
