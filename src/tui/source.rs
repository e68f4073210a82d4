//! Where the rows come from: the state of the study, its owner's lock, and the consoles of its trials. Only reads, and builds
//! anew only what changed: a study at rest costs a look at a few files.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::app::{App, Log};
use super::rows::{Controller, Curves, Gpu, Host, PromotedFile, Promotion, Study, Tick, Trial, short};
use super::widget::text;
use crate::base::ids::TrialId;
use crate::base::time::{Timestamp, seconds_between};
use crate::journal::event::Slot;
use crate::journal::layout::StudyDir;
use crate::search::importance::Importance;
use crate::search::scheduler::{self, Settings};
use crate::search::space::Space;
use crate::spec::changes::{Change, changes_from_defaults};
use crate::state::{StateReader, StudyState, TrialState, snapshot, timeline};
use crate::study::promote::MANIFEST;
use crate::study::{eta, importance};

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
    live: Option<bool>,
    importance: Importances,
    curves: HashMap<TrialId, (Stamp, Arc<Curves>)>,
}

/// What has to differ when the curves of a trial do: attempt, validations, epochs.
type Stamp = (u32, usize, usize);

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
    pub fn open(dir: &StudyDir) -> Self {
        Self {
            reader: StateReader::new(dir.clone()),
            rates: spec_rates(&dir.spec()),
            console: None,
            live: None,
            importance: Importances::default(),
            curves: HashMap::new(),
        }
    }

    /// The study's folder.
    pub fn dir(&self) -> &StudyDir {
        self.reader.dir()
    }

    /// Whether a controller had the study at the last look.
    pub fn is_live(&self) -> bool {
        self.live == Some(true)
    }

    /// Puts into the app what is new; tells whether anything that is shown changed.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn refresh(&mut self, app: &mut App) -> io::Result<bool> {
        let live = snapshot::controller_is_up(self.reader.dir());
        let changed = self.reader.poll()? || self.live != Some(live);
        self.live = Some(live);
        let now = Timestamp::now();
        let state = self.reader.state();
        if !changed {
            // The clock of a running study moves by itself, a second at a time.
            let is_next = live && state.elapsed(now) - app.study.elapsed_s >= 1.0;
            if is_next {
                tick(&mut app.study, state, live, now);
            }
            return Ok(is_next);
        }
        let rows = state.trials.values().map(|t| {
            let stamp = (t.started.map_or(0, |(attempt, _)| attempt), t.curve.len(), t.losses.len());
            let known = self.curves.get(&t.id).filter(|(of, _)| *of == stamp);
            let shared = known.map_or_else(|| Arc::new(curves(t)), |(_, shared)| Arc::clone(shared));
            self.curves.insert(t.id, (stamp, Arc::clone(&shared)));
            trial(t, shared, self.rates, now)
        });
        let rows = rows.collect();
        let mut study = study(state, live, now);
        study.importance = self.importance.of(self.reader.dir(), state);
        if let Some(promotion) = &mut study.promotion {
            promotion.files = files(&self.reader.dir().promoted());
        }
        app.set(study, rows);
        Ok(true)
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

    /// A trial in full, a line a fact: how it went, its point beside the baseline's, where its files are, and what its spec
    /// has that is not the default.
    pub fn describe(&self, id: TrialId) -> Vec<String> {
        let state = self.reader.state();
        let Some(trial) = state.trials.get(&id) else { return Vec::new() };
        let now = Timestamp::now();
        let value = trial.value.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
        let mut lines = vec![
            format!("state       {}, {} of {} epochs", trial.state.name(), trial.epochs, trial.budget),
            format!("{:<11} {value}", state.metric()),
        ];
        if let Some(i) = trial.interval() {
            lines.push(format!("95 %        {:.4} to {:.4}", i.low, i.high));
        }
        lines.push(format!("time        {}", crate::base::units::duration(trial.seconds(now))));
        let place = [trial.host.as_deref(), trial.device.as_deref()].into_iter().flatten().collect::<Vec<_>>();
        if !place.is_empty() {
            lines.push(format!("ran on      {}, attempt {}", place.join(", "), trial.attempt));
        }
        if let Some(failure) = &trial.failure {
            lines.push(format!("failure     {}: {}", failure.kind.code(), failure.message));
            lines.push(format!("            help: {}", failure.kind.help()));
        }
        lines.extend(trial.given_up.iter().map(|why| format!("given up    {why}")));
        lines.extend(trial.repeats.iter().map(|of| format!("repeats     trial {of} with another seed")));
        lines.push(String::new());
        let baseline = state.trials.get(&TrialId(0)).map(|t| &t.params);
        for (key, value) in &trial.params {
            let before = baseline.and_then(|b| b.get(key)).filter(|b| *b != value);
            lines.push(format!("{key} = {value}{}", before.map_or_else(String::new, |b| format!("  (baseline {b})"))));
        }
        lines.extend(trial.adjusted.iter().map(|(key, value)| format!("{key} = {value}  (adjusted)")));
        lines.push(String::new());
        let folder = self.reader.dir().trial(id);
        lines.push(format!("folder      {}", folder.path().display()));
        if let Some(path) = &trial.checkpoint {
            lines.push(format!("checkpoint  {}", folder.path().join(path).display()));
        }
        lines.extend(trial.signals.iter().map(|s| format!("sign        {}", s.message)));
        lines.extend(trial.notes.iter().map(|note| format!("note        {}", text::printable(note))));
        // A trial that was not launched has no spec yet.
        if let Ok(changes) = changes_from_defaults(&folder.spec()) {
            lines.extend([String::new(), "The spec, where it is not the default:".to_owned()]);
            let line = |c: Change| format!("{} = {}  (default {})", c.key, c.new, c.old);
            lines.extend(changes.into_iter().map(|c| text::printable(&line(c))));
        }
        lines
    }
}

/// Files of a promotion, by name, with what its manifest says of them.
fn files(folder: &Path) -> Vec<PromotedFile> {
    let manifest = std::fs::read(folder.join(MANIFEST)).ok();
    let manifest: Value = manifest.and_then(|m| serde_json::from_slice(&m).ok()).unwrap_or_default();
    let listed = manifest.get("files").and_then(Value::as_array);
    let hash = |name: &str| {
        let entry = listed?.iter().find(|f| f.get("name").and_then(Value::as_str) == Some(name))?;
        entry.get("sha256")?.as_str().map(str::to_owned)
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut list: Vec<PromotedFile> = entries
        .filter_map(|e| {
            let name = e.file_name().into_string().ok()?;
            Some(PromotedFile { bytes: e.metadata().ok().filter(|m| m.is_file())?.len(), sha256: hash(&name), name })
        })
        .collect();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    list
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
    let on = |gpu: u32| {
        let sits = |t: &&TrialState| t.state.is_active() && t.slot.as_ref().is_some_and(|s| s.gpus.contains(&gpu));
        state.trials.values().filter(sits).map(|t| t.id).collect()
    };
    let load = |gpu: &u32| {
        let samples = state.gpu_load.get(gpu).into_iter().flatten();
        samples.map(|(_, percent)| f64::from(*percent)).collect()
    };
    let mut study = Study {
        name: meta.map_or_else(|| "new study".to_owned(), |m| m.name.clone()),
        sampler: meta.map_or_else(String::new, |m| m.sampler.clone()),
        metric: state.metric().to_owned(),
        direction: state.direction(),
        max_trials: meta.map_or(0, |m| m.max_trials),
        controller,
        paused: state.paused,
        promoting: state.promotion.as_ref().is_some_and(|p| !p.is_done() && !p.has_failed()),
        best: state.best().map(|t| t.id),
        elapsed_s: 0.0,
        left: None,
        importance: Vec::new(),
        history: timeline::best_so_far(state),
        hosts: hosts(state),
        rungs: rungs(state),
        gpus: state.gpus.iter().map(|(i, s)| Gpu { sample: s.clone(), load: load(i), trials: on(*i) }).collect(),
        lanes: timeline::lanes(state, if live { now } else { state.last_event.unwrap_or(now) }),
        promotion: state.promotion.as_ref().map(|p| Promotion {
            trial: p.trial,
            steps: p.steps.clone(),
            files: Vec::new(),
        }),
        age_s: 0.0,
    };
    tick(&mut study, state, live, now);
    study
}

/// The machines of the trials that run, as their workers see them.
fn hosts(state: &StudyState) -> Vec<Host> {
    let mut hosts: BTreeMap<&str, Host> = BTreeMap::new();
    let mut waits: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for trial in state.trials.values().filter(|t| t.state.is_active()) {
        let Some((beat, load)) = trial.heartbeat.as_ref().and_then(|b| Some((b, b.machine?))) else { continue };
        let new = || Host { name: text::printable(&beat.host), load, data_wait: None, trials: Vec::new() };
        let host = hosts.entry(&beat.host).or_insert_with(new);
        host.trials.push(trial.id);
        let shares = waits.entry(&beat.host).or_default();
        shares.extend(trial.losses.last().and_then(|e| e.data_wait_share));
        host.data_wait = (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64);
    }
    hosts.into_values().collect()
}

/// The rungs at which trials wait; those of a rule that only stops trials are no places to stand at.
fn rungs(state: &StudyState) -> Vec<u32> {
    let Some(meta) = state.meta.as_ref().filter(|m| m.rungs.len() > 1) else { return Vec::new() };
    let waits = scheduler::by_name(&meta.scheduler, Settings::default()).is_ok_and(|s| !s.judges());
    if waits { meta.rungs.clone() } else { Vec::new() }
}

/// What of a study moves with the clock.
fn tick(study: &mut Study, state: &StudyState, live: bool, now: Timestamp) {
    let signs_of_life = state.trials.values().filter_map(TrialState::last_heartbeat);
    let last = signs_of_life.chain(state.last_event).max();
    study.elapsed_s = state.elapsed(if live { now } else { last.unwrap_or(now) });
    study.left = eta::remaining(state, now);
    study.age_s = last.map_or(0.0, |ts| seconds_between(ts, now));
}

/// A trial's row; `rates` are those of the spec.
pub fn trial(state: &TrialState, curves: Arc<Curves>, rates: Rates, now: Timestamp) -> Trial {
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
        curves,
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
pub fn curves(state: &TrialState) -> Curves {
    let mut metrics: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (epoch, measured) in &state.curve {
        for (name, value) in measured {
            metrics.entry(name.clone()).or_default().push((f64::from(*epoch), value.unwrap_or(f64::NAN)));
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
            metrics.entry(name.to_owned()).or_default().push((f64::from(e.epoch), value));
        }
        if let Some(share) = e.data_wait_share {
            metrics.entry("perf/data_wait_share".to_owned()).or_default().push((f64::from(e.epoch), share));
        }
    }
    let begun = state.first_launched.unwrap_or(state.suggested);
    let start = Tick { epoch: 0.0, step: 0.0, seconds: 0.0 };
    let ticks = state.losses.iter().map(|e| Tick {
        epoch: f64::from(e.epoch),
        step: e.step as f64,
        seconds: seconds_between(begun, e.ts).max(0.0),
    });
    Curves { metrics, ticks: std::iter::once(start).chain(ticks).collect() }
}
