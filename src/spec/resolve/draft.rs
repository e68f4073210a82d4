//! A spec that is being put together: defaults, then what each source says, and whatever is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::{KEY_VARIABLE, Origin, Resolved, overlap};
use crate::base::action::Action;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::yaml::{At, Kind as Yaml, Node, Source};
use crate::spec::overrides::{Override, get, slot};
use crate::spec::schema::{self, Field, Item, Kind};
use crate::spec::sections::Spec;
use crate::spec::{check, interpolate, nearest, paths, support, value};

#[derive(Default)]
pub(super) struct Draft {
    pub(super) tree: Value,
    pub(super) origins: BTreeMap<String, Origin>,
    pub(super) problems: Vec<Problem>,
    /// Keys with a problem: the rules between fields say nothing about them.
    pub(super) failed: BTreeSet<String>,
    /// The file could not be parsed at all, so that nothing it says is known.
    pub(super) unreadable: bool,
    pub(super) source: Option<(PathBuf, String)>,
}

impl Draft {
    pub(super) fn file(&mut self, root: &Node) {
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

    pub(super) fn apply(&mut self, over: &Override) {
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
    pub(super) fn set(&mut self, key: &str, value: &Value, origin: &Origin) {
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

    pub(super) fn finish(mut self, action: Action) -> Result<Resolved, Problems> {
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

/// Takes the passphrase out of a spec, so that whatever is written or printed of it names only where the passphrase is.
fn withhold(tree: &mut Value) -> Option<String> {
    let place = tree.get_mut("encryption_key")?;
    let secret = place.as_str().filter(|text| !text.is_empty())?.to_owned();
    *place = Value::from(format!("${{env:{KEY_VARIABLE}}}"));
    Some(secret)
}
