//! Local copies of objects on S3, below the study's cache.
//!
//! Invariant: a copy has the etag that the server names now; an object that did not change is downloaded once. The copies
//! of one listing lie below a folder of their own that is complete or absent, so that what is read from it does not change
//! while it is read.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::address::{Address, is_plain};
use super::archive::make_durable;
use super::lock::WorkLock;
use super::s3::{Bucket, Object};
use crate::base::files::{hex, with_path};
use crate::journal::failure::{Failure, FailureKind};

/// What lies at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The copy of an object.
    File(PathBuf),
    /// The folder with copies of the objects below the address.
    Folder(PathBuf),
}

/// The file at `path`: itself, or a copy below `below`.
///
/// # Errors
/// Those of [`Bucket`]; `BadData` when there is no such object.
pub fn file(path: &Path, below: &Path) -> Result<PathBuf, Failure> {
    let Some(address) = Address::of(path) else { return Ok(path.to_owned()) };
    let address = address?;
    let mut files = files(std::slice::from_ref(&address), below)?;
    files.pop().flatten().ok_or_else(|| absent(&address))
}

/// Copies of single objects of one bucket; `None` for what does not exist.
///
/// # Errors
/// Those of [`Bucket`].
pub fn files(addresses: &[Address], below: &Path) -> Result<Vec<Option<PathBuf>>, Failure> {
    let Some(first) = addresses.first() else { return Ok(Vec::new()) };
    let bucket = Bucket::of(first)?;
    let keys: Vec<&str> = addresses.iter().map(|a| a.key.as_str()).collect();
    let objects = bucket.look_up(&keys)?;
    let mut known: Vec<Object> = objects.iter().flatten().cloned().collect();
    known.sort_by(|a, b| a.key.cmp(&b.key));
    known.dedup();
    let root = copied(&bucket, first, &known, below)?;
    Ok(objects.into_iter().map(|o| o.map(|o| first.below(&root, &o.key))).collect())
}

/// A copy of the object at the address or, where there is none, of the objects below it whose names from there on are wanted.
///
/// # Errors
/// Those of [`Bucket`]; `BadData` when there is nothing.
pub fn open(address: &Address, below: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Found, Failure> {
    let bucket = Bucket::of(address)?;
    if !address.folder
        && let Some(object) = bucket.look_up(&[&address.key])?.pop().flatten()
    {
        let root = copied(&bucket, address, std::slice::from_ref(&object), below)?;
        return Ok(Found::File(address.below(&root, &object.key)));
    }
    let objects = bucket.list(wanted)?;
    if objects.is_empty() && bucket.list(&|_| true)?.is_empty() {
        return Err(absent(address));
    }
    let root = copied(&bucket, address, &objects, below)?;
    let folder = address.below(&root, &address.key);
    fs::create_dir_all(&folder).map_err(with_path(&folder))?;
    Ok(Found::Folder(folder))
}

fn absent(address: &Address) -> Failure {
    let what = format!("{address} does not exist: the bucket has no such object, and none below it");
    Failure::new(FailureKind::BadData, what)
}

/// The folder with copies of all `objects`, each under its key.
fn copied(bucket: &Bucket, address: &Address, objects: &[Object], below: &Path) -> Result<PathBuf, Failure> {
    if let Some(bad) = objects.iter().find(|o| !is_plain(&o.key)) {
        let why = format!("s3://{}/{}: the key cannot be the name of a file", address.bucket, bad.key.escape_debug());
        return Err(Failure::new(FailureKind::BadData, why));
    }
    let names: Vec<String> = objects.iter().map(|o| name(address, o)).collect();
    let all = below.join("s3");
    let id = &hex(&Sha256::digest(names.concat()))[..24];
    let done = all.join(id);
    if done.is_dir() {
        return Ok(done);
    }
    let _lock = WorkLock::wait(&all.join("s3.lock"))?;
    if done.is_dir() {
        return Ok(done);
    }
    let store = all.join("objects");
    fs::create_dir_all(&store).map_err(with_path(&store))?;
    let paths: Vec<PathBuf> = names.iter().map(|name| store.join(name)).collect();
    let whole = |(object, path): &(&Object, &PathBuf)| fs::metadata(path).is_ok_and(|m| m.len() == object.bytes);
    let missing = objects.iter().zip(&paths).filter(|pair| !whole(pair));
    bucket.download(missing.map(|(object, path)| (object, path.as_path())))?;
    // The lock is ours, so a folder that is not complete belongs to a process that died.
    let partial = all.join(format!(".{id}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(with_path(&partial))?;
    }
    fs::create_dir_all(&partial).map_err(with_path(&partial))?;
    for (object, path) in objects.iter().zip(&paths) {
        let to = address.below(&partial, &object.key);
        let folder = to.parent().unwrap_or(&partial);
        fs::create_dir_all(folder).and_then(|()| fs::hard_link(path, &to)).map_err(with_path(&to))?;
    }
    make_durable(&partial).and_then(|()| fs::rename(&partial, &done)).map_err(with_path(&done))?;
    Ok(done)
}

/// Names an object in its state.
fn name(address: &Address, object: &Object) -> String {
    let mut hash = Sha256::new();
    let server = address.endpoint.as_deref().unwrap_or_default();
    for text in [server, &address.bucket, &object.key, &object.etag, &object.bytes.to_string()] {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hex(&hash.finalize())[..32].to_owned()
}
