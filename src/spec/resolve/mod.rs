//! From a spec file and overrides to a checked, typed spec. Precedence: default < file < parent < command line < search.
//! Every problem is reported at once, each with its place.

mod draft;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::overrides::{self, Override, get};
use super::schema;
use super::sections::Spec;
use super::write::{self, Comments};
use crate::base::action::Action;
use crate::base::diagnostic::{Location, Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::yaml::Source;

use draft::Draft;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The spec file, at this line and column.
    File {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A parent study or job.
    Parent(String),
    /// [`RESULTS_VARIABLE`].
    Environment,
    /// The command line.
    CommandLine,
    /// A point of the search space.
    Search,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { line, .. } => write!(f, "file, line {line}"),
            Self::Parent(why) => write!(f, "parent: {why}"),
            Self::Environment => f.write_str(RESULTS_VARIABLE),
            Self::CommandLine => f.write_str("command line"),
            Self::Search => f.write_str("search"),
        }
    }
}

/// The variable that carries the passphrase of encrypted checkpoints to workers.
pub const KEY_VARIABLE: &str = "CLIPTUNE_ENCRYPTION_KEY";

/// The variable with the `results_dir` of specs that give none.
pub const RESULTS_VARIABLE: &str = "CLIPTUNE_RESULTS_DIR";

/// Larger spec files are refused.
const MAX_BYTES: u64 = 4 << 20;

/// A spec that was checked as a whole.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The typed spec.
    pub spec: Spec,
    /// The same as a tree, with every default filled in.
    pub tree: Value,
    /// Where each value that is not a default came from, by key.
    pub origins: BTreeMap<String, Origin>,
    /// The action it was checked for.
    pub action: Action,
    source: Option<(PathBuf, String)>,
    secret: Option<String>,
}

/// Reads and checks a spec for `action`.
///
/// # Errors
/// Every problem of the file and of the overrides, with exit code [`ExitCode::Usage`], or [`ExitCode::NotFound`] when the
/// file cannot be read.
pub fn load(action: Action, file: Option<&Path>, overrides: &[String]) -> Result<Resolved, Problems> {
    load_with_parent(action, file, overrides, &[])
}

/// Like [`load`], with values taken from a parent where neither file nor command line sets the key: `(key, value, why)`.
///
/// # Errors
/// As [`load`].
pub fn load_with_parent(
    action: Action,
    file: Option<&Path>,
    overrides: &[String],
    parent: &[(String, Value, String)],
) -> Result<Resolved, Problems> {
    let mut draft = Draft { tree: schema::defaults(), origins: BTreeMap::new(), ..Draft::default() };
    if let Some(path) = file {
        let text = read(path)?;
        let name = path.display().to_string();
        match (Source { name: &name, text: &text }).read() {
            Ok(node) => {
                draft.source = Some((path.to_owned(), text));
                draft.file(&node);
            }
            // The overrides are still looked at: every problem at once.
            Err(problem) => {
                draft.problems.push(problem);
                draft.unreadable = true;
            }
        }
    }
    let parsed: Vec<Override> =
        overrides.iter().filter_map(|o| overrides::parse(o).map_err(|e| draft.problems.push(e)).ok()).collect();
    for (key, value, why) in parent {
        // A checkpoint and an engine exclude each other: the one that the user names keeps the parent's other one out.
        let rival = key.strip_suffix("checkpoint").map(|section| format!("{section}trt_engine"));
        let rival = rival.or_else(|| key.strip_suffix("trt_engine").map(|section| format!("{section}checkpoint")));
        let is_said = |key: &str| {
            draft.origins.iter().any(|(k, o)| matches!(o, Origin::File { .. }) && k == key)
                || parsed.iter().any(|o| o.key() == key)
        };
        if rival.is_some_and(|rival| is_said(&rival)) {
            continue;
        }
        if !draft.origins.keys().any(|k| overlap(k, key)) && !parsed.iter().any(|o| overlap(o.key(), key)) {
            draft.set(key, value, &Origin::Parent(why.clone()));
        }
    }
    for over in &parsed {
        draft.apply(over);
    }
    if !draft.origins.contains_key("results_dir")
        && let Some(folder) = std::env::var(RESULTS_VARIABLE).ok().filter(|folder| !folder.is_empty())
    {
        draft.set("results_dir", &Value::from(folder), &Origin::Environment);
    }
    draft.finish(action)
}

pub(super) fn read(path: &Path) -> Result<String, Problems> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(|e| {
        let problem = Problem::new(format!("cannot read the spec {}: {e}", path.display()));
        Problems::one(ExitCode::NotFound, problem.help("`cliptune spec template train` prints one to start from"))
    })?;
    let usage = |why: &str| {
        let problem = Problem::new(format!("{} is not a spec: {why}", path.display()));
        Problems::one(ExitCode::Usage, problem.help("a spec is a YAML file; `cliptune spec template train` prints one"))
    };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(usage(&format!("it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| usage("it is not text in UTF-8"))
}

impl Resolved {
    /// The spec with these values set (a trial's point); checked again as a whole.
    ///
    /// # Errors
    /// Every problem that the values cause.
    pub fn with(&self, values: &[(String, Value)]) -> Result<Self, Problems> {
        let mut draft = self.draft();
        for (key, value) in values {
            draft.set(key, value, &Origin::Search);
        }
        draft.finish(self.action)
    }

    /// The same spec checked for another action.
    ///
    /// # Errors
    /// The problems that the rules of that action find.
    pub fn for_action(&self, action: Action, values: &[(String, Value)]) -> Result<Self, Problems> {
        let mut draft = self.draft();
        for (key, value) in values {
            draft.set(key, value, &Origin::CommandLine);
        }
        draft.finish(action)
    }

    /// Puts the passphrase of encrypted checkpoints into the environment, where this process and the workers it starts find
    /// it. Called once, before there are other threads.
    pub fn share_key(&self) {
        if let Some(secret) = &self.secret {
            // SAFETY: the process has one thread at this point, so nobody reads the environment meanwhile.
            unsafe { std::env::set_var(KEY_VARIABLE, secret) };
        }
    }

    /// The value at a dotted key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        get(&self.tree, key)
    }

    /// Where the file sets `key`, if it does.
    pub fn location(&self, key: &str) -> Option<Location> {
        match (self.origins.get(key)?, &self.source) {
            (Origin::File { line, column }, Some((file, _))) => {
                Some(Location { file: file.clone(), line: *line, column: *column })
            }
            _ => None,
        }
    }

    /// Whether the command line set this key, or something below or above it.
    pub fn is_from_command_line(&self, key: &str) -> bool {
        self.origins.iter().any(|(k, o)| *o == Origin::CommandLine && overlap(k, key))
    }

    /// YAML of the whole spec, each value that is not a default with its origin as a comment. Loads back to the same tree.
    pub fn to_yaml(&self) -> String {
        self.to_yaml_with(Comments::Set)
    }

    /// Like [`Self::to_yaml`], with other comments.
    pub fn to_yaml_with(&self, comments: Comments) -> String {
        write::yaml(self, comments)
    }

    fn draft(&self) -> Draft {
        let mut tree = self.tree.clone();
        if let Some(secret) = &self.secret {
            tree["encryption_key"] = Value::from(secret.as_str());
        }
        Draft { tree, origins: self.origins.clone(), source: self.source.clone(), ..Draft::default() }
    }
}

/// Whether one key is the other, or holds it.
fn overlap(a: &str, b: &str) -> bool {
    a == b || a.starts_with(&format!("{b}.")) || b.starts_with(&format!("{a}."))
}
