//! Addresses of objects on S3, as specs and lists of shards write them: `s3://bucket/key`, with `?endpoint_url=…&region=…` where
//! they differ from those of the environment.

use std::path::{Component, Path, PathBuf};

use crate::journal::failure::{Failure, FailureKind};

const SCHEME: &str = "s3://";
/// The first folder of a local copy's path below its mirror, from which messages tell where it came from.
const FOLDER: &str = "s3:";

/// A bucket and a key: an object, or all objects whose keys go on with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The bucket.
    pub bucket: String,
    /// The key, without slashes around it; empty for the whole bucket.
    pub key: String,
    /// Whether a slash at the end says that the key is a folder.
    pub folder: bool,
    /// The server, if another than that of the environment.
    pub endpoint: Option<String>,
    /// The region, if another than that of the environment.
    pub region: Option<String>,
}

impl Address {
    /// Reads an address; `None` for a path of this machine.
    ///
    /// # Errors
    /// `SpecInvalid`, when it begins as an address and does not go on as one.
    pub fn of(path: &Path) -> Option<Result<Self, Failure>> {
        let text = path.to_str()?;
        let rest = text.strip_prefix(SCHEME)?;
        Some(Self::parse(rest).map_err(|why| {
            let expected = "expected s3://bucket/key, or s3://bucket/key?endpoint_url=URL&region=NAME";
            Failure::new(FailureKind::SpecInvalid, format!("{text:?} {why}; {expected}"))
        }))
    }

    fn parse(rest: &str) -> Result<Self, String> {
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, key) = place.split_once('/').unwrap_or((place, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if bucket.is_empty() || bucket.starts_with('.') || !bucket.chars().all(plain) {
            return Err(format!("names no bucket ({bucket:?})"));
        }
        let folder = key.is_empty() || key.ends_with('/');
        let key = key.trim_end_matches('/');
        if !key.is_empty() && !is_plain(key) {
            return Err("has a key with an empty, `.` or `..` part".to_owned());
        }
        let mut address = Self { bucket: bucket.to_owned(), key: key.to_owned(), folder, endpoint: None, region: None };
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("has {pair:?} in its query"))?;
            match name {
                "endpoint_url" | "endpoint" => address.endpoint = Some(value.to_owned()),
                "region" => address.region = Some(value.to_owned()),
                _ => return Err(format!("has the unknown name {name:?} in its query")),
            }
        }
        Ok(address)
    }

    /// What lies at `name` below it, or at `name` itself where that is an address.
    ///
    /// # Errors
    /// As [`Address::of`].
    pub fn join(&self, name: &str) -> Result<Self, Failure> {
        if let Some(own) = Self::of(Path::new(name)) {
            return own;
        }
        let whole = if self.key.is_empty() { name.to_owned() } else { format!("{}/{name}", self.key) };
        Self::of(Path::new(&format!("{SCHEME}{}/{whole}", self.bucket)))
            .unwrap_or_else(|| Err(Failure::new(FailureKind::SpecInvalid, format!("{name:?} is no key"))))
            .map(|joined| Self { endpoint: self.endpoint.clone(), region: self.region.clone(), ..joined })
    }

    /// The folder that it lies in.
    #[must_use]
    pub fn parent(mut self) -> Self {
        self.key.truncate(self.key.rfind('/').unwrap_or(0));
        self
    }

    /// The path of the object `key` of this bucket below the folder of a mirror.
    pub(super) fn below(&self, mirror: &Path, key: &str) -> PathBuf {
        mirror.join(FOLDER).join(&self.bucket).join(key)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.key)
    }
}

/// Whether a key can be the path of a file below a folder.
pub(super) fn is_plain(key: &str) -> bool {
    let part = |p: &str| !matches!(p, "" | "." | "..") && p.len() <= 255 && !p.contains('\0');
    key.split('/').all(part) && key.len() <= 1024
}

/// A path as messages show it: of a local copy, the address that it is a copy of.
pub fn shown(path: &Path) -> String {
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        if part == Component::Normal(FOLDER.as_ref()) {
            return format!("{SCHEME}{}", parts.as_path().display());
        }
    }
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Address, String> {
        Address::of(Path::new(text)).unwrap().map_err(|f| f.message)
    }

    #[test]
    fn of_takes_bucket_key_and_query_apart() {
        let plain = of("s3://my-bucket/a/b.tar").unwrap();
        assert_eq!((plain.bucket.as_str(), plain.key.as_str(), plain.folder), ("my-bucket", "a/b.tar", false));
        let folder = of("s3://b/a/?endpoint_url=http://127.0.0.1:9000&region=eu-west-1").unwrap();
        assert_eq!((folder.key.as_str(), folder.folder), ("a", true));
        assert_eq!(folder.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(folder.region.as_deref(), Some("eu-west-1"));
        assert_eq!(of("s3://b").unwrap().to_string(), "s3://b/");
        assert_eq!(Address::of(Path::new("/a/s3://b")), None);
    }

    #[test]
    fn of_what_is_no_address_says_what_is_expected() {
        for bad in ["s3://", "s3:///key", "s3://../x", "s3://b/a//b", "s3://b/../c", "s3://b/k?who=me", "s3://b/k?x"] {
            let message = of(bad).unwrap_err();
            assert!(message.contains("expected s3://bucket/key"), "{message}");
        }
    }

    #[test]
    fn join_keeps_the_server_and_takes_whole_addresses_as_they_are() {
        let base = of("s3://b/root/?region=x").unwrap();
        let joined = base.join("0/part.tar").unwrap();
        assert_eq!((joined.to_string().as_str(), joined.region.as_deref()), ("s3://b/root/0/part.tar", Some("x")));
        assert_eq!(base.join("s3://other/k").unwrap().to_string(), "s3://other/k");
        assert!(base.join("../k").is_err());
        assert_eq!(joined.parent().join("b.tar").unwrap().to_string(), "s3://b/root/0/b.tar");
        assert_eq!(of("s3://b/list.txt").unwrap().parent().join("x").unwrap().to_string(), "s3://b/x");
    }

    #[test]
    fn shown_names_the_object_of_a_local_copy() {
        let address = of("s3://b/x").unwrap();
        let path = address.below(Path::new("/cache/s3/12ab"), "x/y.png");
        assert_eq!(shown(&path), "s3://b/x/y.png");
        assert_eq!(shown(Path::new("/data/x.png")), "/data/x.png");
    }
}
