//! TensorBoard: a run for every trial with its scalars, its spec as text and its HParams records, and one record above them that
//! says which hyperparameters and metrics there are.

mod message;
mod record;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use message::Message;

use super::series::{Row, Series, seconds};
use super::{Input, point, put};
use crate::base::files;
use crate::base::ids::TrialId;
use crate::search::space::{Domain, Space};
use crate::state::{TrialState, TrialStatus};
use crate::study::importance::space;

/// The tag of the best value of a trial: what the HParams table shows, as it would show the last one otherwise.
pub const BEST: &str = "best/";

const SESSION_SUCCESS: u64 = 1;
const SESSION_FAILURE: u64 = 2;

/// Log files of a study that grow with it.
#[derive(Debug)]
pub struct Board {
    folder: PathBuf,
    written: BTreeMap<TrialId, Written>,
    has_experiment: bool,
}

/// What the file of a trial has.
#[derive(Debug)]
struct Written {
    path: PathBuf,
    series: Series,
    ended: Option<TrialStatus>,
}

impl Board {
    /// Log files below a folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), written: BTreeMap::new(), has_experiment: false }
    }

    /// Brings the files up to date: those of a trial that this board has not written yet are replaced, others grow. Gives the
    /// files back that changed.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn update(&mut self, input: &Input<'_>) -> io::Result<Vec<PathBuf>> {
        let mut changed = Vec::new();
        let space = space(input.dir);
        if !self.has_experiment && input.state.meta.is_some() {
            changed.push(self.experiment(input, space.as_ref())?);
            self.has_experiment = true;
        }
        for trial in input.state.trials.values().filter(|t| t.attempt > 0 || t.started.is_some()) {
            let of_final = self.written.get(&trial.id).and_then(|w| w.ended);
            if of_final == Some(trial.state) {
                continue;
            }
            let series = input.series(trial);
            let path = match self.written.get_mut(&trial.id) {
                Some(written) => written.grow(input, trial, series)?,
                None => Some(self.begin(input, trial, series)?),
            };
            changed.extend(path);
        }
        Ok(changed)
    }

    fn experiment(&self, input: &Input<'_>, space: Option<&Space>) -> io::Result<PathBuf> {
        let created = input.state.meta.as_ref().map_or(0.0, |m| seconds(m.created));
        let mut experiment = Message::new();
        experiment.text(6, input.name()).double(3, created);
        let keys: std::collections::BTreeSet<&String> =
            input.state.trials.values().flat_map(|t| t.params.keys()).collect();
        let declared = space.map(|s| s.params().iter().map(|p| &p.key).collect::<Vec<_>>()).unwrap_or_default();
        let others = keys.into_iter().filter(|k| !declared.contains(k)).collect::<Vec<_>>();
        for key in declared.iter().copied().chain(others) {
            experiment.message(4, &parameter(key, space, input));
        }
        for metric in metrics(input) {
            let mut name = Message::new();
            name.text(2, &format!("{BEST}{metric}"));
            let mut info = Message::new();
            info.message(1, &name).text(3, &metric).varint(5, 2);
            experiment.message(5, &info);
        }
        let bytes = [version(created), event(created, 0, &hparams("_hparams_/experiment", 2, &experiment))];
        put(&self.folder, &file_name(created), &bytes.concat())
    }

    fn begin(&mut self, input: &Input<'_>, trial: &TrialState, series: Series) -> io::Result<PathBuf> {
        let started = seconds(series.started.or(trial.first_launched).unwrap_or(trial.suggested));
        let mut session = Message::new();
        for (key, value) in &point(trial) {
            if let Some(value) = plain(value) {
                let mut entry = Message::new();
                entry.text(1, key).message(2, &value);
                session.message(1, &entry);
            }
        }
        session.text(4, &trial.id.to_string()).double(5, started);
        // TensorBoard takes the first of these for the beginning, and each further one for a restart.
        let mut bytes = [version(started), session_starts(started, 0)].concat();
        bytes.extend(event(started, 0, &hparams("_hparams_/session_start_info", 3, &session)));
        if let Ok(spec) = std::fs::read_to_string(input.dir.trial(trial.id).spec()) {
            bytes.extend(event(started, 0, &text("spec", &format!("```yaml\n{spec}\n```"))));
        }
        bytes.extend(series.rows.iter().flat_map(scalars));
        let ended = end(input, trial, &series, &mut bytes);
        let path = put(&self.folder.join(trial.id.to_string()), &file_name(started), &bytes)?;
        self.written.insert(trial.id, Written { path: path.clone(), series, ended });
        Ok(path)
    }
}

impl Written {
    /// Appends what is new.
    fn grow(&mut self, input: &Input<'_>, trial: &TrialState, series: Series) -> io::Result<Option<PathBuf>> {
        let same = self.series.rows.iter().zip(&series.rows).take_while(|(a, b)| a == b).count();
        let mut bytes = Vec::new();
        if same < self.series.rows.len() {
            // An attempt began from an earlier checkpoint: TensorBoard drops what it has from this step on.
            let (step, ts) = (self.series.rows[same].step, series.last().or(self.series.last()).unwrap_or_default());
            bytes.extend(session_starts(seconds(ts), step));
        }
        bytes.extend(series.rows[same..].iter().flat_map(scalars));
        let ended = end(input, trial, &series, &mut bytes);
        (self.series, self.ended) = (series, ended);
        if bytes.is_empty() {
            return Ok(None);
        }
        let file = OpenOptions::new().append(true).open(&self.path);
        file.and_then(|mut f| f.write_all(&bytes)).map_err(files::with_path(&self.path))?;
        Ok(Some(self.path.clone()))
    }
}

/// The objectives, the ranking metric first.
fn metrics(input: &Input<'_>) -> Vec<String> {
    let meta = input.state.meta.as_ref();
    let objectives: Vec<String> = meta.into_iter().flat_map(|m| &m.objectives).map(|o| o.metric.clone()).collect();
    if objectives.is_empty() { vec![input.state.metric().to_owned()] } else { objectives }
}

fn file_name(created: f64) -> String {
    format!("events.out.tfevents.{created:.0}.cliptune")
}

/// The best values and how the session ended, once it has.
fn end(input: &Input<'_>, trial: &TrialState, series: &Series, bytes: &mut Vec<u8>) -> Option<TrialStatus> {
    if !trial.state.is_final() {
        return None;
    }
    let ts = seconds(trial.finished.or(series.last()).unwrap_or(trial.suggested));
    let step = series.rows.last().map_or(0, |r| r.step);
    for metric in metrics(input) {
        let best = trial.best_metrics().and_then(|m| m.get(&metric)).copied().flatten();
        let best = best.or(trial.value.filter(|_| metric == input.state.metric()));
        if let Some(value) = best.filter(|v| v.is_finite() && trial.state != TrialStatus::Failed) {
            bytes.extend(event(ts, step, &scalar(&format!("{BEST}{metric}"), value)));
        }
    }
    let went_well = matches!(trial.state, TrialStatus::Completed | TrialStatus::Pruned);
    let mut session = Message::new();
    session.varint(1, if went_well { SESSION_SUCCESS } else { SESSION_FAILURE }).double(2, ts);
    bytes.extend(event(ts, step, &hparams("_hparams_/session_end_info", 4, &session)));
    Some(trial.state)
}

/// An event of a file: `Event{wall_time, step, summary{value}}`.
fn event(ts: f64, step: u64, value: &Message) -> Vec<u8> {
    let mut summary = Message::new();
    summary.message(1, value);
    let mut event = Message::new();
    event.double(1, ts).varint(2, step).message(5, &summary);
    record::frame(&event.into_bytes())
}

/// The first event of every file.
fn version(ts: f64) -> Vec<u8> {
    let mut event = Message::new();
    event.double(1, ts).text(3, "brain.Event:2");
    record::frame(&event.into_bytes())
}

/// Says that what follows begins at this step.
fn session_starts(ts: f64, step: u64) -> Vec<u8> {
    let mut log = Message::new();
    log.varint(1, 1);
    let mut event = Message::new();
    event.double(1, ts).varint(2, step).message(7, &log);
    record::frame(&event.into_bytes())
}

fn scalars(row: &Row) -> Vec<u8> {
    row.values.iter().flat_map(|(name, v)| event(seconds(row.ts), row.step, &scalar(name, *v))).collect()
}

fn scalar(tag: &str, value: f64) -> Message {
    let mut message = Message::new();
    message.text(1, tag).float(2, value as f32);
    message
}

/// `Value{tag, metadata{plugin_data{plugin_name, content}, data_class}, tensor}`.
fn with_plugin(tag: &str, plugin: &str, content: &Message, tensor: &Message) -> Message {
    const TENSOR: u64 = 2;
    let mut data = Message::new();
    data.text(1, plugin).message(2, content);
    let mut metadata = Message::new();
    metadata.message(1, &data).varint(4, TENSOR);
    let mut message = Message::new();
    message.text(1, tag).message(8, tensor).message(9, &metadata);
    message
}

/// A record of the HParams plugin; `field` is its place in `HParamsPluginData`.
fn hparams(tag: &str, field: u32, record: &Message) -> Message {
    const DT_FLOAT: u64 = 1;
    let mut content = Message::new();
    content.message(field, record);
    // The value counts for nothing: an empty vector of floats.
    let (mut empty, mut shape, mut tensor) = (Message::new(), Message::new(), Message::new());
    empty.varint(1, 0);
    shape.message(2, &empty);
    tensor.varint(1, DT_FLOAT).message(2, &shape);
    with_plugin(tag, "hparams", &content, &tensor)
}

fn text(tag: &str, words: &str) -> Message {
    const DT_STRING: u64 = 7;
    let (mut one, mut shape, mut tensor) = (Message::new(), Message::new(), Message::new());
    one.varint(1, 1);
    shape.message(2, &one);
    tensor.varint(1, DT_STRING).message(2, &shape).text(8, words);
    with_plugin(tag, "text", &Message::new(), &tensor)
}

/// A value as `google.protobuf.Value`; `None` for what the plugin has no type for.
fn plain(value: &Value) -> Option<Message> {
    let mut message = Message::new();
    match value {
        Value::Bool(b) => message.varint(4, u64::from(*b)),
        Value::Number(n) => message.double(2, n.as_f64()?),
        Value::String(s) => message.text(3, s),
        Value::Null => return None,
        other => message.text(3, &other.to_string()),
    };
    Some(message)
}

/// `HParamInfo{name, type, domain}`.
fn parameter(key: &str, space: Option<&Space>, input: &Input<'_>) -> Message {
    const STRING: u64 = 1;
    const BOOL: u64 = 2;
    const FLOAT64: u64 = 3;
    let values: Vec<&Value> = input.state.trials.values().filter_map(|t| t.params.get(key)).collect();
    let found = space.and_then(|s| s.get(key)).filter(|p| p.link.is_none()).map(|p| &p.domain);
    let is = |test: fn(&Value) -> bool| {
        let choices = found.into_iter().flat_map(|d| (0..d.choices().unwrap_or(0)).map(move |i| d.choice(i)));
        let known: Vec<Value> = values.iter().map(|v| (*v).clone()).chain(choices).filter(|v| !v.is_null()).collect();
        !known.is_empty() && known.iter().all(test)
    };
    let kind = match found {
        Some(Domain::Float { .. } | Domain::Int { .. } | Domain::Ordinal(_)) => FLOAT64,
        Some(Domain::Bool) => BOOL,
        _ if is(Value::is_number) => FLOAT64,
        _ if is(Value::is_boolean) => BOOL,
        _ => STRING,
    };
    let mut info = Message::new();
    info.text(1, key).varint(4, kind);
    match found {
        Some(Domain::Float { low, high, .. }) => {
            info.message(6, &interval(*low, *high));
        }
        Some(Domain::Int { low, high, .. }) => {
            info.message(6, &interval(*low as f64, *high as f64));
        }
        Some(domain) => {
            let mut list = Message::new();
            for value in (0..domain.choices().unwrap_or(0)).filter_map(|i| plain(&domain.choice(i))) {
                list.message(1, &value);
            }
            info.message(5, &list);
        }
        None => {}
    }
    info
}

fn interval(low: f64, high: f64) -> Message {
    let mut message = Message::new();
    message.double(1, low).double(2, high);
    message
}
