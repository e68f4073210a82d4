//! What a job was made of: enough to run it again and to tell whether something else was used.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a job was made of, beside its spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of cliptune: that of the package and, where the source was a git repository, of the commit.
    pub code: String,
    /// SHA-256 of `spec.yaml`, which names the origin of each value.
    pub spec_sha256: String,
    /// Seeds by their spec key.
    pub seeds: BTreeMap<String, i64>,
    /// Versions of libraries by name.
    pub libraries: BTreeMap<String, String>,
    /// The device as its driver calls it, or the processor.
    pub device: String,
    /// Files that the job starts from.
    pub inputs: Vec<Input>,
}

/// A file that a job starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The spec key that names it.
    pub key: String,
    /// The file; of a checkpoint its weights.
    pub path: PathBuf,
    /// Its hash.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

impl Provenance {
    /// What distinguishes `other`, a line each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut list = Vec::new();
        let mut compare = |what: &str, a: &str, b: &str| {
            if a != b {
                list.push(format!("{what} was {a}, is {b}"));
            }
        };
        compare("cliptune", &self.code, &other.code);
        compare("the spec's hash", &self.spec_sha256, &other.spec_sha256);
        compare("the device", &self.device, &other.device);
        for (name, version) in &self.libraries {
            compare(name, version, other.libraries.get(name).map_or("missing", String::as_str));
        }
        for input in &self.inputs {
            let now = other.inputs.iter().find(|i| i.key == input.key);
            compare(&input.key, &input.sha256, now.map_or("missing", |i| &i.sha256));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_what_is_another_one() {
        let libraries = BTreeMap::from([("libtorch".to_owned(), "2.11.0".to_owned())]);
        let old = Provenance { code: "1".to_owned(), libraries, ..Provenance::default() };
        assert_eq!(old.differences(&old), Vec::<String>::new());
        let new = Provenance { code: "2".to_owned(), ..Provenance::default() };
        assert_eq!(old.differences(&new), ["cliptune was 1, is 2", "libtorch was 2.11.0, is missing"]);
    }
}
