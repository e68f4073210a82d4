//! Where the rows come from: the state of the study, its owner's lock, and the consoles of its trials. Only reads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::app::{App, Log};
use super::rows::{Controller, Curve, Study, Trial, short};
use super::widget::text;
use crate::base::ids::TrialId;
use crate::base::time::{Timestamp, seconds_between};
use crate::journal::event::Slot;
use crate::journal::layout::StudyDir;
use crate::search::importance::Importance;
use crate::search::space::Space;
use crate::state::{StateReader, StudyState, TrialState, snapshot};
use crate::study::importance;

/// Of a console, this much of its end is shown.
const LOG_BYTES: u64 = 256 << 10;

/// Follows a study.
#[derive(Debug)]
pub struct Source {
    reader: StateReader,
    /// Learning rates as the spec has them: those of the baseline, and of towers that are not searched.
    rates: Rates,
    /// The console that was read last and its length then.
    console: Option<(TrialId, u64)>,
    live: bool,
    importance: Importances,
}

/// The importance of the parameters, computed again only when another trial has come to rest.
#[derive(Debug, Default)]
struct Importances {
    space: Option<Space>,
    resting: usize,
    list: Vec<Importance>,
}

impl Importances {
    fn of(&mut self, dir: &StudyDir, state: &StudyState) -> Vec<Importance> {
        let resting = state.trials.values().filter(|t| !t.state.is_active() && t.value.is_some()).count();
        if resting != self.resting {
            self.resting = resting;
            self.space = self.space.take().or_else(|| importance::space(dir));
            self.list = self.space.as_ref().map(|s| importance::of_study(s, state)).unwrap_or_default();
        }
        self.list.clone()
    }
}

/// Learning rates of the image and the text tower.
type Rates = (Option<f64>, Option<f64>);

impl Source {
    /// A study's folder.
    ///
    /// # Errors
    /// When its journals cannot be read.
    pub fn open(dir: &StudyDir) -> io::Result<Self> {
        let mut reader = StateReader::new(dir.clone());
        reader.poll()?;
        Ok(Self {
            reader,
            rates: spec_rates(&dir.spec()),
            console: None,
            live: false,
            importance: Importances::default(),
        })
    }

    /// Whether a controller had the study at the last look.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// What is to be shown now.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn poll(&mut self) -> io::Result<(Study, Vec<Trial>)> {
        self.reader.poll()?;
        self.live = snapshot::controller_is_up(self.reader.dir());
        let now = Timestamp::now();
        let state = self.reader.state();
        let trials = state.trials.values().map(|t| trial(t, self.rates, now)).collect();
        let mut study = study(state, self.live, now);
        study.importance = self.importance.of(self.reader.dir(), state);
        Ok((study, trials))
    }

    /// Puts the console of the selected trial into the app when it grew; tells whether it did.
    pub fn log(&mut self, app: &mut App) -> bool {
        let Some(id) = app.selected else { return false };
        let path = self.reader.dir().trial(id).console();
        let length = std::fs::metadata(&path).map_or(0, |m| m.len());
        if self.console == Some((id, length)) && app.log.trial == Some(id) {
            return false;
        }
        self.console = Some((id, length));
        let lines = tail(&path, length).unwrap_or_default();
        let grown = lines.len().saturating_sub(app.log.lines.len());
        // What the user looks at stays in place while the console grows below it.
        let up = match app.log.up {
            up if up > 0 && app.log.trial == Some(id) => up + grown,
            _ => 0,
        };
        app.log = Log { trial: Some(id), lines, up };
        true
    }
}

/// The last lines of a file; the first of them is whole.
fn tail(path: &Path, length: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let from = length.saturating_sub(LOG_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let content = String::from_utf8_lossy(&bytes);
    Ok(content.lines().skip(usize::from(from > 0)).map(text::printable).collect())
}

fn spec_rates(spec: &Path) -> Rates {
    let tree = std::fs::read_to_string(spec).ok().and_then(|t| serde_yaml::from_str::<serde_json::Value>(&t).ok());
    let rate = |name: &str| tree.as_ref()?.pointer(&format!("/train/optim/{name}"))?.as_f64();
    (rate("vision_lr"), rate("text_lr"))
}

/// The study's row.
pub fn study(state: &StudyState, live: bool, now: Timestamp) -> Study {
    let stopped = state.controller.as_ref().and_then(|c| c.stopped.as_ref());
    let controller = match (&state.ended, stopped) {
        _ if live => Controller::Live,
        (Some(why), _) => Controller::Finished(why.clone()),
        (None, Some((_, why))) => Controller::Stopped(why.clone()),
        (None, None) => Controller::Down,
    };
    let meta = state.meta.as_ref();
    let signs_of_life = state.trials.values().filter_map(TrialState::last_heartbeat);
    let last = signs_of_life.chain(state.last_event).max();
    let until = if live { now } else { last.unwrap_or(now) };
    Study {
        name: meta.map_or_else(|| "new study".to_owned(), |m| m.name.clone()),
        sampler: meta.map_or_else(String::new, |m| m.sampler.clone()),
        metric: state.metric().to_owned(),
        direction: state.direction(),
        max_trials: meta.map_or(0, |m| m.max_trials),
        controller,
        paused: state.paused,
        promoting: state.promotion.as_ref().is_some_and(|p| !p.is_done() && !p.has_failed()),
        best: state.best().map(|t| t.id),
        elapsed_s: state.elapsed(until),
        eta_s: state.eta(now),
        importance: Vec::new(),
        age_s: last.map_or(0.0, |ts| seconds_between(ts, now)),
    }
}

/// A trial's row; `rates` are those of the spec.
pub fn trial(state: &TrialState, rates: Rates, now: Timestamp) -> Trial {
    let beat = state.heartbeat.as_ref().filter(|_| state.state.is_active());
    let epoch = state.losses.last();
    let rate = |name: &str| state.params.iter().find(|(key, _)| short(key) == name).and_then(|(_, v)| v.as_f64());
    Trial {
        id: state.id,
        status: state.state,
        value: state.value,
        best_epoch: state.best_epoch,
        epochs: state.epochs,
        budget: state.budget,
        curves: curves(state),
        params: state.params.clone(),
        rates: (rate("vision_lr").or(rates.0), rate("text_lr").or(rates.1)),
        images_per_s: beat.map(|b| b.images_per_s).filter(|v| *v > 0.0).or(epoch.map(|e| e.images_per_s)),
        loss: beat.and_then(|b| b.loss).or(epoch.and_then(|e| e.loss)),
        seconds: state.seconds(now),
        slot: state.slot.as_ref().filter(|_| state.state.is_active()).map_or_else(String::new, slot),
        failure: state.failure.as_ref().map(|f| (f.kind.code().to_owned(), f.message.clone())),
    }
}

fn slot(slot: &Slot) -> String {
    if slot.gpus.is_empty() {
        return format!("cpu {}", slot.index);
    }
    let gpus: Vec<String> = slot.gpus.iter().map(u32::to_string).collect();
    format!("gpu {}", gpus.join(","))
}

/// Every validation metric and what the worker reports of an epoch, by name.
fn curves(state: &TrialState) -> BTreeMap<String, Curve> {
    let mut curves: BTreeMap<String, Curve> = BTreeMap::new();
    for (epoch, metrics) in &state.curve {
        for (name, value) in metrics {
            curves.entry(name.clone()).or_default().push((f64::from(*epoch), value.unwrap_or(f64::NAN)));
        }
    }
    for e in &state.losses {
        let reported = [
            ("train/loss", e.loss.unwrap_or(f64::NAN)),
            ("train/vision_lr", e.vision_lr),
            ("train/text_lr", e.text_lr),
            ("perf/images_per_s", e.images_per_s),
        ];
        for (name, value) in reported {
            curves.entry(name.to_owned()).or_default().push((f64::from(e.epoch), value));
        }
    }
    curves
}
