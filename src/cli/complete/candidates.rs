//! What can stand as the value of an argument: its fixed values, or what the name of its value stands for.

use std::path::{Path, PathBuf};

use clap::Arg;

use super::{Candidate, Place};
use crate::base::action::Action;
use crate::base::exit;
use crate::base::ids::TrialId;
use crate::journal::failure;
use crate::journal::layout::StudyDir;
use crate::search::{sampler, scheduler};
use crate::spec::schema::{self, Field, Kind};
use crate::spec::template;
use crate::state::reader;

/// Values of `arg` that could stand in the place of `current`.
pub(super) fn values(arg: &Arg, current: &str, place: &Place<'_>) -> Vec<Candidate> {
    let fixed = arg.get_possible_values();
    if !fixed.is_empty() {
        let help = |v: &clap::builder::PossibleValue| v.get_help().map(ToString::to_string).unwrap_or_default();
        return fixed.iter().map(|v| (v.get_name().to_owned(), help(v))).collect();
    }
    let given = |id: &str| place.given.iter().rev().find(|(name, _)| *name == id).map(|(_, value)| value.as_str());
    let name = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match name {
        "STUDY_DIR" | "STUDY_OR_JOB" => paths(current, |_| false),
        "SPEC.yaml|ACTION" if given("verb") == Some("template") => plain(template::names()),
        "SPEC.yaml" | "SPEC.yaml|ACTION" => paths(current, |p| has_end(p, &["yaml", "yml"])),
        "FILE.json" => paths(current, |p| has_end(p, &["json"])),
        "FILE" | "PATH" => paths(current, |_| true),
        "DIR" | "JOB_DIR" => paths(current, |_| false),
        "TRIAL" => given("study").map(trials).unwrap_or_default(),
        "KEY=VALUE" if arg.get_id() == "point" => given("study").map(parameters).unwrap_or_default(),
        "KEY=VALUE" => settings(current),
        "ACTION" => plain(Action::ALL.iter().map(|action| action.name())),
        "CODE" => exit::TABLE
            .iter()
            .map(|row| (row.name.to_owned(), row.meaning.to_owned()))
            .chain(failure::TABLE.iter().map(|row| (row.code.to_owned(), row.meaning.to_owned())))
            .collect(),
        "TYPE" => models(),
        "SAMPLER" => described(&sampler::TABLE),
        "SCHEDULER" => described(&scheduler::TABLE),
        // `show|check` and single words such as `train` are the values themselves.
        words if words.chars().all(|c| c.is_ascii_lowercase() || c == '|') => plain(words.split('|')),
        _ => Vec::new(),
    }
}

fn described(table: &[(&str, &str)]) -> Vec<Candidate> {
    table.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())).collect()
}

fn plain<'a>(words: impl Iterator<Item = &'a str>) -> Vec<Candidate> {
    words.filter(|word| !word.is_empty()).map(|word| (word.to_owned(), String::new())).collect()
}

fn has_end(path: &Path, ends: &[&str]) -> bool {
    path.extension().is_some_and(|e| ends.iter().any(|end| e == *end))
}

/// Folders, and the files that are wanted, whose path begins with `current`.
fn paths(current: &str, wanted: impl Fn(&Path) -> bool) -> Vec<Candidate> {
    let (typed, start) = current.rsplit_once('/').map_or(("", current), |(folder, start)| (folder, start));
    let typed = if current.contains('/') { format!("{typed}/") } else { String::new() };
    let folder = match (typed.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ if typed.is_empty() => PathBuf::from("."),
        _ => PathBuf::from(&typed),
    };
    let mut found: Vec<Candidate> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let path = entry.path();
            if !name.starts_with(start) || (name.starts_with('.') && !start.starts_with('.')) {
                return None;
            }
            if path.is_dir() {
                let what = if StudyDir::new(&path).exists() { "study" } else { "" };
                return Some((format!("{typed}{name}/"), what.to_owned()));
            }
            wanted(&path).then(|| (format!("{typed}{name}"), String::new()))
        })
        .collect();
    found.sort();
    found
}

/// The trials of a study, best first, with what there is to say of each.
fn trials(study: &str) -> Vec<Candidate> {
    let Ok(state) = reader::load(&StudyDir::new(study)) else { return Vec::new() };
    let shown = |id: &TrialId| {
        let trial = state.trials.get(id)?;
        let value = trial.value.map_or_else(String::new, |v| format!(" {v:.4}"));
        Some((trial.id.0.to_string(), format!("{}{value}", trial.state.name())))
    };
    state.leaderboard().iter().filter_map(shown).collect()
}

/// The parameters that a study searches, with the value of its best trial.
fn parameters(study: &str) -> Vec<Candidate> {
    let Ok(state) = reader::load(&StudyDir::new(study)) else { return Vec::new() };
    let best = state.best().map(|t| t.params.clone()).unwrap_or_default();
    let mut keys: Vec<&String> = state.trials.values().flat_map(|t| t.params.keys()).collect();
    keys.sort();
    keys.dedup();
    let shown = |key: &String| {
        let value = best.get(key).map_or_else(String::new, |value| format!("{value} in the best trial"));
        (format!("{key}="), value)
    };
    keys.into_iter().map(shown).collect()
}

/// Keys of the spec, a section at a time, and values after the `=`.
fn settings(current: &str) -> Vec<Candidate> {
    const SPACE: &str = "automl.space.";
    let (mark, rest) = match current.strip_prefix('~') {
        Some(rest) => ("~", rest),
        None => ("", current),
    };
    let (before, key) = match rest.strip_prefix(SPACE) {
        Some(key) => (format!("{mark}{SPACE}"), key),
        None => (mark.to_owned(), rest),
    };
    if let Some((key, _)) = key.split_once('=') {
        let Some(field) = schema::field_of_key(key).filter(|_| !before.ends_with(SPACE)) else { return Vec::new() };
        return of_field(field).into_iter().map(|(value, what)| (format!("{key}={value}"), what)).collect();
    }
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    let shown = |field: &Field| {
        let end = match field.kind {
            Kind::Section => ".",
            _ if mark.is_empty() => "=",
            _ => "",
        };
        (format!("{before}{}{end}", field.path), field.help.to_owned())
    };
    let mut found: Vec<Candidate> = schema::children(section).map(shown).collect();
    if before.is_empty() && section == "automl" {
        found.push((SPACE.to_owned(), "range of one parameter, for this study".to_owned()));
    }
    found
}

fn of_field(field: &Field) -> Vec<Candidate> {
    let default = field.default_value();
    let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
    let values = match field.kind {
        Kind::Bool => vec!["true".to_owned(), "false".to_owned()],
        Kind::Choice(options) => options.iter().map(|o| (*o).to_owned()).collect(),
        _ if field.path == "model.type" => models().into_iter().map(|(name, _)| name).collect(),
        _ if default.is_empty() => Vec::new(),
        _ => vec![default.clone()],
    };
    values.into_iter().map(|v| (v.clone(), if v == default { "default".to_owned() } else { String::new() })).collect()
}

#[cfg(feature = "torch")]
fn models() -> Vec<Candidate> {
    let rows = crate::model::catalog_table::CATALOG.iter();
    let mut found: Vec<Candidate> = rows.map(|row| (row.name.to_owned(), row.family.to_string())).collect();
    found.dedup_by(|a, b| a.0 == b.0);
    found
}

#[cfg(not(feature = "torch"))]
fn models() -> Vec<Candidate> {
    Vec::new()
}
