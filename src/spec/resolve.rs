//! From a spec file and overrides to a checked, typed spec. Precedence: default < file < parent < command line < search.
//! Every problem is reported at once, each with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::overrides::{self, Override, get, slot};
use super::schema::{self, Field, Item, Kind};
use super::sections::Spec;
use super::write::{self, Comments};
use super::{check, interpolate, nearest, paths, support, value};
use crate::base::action::Action;
use crate::base::diagnostic::{Location, Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::yaml::{At, Kind as Yaml, Node, Source};

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

fn read(path: &Path) -> Result<String, Problems> {
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

/// Takes the passphrase out of a spec, so that whatever is written or printed of it names only where the passphrase is.
fn withhold(tree: &mut Value) -> Option<String> {
    let place = tree.get_mut("encryption_key")?;
    let secret = place.as_str().filter(|text| !text.is_empty())?.to_owned();
    *place = Value::from(format!("${{env:{KEY_VARIABLE}}}"));
    Some(secret)
}

#[derive(Default)]
struct Draft {
    tree: Value,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
    /// Keys with a problem: the rules between fields say nothing about them.
    failed: BTreeSet<String>,
    /// The file could not be parsed at all, so that nothing it says is known.
    unreadable: bool,
    source: Option<(PathBuf, String)>,
}

impl Draft {
    fn file(&mut self, root: &Node) {
        match &root.kind {
            Yaml::Map(_) => {
                let mut tree = std::mem::take(&mut self.tree);
                self.map(root, "", &mut tree);
                self.tree = tree;
            }
            Yaml::Scalar(Value::Null) => {}
            _ => {
                self.unreadable = true;
                self.problem_at(root.at, "a spec is a mapping of sections", "start from `cliptune spec template train`")
            }
        }
    }

    /// Takes the entries of a mapping whose fields stand in the table below `section`.
    fn map(&mut self, node: &Node, section: &str, into: &mut Value) {
        let Yaml::Map(entries) = &node.kind else { return };
        for (i, entry) in entries.iter().enumerate() {
            let path = if section.is_empty() { entry.key.clone() } else { format!("{section}.{}", entry.key) };
            if entries[..i].iter().any(|earlier| earlier.key == entry.key) {
                self.problem_at(entry.at, format!("{path} is set twice"), "keep one of the two");
                continue;
            }
            match schema::field_of_key(&path) {
                Some(field) => {
                    let taken = self.value(field, &path, &entry.value, entry.at);
                    if let (Some(value), Some(map)) = (taken, into.as_object_mut()) {
                        if field.kind == Kind::Section {
                            let mut below =
                                map.remove(&entry.key).unwrap_or_else(|| schema::section_defaults(field.path));
                            self.map(&entry.value, &path, &mut below);
                            map.insert(entry.key.clone(), below);
                        } else {
                            map.insert(entry.key.clone(), value);
                        }
                    }
                }
                None => self.problem_at(entry.at, format!("there is no key {path}"), nearest::help(&path)),
            }
        }
    }

    fn value(&mut self, field: &'static Field, path: &str, node: &Node, at: At) -> Option<Value> {
        if field.kind == Kind::Section {
            return match &node.kind {
                Yaml::Map(_) => Some(Value::Null),
                Yaml::Scalar(Value::Null) => None,
                _ => {
                    self.failed.insert(path.to_owned());
                    let help = match path {
                        "automl" => {
                            "automl_policy switches the study on (auto) or off; the keys of automl stand below it"
                        }
                        _ => "put its keys below it, indented",
                    };
                    self.problem_at(node.at, format!("{path} must be a section"), help);
                    None
                }
            };
        }
        self.origins.insert(path.to_owned(), Origin::File { line: at.line, column: at.column });
        if field.kind == Kind::List(Item::Entry) {
            let Yaml::List(items) = &node.kind else {
                self.failed.insert(path.to_owned());
                self.problem_at(
                    node.at,
                    format!("{path} must be {}", field.expected()),
                    "write a list of entries that begin with `- `",
                );
                return None;
            };
            return Some(items.iter().enumerate().map(|(i, item)| self.entry(&format!("{path}.{i}"), item)).collect());
        }
        let plain = node.to_json();
        if plain.as_str().is_some_and(|text| text.contains("${")) {
            return Some(plain);
        }
        match value::fit(field, path, &plain) {
            Ok(value) => Some(value),
            Err(why) => {
                self.failed.insert(path.to_owned());
                self.problem_at(node.at, why, field.help);
                None
            }
        }
    }

    /// One entry of a list of mappings.
    fn entry(&mut self, path: &str, node: &Node) -> Value {
        let section = schema::table_path(path);
        let mut value = schema::section_defaults(&section);
        if matches!(node.kind, Yaml::Map(_)) {
            self.map(node, path, &mut value);
            for field in schema::children(&section).filter(|f| f.required) {
                if value.get(field.name()).is_none_or(Value::is_null) {
                    self.failed.insert(path.to_owned());
                    self.problem_at(node.at, format!("{path} has no {}", field.name()), field.help);
                }
            }
        } else {
            self.failed.insert(path.to_owned());
            self.problem_at(node.at, format!("{path} must be a mapping"), "for example `- image_dir: images`");
        }
        value
    }

    fn apply(&mut self, over: &Override) {
        let before = self.problems.len();
        self.take(over);
        for problem in &mut self.problems[before..] {
            problem.what.push_str(" (on the command line)");
        }
    }

    fn take(&mut self, over: &Override) {
        match over {
            Override::Set(key, value) => self.set(key, value, &Origin::CommandLine),
            Override::Unset(key) => match schema::field_of_key(key) {
                Some(field) => {
                    let value = match field.kind {
                        Kind::Section => schema::section_defaults(field.path),
                        _ => field.absent_value(),
                    };
                    if let Some(place) = slot(&mut self.tree, key) {
                        *place = value;
                    }
                    self.origins.retain(|k, _| k != key && !k.starts_with(&format!("{key}.")));
                }
                None => self.problems.push(Problem::new(format!("there is no key {key}")).help(nearest::help(key))),
            },
        }
    }

    /// Sets one key, or the keys of a mapping below a section.
    fn set(&mut self, key: &str, value: &Value, origin: &Origin) {
        let Some(field) = schema::field_of_key(key) else {
            self.problems.push(Problem::new(format!("there is no key {key}")).help(nearest::help(key)));
            return;
        };
        if let (Kind::Section, Some(map)) = (field.kind, value.as_object()) {
            for (name, below) in map {
                self.set(&format!("{key}.{name}"), below, origin);
            }
            return;
        }
        let is_reference = value.as_str().is_some_and(|text| text.contains("${"));
        let fitted = if is_reference { Ok(value.clone()) } else { value::fit(field, key, value) };
        match fitted {
            Ok(mut fitted) => {
                if field.kind == Kind::List(Item::Entry) {
                    fitted = self.entries_from_json(key, &fitted);
                }
                match slot(&mut self.tree, key) {
                    Some(place) => {
                        *place = fitted;
                        self.origins.retain(|k, _| !k.starts_with(&format!("{key}.")));
                        self.origins.insert(key.to_owned(), origin.clone());
                    }
                    None => self.problems.push(
                        Problem::new(format!("{key} names no entry of the list"))
                            .help("set the whole list, or a position that it has"),
                    ),
                }
            }
            Err(why) => {
                self.failed.insert(key.to_owned());
                self.problems.push(Problem::new(why).help(field.help));
            }
        }
    }

    fn entries_from_json(&mut self, key: &str, list: &Value) -> Value {
        let section = format!("{}[]", schema::table_path(key));
        let mut out = Vec::new();
        for (i, item) in list.as_array().into_iter().flatten().enumerate() {
            let mut entry = schema::section_defaults(&section);
            for (name, value) in item.as_object().into_iter().flatten() {
                let path = format!("{key}.{i}.{name}");
                match schema::field_of_key(&path).map(|f| value::fit(f, &path, value)) {
                    Some(Ok(value)) => entry[name.as_str()] = value,
                    Some(Err(why)) => self.problems.push(Problem::new(why)),
                    None => {
                        self.problems.push(Problem::new(format!("there is no key {path}")).help(nearest::help(&path)))
                    }
                }
            }
            for field in schema::children(&section).filter(|f| f.required && entry[f.name()].is_null()) {
                self.problems.push(Problem::new(format!("{key}.{i} has no {}", field.name())).help(field.help));
            }
            out.push(entry);
        }
        Value::Array(out)
    }

    fn finish(mut self, action: Action) -> Result<Resolved, Problems> {
        for (key, why) in interpolate::interpolate(&mut self.tree) {
            self.failed.insert(key.clone());
            self.problem_of(&key, why, "only ${a.key.of.the.spec} and ${env:NAME} are replaced");
        }
        self.recheck_references();
        let secret = withhold(&mut self.tree);
        let folder = self.source.as_ref().and_then(|(path, _)| path.parent());
        paths::anchor(&mut self.tree, self.origins.keys(), folder);
        // A key with a problem has kept its default, so that the rules between fields can still be tried.
        match serde_json::from_value::<Spec>(self.tree.clone()) {
            Ok(spec) if !self.unreadable => {
                for finding in check::run(action, &spec, &self.origins).into_iter().chain(support::run(action, &spec)) {
                    if !self.failed.iter().any(|key| overlap(key, &finding.key)) {
                        self.problem_of(&finding.key, finding.what, finding.help);
                    }
                }
                if self.problems.is_empty() {
                    let Self { tree, origins, source, .. } = self;
                    return Ok(Resolved { spec, tree, origins, action, source, secret });
                }
            }
            Err(e) if self.problems.is_empty() => {
                let problem = Problem::new(format!("the table and the types disagree: {e}"));
                return Err(Problems::one(ExitCode::Unexpected, problem));
            }
            _ => {}
        }
        // In the order of the file; what stands nowhere comes last.
        self.problems.sort_by_key(|p| p.at.as_ref().map_or((usize::MAX, 0), |at| (at.line, at.column)));
        Err(Problems::new(ExitCode::Usage, self.problems))
    }

    /// A value that was a reference is checked once it is known.
    fn recheck_references(&mut self) {
        let keys: Vec<String> = self.origins.keys().cloned().collect();
        for key in keys {
            let Some(field) = schema::field_of_key(&key).filter(|f| f.kind != Kind::Section) else { continue };
            let Some(current) = get(&self.tree, &key).cloned() else { continue };
            match value::fit(field, &key, &current) {
                Ok(fitted) => {
                    if let Some(place) = slot(&mut self.tree, &key) {
                        *place = fitted;
                    }
                }
                Err(_) if current.as_str().is_some_and(|t| t.contains("${")) => {}
                Err(why) => self.problem_of(&key, why, field.help),
            }
        }
    }

    fn problem_at(&mut self, at: At, what: impl Into<String>, help: impl Into<String>) {
        let problem = match &self.source {
            Some((path, text)) => Source { name: &path.display().to_string(), text }.problem(at, what, help),
            None => Problem::new(what).help(help),
        };
        self.problems.push(problem);
    }

    /// A problem of a key, placed where the file sets it.
    fn problem_of(&mut self, key: &str, what: impl Into<String>, help: impl Into<String>) {
        match self.origins.get(key) {
            Some(Origin::File { line, column }) => self.problem_at(At { line: *line, column: *column }, what, help),
            _ => self.problems.push(Problem::new(what).help(help)),
        }
    }
}

/// Whether one key is the other, or holds it.
fn overlap(a: &str, b: &str) -> bool {
    a == b || a.starts_with(&format!("{b}.")) || b.starts_with(&format!("{a}."))
}

/// The location of a key in the file, for other parts that complain about a value.
impl Resolved {
    /// Where the file sets `key`, if it does.
    pub fn location(&self, key: &str) -> Option<Location> {
        match (self.origins.get(key)?, &self.source) {
            (Origin::File { line, column }, Some((file, _))) => {
                Some(Location { file: file.clone(), line: *line, column: *column })
            }
            _ => None,
        }
    }
}
