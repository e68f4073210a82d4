//! Files of a model repository on the Hugging Face hub, through its cache on this machine.
//!
//! The hf-hub crate speaks the protocol and knows the cache's layout; this module adds what it lacks: offline work, one
//! download at a time, checked hashes, repeated and resumed downloads, an end to connections that stall.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use sha2::Digest;

use super::lock::WorkLock;
use crate::base::files::{self, with_path};
use crate::base::task::{Task, Unit};
use crate::journal::failure::{Failure, FailureKind};

/// How a spec names a repository.
pub const PREFIX: &str = "hf:";

/// A repository of models, at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// `owner/name`.
    pub id: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

impl Repository {
    /// Reads `hf:owner/name[@revision]`; `None` when the text does not begin so.
    ///
    /// # Errors
    /// `SpecInvalid` when it begins so and goes on in another way.
    pub fn parse(text: &str) -> Option<Result<Self, Failure>> {
        let rest = text.strip_prefix(PREFIX)?;
        let (id, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let word = |w: &str, more: &str| {
            !w.is_empty() && !w.starts_with('.') && w.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let whole = id.split_once('/').is_some_and(|(owner, name)| word(owner, "-_.") && word(name, "-_."));
        let parts = !revision.contains("..") && word(revision, "-_./");
        Some(if whole && parts {
            Ok(Self { id: id.to_owned(), revision: revision.to_owned() })
        } else {
            let why =
                format!("{text:?} names no repository; expected {PREFIX}owner/name or {PREFIX}owner/name@revision");
            Err(Failure::new(FailureKind::SpecInvalid, why))
        })
    }
}

impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.id, self.revision)
    }
}

/// The hub as this machine sees it.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Address of the hub or a mirror.
    pub endpoint: String,
    /// Folder of the cache.
    pub cache: PathBuf,
    /// Token of the user, for repositories that ask for one.
    pub token: Option<String>,
    /// Whether only the cache is used.
    pub offline: bool,
    /// A connection that brings nothing for so long is given up.
    pub patience: Duration,
    /// How often a download is tried.
    pub attempts: u32,
}

impl Hub {
    /// As `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_TOKEN` say, like the Python client.
    pub fn from_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = text("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            text("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| text("HOME").map(|home| Path::new(&home).join(".cache")))
                .unwrap_or_else(std::env::temp_dir)
                .join("huggingface")
        });
        let token_file = text("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let stored = || fs::read_to_string(token_file).ok().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            cache: text("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: text("HF_TOKEN").or_else(stored),
            offline: text("HF_HUB_OFFLINE")
                .is_some_and(|v| matches!(v.to_lowercase().as_str(), "1" | "on" | "yes" | "true")),
            patience: Duration::from_secs(60),
            attempts: 5,
        }
    }

    /// The folder that holds files of a repository, fetched where the cache lacks them. Of each group of `wanted` the
    /// first file that the repository has is taken, and one is needed; those of `optional` may be absent.
    ///
    /// # Errors
    /// `Unavailable` when files are neither cached nor to be had, with their names and the command that fetches them
    /// elsewhere; `BadCheckpoint` when what comes is not what the hub announced; `DiskFull` or `Io`.
    pub fn snapshot(&self, repository: &Repository, wanted: &[&[&str]], optional: &[&str]) -> Result<PathBuf, Failure> {
        if let Some(folder) = self.cached(repository, wanted) {
            return Ok(folder);
        }
        let refused = |why: &str| self.absent(repository, wanted, optional, why);
        if self.offline {
            return Err(refused("HF_HUB_OFFLINE is set"));
        }
        let place = self.cache.join(format!("models--{}", repository.id.replace('/', "--")));
        let _lock = WorkLock::wait(&place.join("cliptune.lock"))?;
        // Another process may have fetched them while this one waited.
        if let Some(folder) = self.cached(repository, wanted) {
            return Ok(folder);
        }
        // What the first file's answer says is the commit of all of them.
        let mut pinned = repository.clone();
        let mut folder = None;
        // Those that are needed come last: a snapshot that has them is whole, even after a run that broke off.
        let optional_first = optional.iter().map(|n| (std::slice::from_ref(n), false));
        for (group, needed) in optional_first.chain(wanted.iter().map(|g| (*g, true))) {
            let here = self.folder(&pinned);
            let mut found = group.iter().any(|name| here.join(name).is_file()).then_some(here);
            for name in group {
                if found.is_some() {
                    break;
                }
                match self.fetch(repository, &pinned, name) {
                    Ok(path) => {
                        let depth = Path::new(name).components().count();
                        found = path.ancestors().nth(depth).map(Path::to_owned);
                    }
                    Err(Refusal::NotThere) => {}
                    Err(Refusal::Failed(failure)) => return Err(failure),
                    Err(Refusal::Unreachable(why)) => return Err(refused(&why)),
                }
            }
            match found {
                Some(root) => {
                    if let Some(commit) = root.file_name().and_then(|n| n.to_str()) {
                        commit.clone_into(&mut pinned.revision);
                    }
                    folder.get_or_insert(root);
                }
                None if needed => return Err(refused(&format!("the repository has no {}", group.join(" and no ")))),
                None => {}
            }
        }
        folder.ok_or_else(|| refused("nothing was asked for"))
    }

    /// One file of a repository.
    ///
    /// # Errors
    /// Those of [`Hub::snapshot`].
    pub fn file(&self, repository: &Repository, name: &str) -> Result<PathBuf, Failure> {
        Ok(self.snapshot(repository, &[&[name]], &[])?.join(name))
    }

    /// Where the cache keeps the snapshot of a revision, as far as it is there.
    fn folder(&self, repository: &Repository) -> PathBuf {
        let reference = self.cache.join(repo(repository).folder_name()).join("refs").join(&repository.revision);
        let commit = fs::read_to_string(reference).unwrap_or_else(|_| repository.revision.clone());
        Cache::new(self.cache.clone()).repo(repo(repository)).pointer_path(commit.trim())
    }

    /// The snapshot in the cache, if it holds one file of each group.
    fn cached(&self, repository: &Repository, wanted: &[&[&str]]) -> Option<PathBuf> {
        let folder = self.folder(repository);
        wanted.iter().all(|group| group.iter().any(|name| folder.join(name).is_file())).then_some(folder)
    }

    fn absent(&self, repository: &Repository, wanted: &[&[&str]], optional: &[&str], why: &str) -> Failure {
        let names: Vec<String> = wanted.iter().map(|group| group.join(" or ")).collect();
        // Names that a repository lacks do no harm in `--include`.
        let all: Vec<&str> = wanted.iter().flat_map(|group| group.iter()).chain(optional).copied().collect();
        let Repository { id, revision } = repository;
        Failure::new(
            FailureKind::Unavailable,
            format!(
                "{repository} is not in the cache {} and cannot be had from {}: {why}\n  \
                 needed: {}\n  \
                 where there is a network: hf download {id} --revision {revision} --local-dir {} --include {}\n  \
                 then copy that folder here and name it instead of {PREFIX}{id}",
                self.cache.display(),
                self.endpoint,
                names.join(", "),
                id.replace('/', "--"),
                all.join(" "),
            ),
        )
    }

    /// Fetches a file that is not cached.
    fn fetch(&self, asked: &Repository, pinned: &Repository, name: &str) -> Result<PathBuf, Refusal> {
        let builder = ApiBuilder::from_cache(Cache::new(self.cache.clone()));
        let builder = builder.with_progress(false).with_endpoint(self.endpoint.trim_end_matches('/').to_owned());
        let builder = builder.with_user_agent("cliptune", env!("CARGO_PKG_VERSION")).with_token(self.token.clone());
        let api = builder.build().map_err(|e| Refusal::Unreachable(e.to_string()))?;
        let mut last = Refusal::NotThere;
        for attempt in 0..self.attempts.max(1) {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(100 << attempt.min(6)));
            }
            match self.attempt(&api, pinned, name) {
                Ok((path, commit)) => {
                    // A later run finds the commit under the revision that was asked for.
                    let _ = Cache::new(self.cache.clone()).repo(repo(asked)).create_ref(&commit);
                    return Ok(path);
                }
                Err(refusal @ Refusal::Unreachable(_)) => last = refusal,
                Err(other) => return Err(other),
            }
        }
        Err(last)
    }

    fn attempt(&self, api: &Api, repository: &Repository, name: &str) -> Result<(PathBuf, String), Refusal> {
        let url = api.repo(repo(repository)).url(name);
        let (own, address) = (api.clone(), url.clone());
        let announced = self.watched(None, move |_| own.metadata(&address)).map_err(|e| refusal(e, &url))?;
        let (etag, commit) = (announced.etag().to_owned(), announced.commit_hash().to_owned());
        let size = announced.size() as u64;
        // Both become names of files.
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !plain(&etag) || !plain(&commit) {
            let why =
                format!("{url} answers with the etag {etag:?} and the commit {commit:?}, which the hub would not");
            return Err(Refusal::Failed(Failure::new(FailureKind::BadCheckpoint, why)));
        }
        let blob = Cache::new(self.cache.clone()).repo(repo(repository)).blob_path(&etag);
        let part = blob.with_extension("part");
        // A part that is whole or longer belongs to a download that went wrong.
        if fs::metadata(&part).is_ok_and(|m| m.len() >= size) {
            let _ = fs::remove_file(&part);
        }
        let resumed = part.is_file();
        let (own, from, file) = (api.clone(), repository.clone(), name.to_owned());
        let path = self
            .watched(Some((name, size)), move |progress| own.repo(repo(&from)).download_with_progress(&file, progress))
            .map_err(|e| refusal(e, &url))?;
        match differs(&blob, &etag, size) {
            Ok(None) => Ok((path, commit)),
            Ok(Some(why)) => {
                let _ = fs::remove_file(&blob);
                let _ = fs::remove_file(&path);
                let why = format!("{url} is not what the hub announced: {why}");
                // The first half may have been the wrong one; a fresh download decides.
                Err(if resumed {
                    Refusal::Unreachable(why)
                } else {
                    Refusal::Failed(Failure::new(FailureKind::BadCheckpoint, why))
                })
            }
            Err(e) => Err(Refusal::Failed(Failure::io(&e))),
        }
    }

    /// Runs a call of the client, and gives it up when it makes no progress. `download` is the file and its size.
    fn watched<T: Send + 'static>(
        &self,
        download: Option<(&str, u64)>,
        call: impl FnOnce(Beat) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, String> {
        let (sender, receiver) = mpsc::channel();
        let beat = Beat(Arc::new(AtomicU64::new(0)));
        let watched = beat.clone();
        // A stalled connection cannot be interrupted: its thread is left behind and ends with the process.
        std::thread::spawn(move || drop(sender.send(call(beat))));
        let task = download.map(|(name, size)| Task::begin(name, size, Unit::Bytes));
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            match receiver.recv_timeout(self.patience.min(Duration::from_millis(250))) {
                Ok(result) => return result.map_err(|e| e.to_string()),
                Err(RecvTimeoutError::Disconnected) => return Err("the answer is not one of the hub's".to_owned()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = watched.0.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
                if let Some(task) = &task {
                    task.set(now, "");
                }
            } else if since.elapsed() >= self.patience {
                return Err(format!("nothing came for {} s", self.patience.as_secs_f32()));
            }
        }
    }
}

/// Counts bytes that came.
#[derive(Clone)]
struct Beat(Arc<AtomicU64>);

impl Progress for Beat {
    fn init(&mut self, _size: usize, _filename: &str) {}

    fn update(&mut self, size: usize) {
        self.0.fetch_add(size as u64, Ordering::Relaxed);
    }

    fn finish(&mut self) {}
}

enum Refusal {
    /// The repository has no such file.
    NotThere,
    /// The hub or the network failed; trying again may help.
    Unreachable(String),
    /// Trying again does not help.
    Failed(Failure),
}

fn refusal(error: String, url: &str) -> Refusal {
    let status =
        |code: &str| error.contains(&format!("status: {code}")) || error.contains(&format!("status code {code}"));
    if status("404") {
        Refusal::NotThere
    } else if status("401") || status("403") {
        let why =
            format!("{url}: {error}; the repository asks for a token of someone who accepted its terms: set HF_TOKEN");
        Refusal::Failed(Failure::new(FailureKind::Unavailable, why))
    } else {
        Refusal::Unreachable(format!("{url}: {error}"))
    }
}

fn repo(repository: &Repository) -> Repo {
    Repo::with_revision(repository.id.clone(), RepoType::Model, repository.revision.clone())
}

/// How a file differs from what was announced. The etag of a large file is its SHA-256, that of a small one the SHA-1 that
/// git gives it; other etags say nothing about the content.
fn differs(path: &Path, etag: &str, size: u64) -> std::io::Result<Option<String>> {
    let found = fs::metadata(path).map_err(with_path(path))?.len();
    if found != size {
        return Ok(Some(format!("{found} bytes instead of {size}")));
    }
    let hex = etag.chars().all(|c| c.is_ascii_hexdigit());
    let hash = match etag.len() {
        64 if hex => files::sha256(path)?,
        40 if hex => {
            let mut hash = sha1::Sha1::new();
            hash.update(format!("blob {size}\0"));
            let mut file = fs::File::open(path).map_err(with_path(path))?;
            let mut block = vec![0; 1 << 16];
            loop {
                match std::io::Read::read(&mut file, &mut block).map_err(with_path(path))? {
                    0 => break files::hex(&hash.finalize()),
                    n => hash.update(&block[..n]),
                }
            }
        }
        _ => return Ok(None),
    };
    Ok((!hash.eq_ignore_ascii_case(etag)).then(|| format!("its hash is {hash} instead of {etag}")))
}
