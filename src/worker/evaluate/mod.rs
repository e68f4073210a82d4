//! The `evaluate` action: retrieval and classification metrics of a checkpoint, graph or engine, as an event, as
//! `results.json`, and query by query.

mod classes;
mod gallery;
mod pairs;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::{artifact, opened};
use crate::base::files;
use crate::journal::event::{Interval, Intervals, JobEvent, Metrics, Outcome};
use crate::journal::failure::{Failure, FailureKind};
use crate::journal::job::Job;
use crate::journal::layout::JobDir;
use crate::journal::writer::Writer;
use crate::spec::Spec;

/// What the parts of the action work with.
#[derive(Clone, Copy)]
struct Task<'a> {
    job: &'a Job,
    dir: &'a JobDir,
    spec: &'a Spec,
    stop: &'a AtomicBool,
}

impl Task<'_> {
    /// Rows at a time.
    fn batch(&self) -> usize {
        usize::try_from(self.spec.evaluate.batch_size).unwrap_or(16)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a part found out.
#[derive(Default)]
struct Found {
    metrics: Metrics,
    intervals: Intervals,
    /// Entries of `results.json`.
    results: Map<String, Value>,
    /// Files beside it.
    files: Vec<(&'static str, PathBuf)>,
}

impl Found {
    fn extend(&mut self, other: Self) {
        self.metrics.extend(other.metrics);
        self.intervals.extend(other.intervals);
        self.results.extend(other.results);
        self.files.extend(other.files);
    }
}

/// Runs the action.
///
/// # Errors
/// Whatever keeps it from measuring.
pub fn run(
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let section = &spec.evaluate;
    let task = Task { job, dir, spec, stop };
    let sources = if section.datasets.is_empty() { &spec.dataset.val.datasets } else { &section.datasets };
    // What can be wrong with the input is found before the model is loaded.
    let classes = classes::Classes::read(&section.classification, &job.cache.join("archives"))?;
    if sources.is_empty() && classes.is_none() {
        let why = "there is nothing to measure on: dataset.val.datasets is empty";
        return Err(Failure::new(FailureKind::SpecInvalid, why));
    }
    let named = (section.checkpoint.as_deref(), section.trt_engine.as_deref());
    let mut source = opened::source("evaluate", named, job, spec, events)?;
    let start = Instant::now();
    let stopped = || Ok(Outcome::Stopped { why: "asked to stop; nothing was written".into() });
    let mut found = Found::default();
    found.results.extend([
        ("version".to_owned(), json!(1)),
        ("model".to_owned(), json!(section.trt_engine.as_ref().or(section.checkpoint.as_ref()))),
        ("kind".to_owned(), json!(source.kind)),
        ("device".to_owned(), json!(source.runs_on)),
    ]);
    if !sources.is_empty() {
        match pairs::measure(task, sources, &mut source, events)? {
            Some(pairs) => found.extend(pairs),
            None => return stopped(),
        }
    }
    if let Some(classes) = classes {
        match classes.measure(task, &mut source)? {
            Some(classes) => found.extend(classes),
            None => return stopped(),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    found.results.insert("seconds".to_owned(), json!(seconds));
    let Found { metrics, intervals, results, files } = found;
    artifact::append(events, JobEvent::Validated { epoch: 0, step: 0, metrics, intervals, seconds })?;
    let file = dir.path().join("results.json");
    files::atomic_write(&file, format!("{:#}\n", Value::Object(results)).as_bytes())?;
    artifact::announce(events, "results", &file)?;
    for (name, file) in files {
        artifact::announce(events, name, &file)?;
    }
    Ok(Outcome::Completed)
}

/// Metrics by their names without the prefix, as `results.json` has them.
fn plain(metrics: &Metrics, prefix: &str) -> Value {
    metrics.iter().map(|(name, value)| (short(name, prefix), json!(value))).collect::<Map<_, _>>().into()
}

/// Intervals in the same way.
fn ends(intervals: &Intervals, prefix: &str) -> Value {
    intervals
        .iter()
        .map(|(name, ends): (_, &Interval)| (short(name, prefix), json!(ends)))
        .collect::<Map<_, _>>()
        .into()
}

fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).and_then(|n| n.strip_prefix('/')).unwrap_or(name).to_owned()
}
