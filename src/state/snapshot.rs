//! The state as JSON: the objects behind `status --json`, `trials --json` and `show --json`. Each carries a version;
//! keys are only ever added.

use serde_json::{Value, json};

use crate::base::estimate::Estimate;
use crate::base::files::OwnerLock;
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::journal::event::{Direction, PointOrigin};
use crate::journal::layout::StudyDir;

use super::study::StudyState;
use super::trial::{TrialState, TrialStatus};
use super::winner;

/// Version of every object here.
pub const VERSION: u32 = 1;

/// Whether a controller has the study right now.
pub fn controller_is_up(dir: &StudyDir) -> bool {
    OwnerLock::is_held(&dir.lock())
}

/// One word for how the study stands: `new`, `running`, `paused`, `promoting`, `ended`, `stopped`, `down`.
pub fn phase(state: &StudyState, controller_up: bool) -> &'static str {
    if state.meta.is_none() {
        return "new";
    }
    let promoting = state.promotion.as_ref().is_some_and(|p| !p.is_done() && !p.has_failed());
    match (&state.ended, controller_up) {
        (_, true) if promoting => "promoting",
        (Some(_), _) => "ended",
        (None, true) if state.paused || state.held.is_some() => "paused",
        (None, true) => "running",
        (None, false) if state.controller.as_ref().is_some_and(|c| c.stopped.is_some()) => "stopped",
        (None, false) => "down",
    }
}

/// Says how long a study still takes, if anything is known; a higher floor knows how.
pub type Foresight = fn(&StudyState, Timestamp) -> Option<Estimate>;

/// The object of `status --json`, also written as `state.json`.
pub fn status(dir: &StudyDir, state: &StudyState, controller_up: bool, now: Timestamp, eta: Foresight) -> Value {
    let meta = state.meta.as_ref();
    let counts = state.counts();
    let direction = state.direction();
    let best = state.best();
    let baseline = state.baseline().and_then(|t| t.value);
    let left = if controller_up { eta(state, now) } else { None };
    json!({
        "version": VERSION,
        "study": meta.map(|m| m.name.clone()),
        "dir": dir.path(),
        "state": phase(state, controller_up),
        "reason": state.ended.clone().or_else(|| state.held.clone()).or_else(|| state.controller.as_ref()?.stopped.as_ref().map(|s| s.1.clone())),
        "metric": state.metric(),
        "direction": direction,
        "sampler": meta.map(|m| m.sampler.clone()),
        "scheduler": meta.map(|m| m.scheduler.clone()),
        "rungs": meta.map(|m| m.rungs.clone()),
        "objectives": meta.map(|m| m.objectives.clone()),
        "seed": meta.map(|m| m.seed),
        "max_trials": meta.map(|m| m.max_trials),
        "max_epochs": meta.map(|m| m.max_epochs),
        "created": meta.map(|m| m.created),
        "updated": state.last_event,
        "elapsed_s": round(state.elapsed(if controller_up { now } else { state.last_event.unwrap_or(now) })),
        "epochs": state.epochs(),
        "device_hours": round(state.device_seconds(now) / 36.0) / 100.0,
        "eta_s": left.map(|e| round(e.mean)),
        "eta_low_s": left.map(|e| round(e.low)),
        "eta_high_s": left.map(|e| round(e.high)),
        "controller": {
            "up": controller_up,
            "pid": state.controller.as_ref().map(|c| c.process.pid),
            "host": state.controller.as_ref().map(|c| c.host.clone()),
            "version": state.controller.as_ref().map(|c| c.version.clone()),
        },
        "trials": {
            "queued": counts.queued,
            "running": counts.running,
            "paused": counts.paused,
            "completed": counts.completed,
            "pruned": counts.pruned,
            "failed": counts.failed,
            "cancelled": counts.cancelled,
        },
        "gpus": state.gpus.values().collect::<Vec<_>>(),
        "best": best.map(|t| trial(dir, state, t, now)),
        "confirmed": winner::confirmed(state).iter().map(|c| json!({
            "trial": c.trial, "runs": c.runs, "value": c.value, "low": c.interval.low, "high": c.interval.high,
        })).collect::<Vec<_>>(),
        "baseline": baseline,
        "pretrained": state.pretrained(),
        "beats_baseline": best.zip(baseline).map(|(t, b)| t.value.is_some_and(|v| direction.is_better(v, b))),
        "promotion": state.promotion.as_ref().map(|p| json!({
            "trial": p.trial,
            "done": p.is_done(),
            "steps": p.steps.iter().map(|s| json!({
                "step": s.step, "status": s.status, "detail": s.detail, "ts": s.ts,
            })).collect::<Vec<_>>(),
        })),
    })
}

/// The object of `trials --json`, best first.
pub fn trials(dir: &StudyDir, state: &StudyState, now: Timestamp) -> Value {
    let list: Vec<Value> =
        state.leaderboard().iter().filter_map(|id| state.trials.get(id)).map(|t| trial(dir, state, t, now)).collect();
    json!({
        "version": VERSION,
        "study": state.meta.as_ref().map(|m| m.name.clone()),
        "metric": state.metric(),
        "direction": state.direction(),
        "trials": list,
    })
}

/// One trial as in the list of `trials --json`.
pub fn trial(dir: &StudyDir, _state: &StudyState, trial: &TrialState, now: Timestamp) -> Value {
    let job = dir.trial(trial.id);
    json!({
        "id": trial.id,
        "state": trial.state.name(),
        "params": trial.params,
        "value": trial.value,
        "low": trial.interval().map(|i| i.low),
        "high": trial.interval().map(|i| i.high),
        "best_epoch": trial.best_epoch,
        "epochs": trial.epochs,
        "budget": trial.budget,
        "gpu": trial.slot.as_ref().map(|s| s.gpus.clone()).unwrap_or_default(),
        "seconds": round(trial.seconds(now)),
        "checkpoint": trial.checkpoint.as_ref().map(|path| job.path().join(path)),
        "failure": trial.failure.as_ref().map(|f| json!({
            "kind": f.kind.code(), "message": f.message, "help": f.kind.help(),
        })),
        "damage": trial.damage,
        "origin": trial.origin,
        "repeats": trial.repeats,
        "expected_gain": trial.expected_gain,
        "at_rung": trial.at_rung,
        "given_up": trial.given_up,
        "attempt": trial.attempt,
    })
}

/// The object of `show --json`; `None` when there is no such trial.
pub fn show(dir: &StudyDir, state: &StudyState, id: TrialId, now: Timestamp) -> Option<Value> {
    let found = state.trials.get(&id)?;
    let mut value = trial(dir, state, found, now);
    let rank = state.leaderboard().iter().position(|t| *t == id).map(|i| i + 1);
    let extra = json!({
        "version": VERSION,
        "study": state.meta.as_ref().map(|m| m.name.clone()),
        "metric": state.metric(),
        "direction": state.direction(),
        "rank": rank,
        "dir": dir.trial(id).path(),
        "device": found.device,
        "host": found.host,
        "slot": found.slot,
        "process": found.process,
        "batch": found.batch,
        "adjusted": found.adjusted,
        "priority": found.priority,
        "suggested": found.suggested,
        "finished": found.finished,
        "metrics": found.best_metrics(),
        "curve": found.curve.iter().map(|(epoch, metrics)| json!({"epoch": epoch, "metrics": metrics})).collect::<Vec<_>>(),
        "epochs_log": found.losses.iter().map(|s| json!({
            "epoch": s.epoch, "step": s.step, "loss": s.loss, "vision_lr": s.vision_lr, "text_lr": s.text_lr,
            "images_per_s": s.images_per_s, "seconds": s.seconds,
            "data_wait_share": s.data_wait_share, "ts": s.ts,
        })).collect::<Vec<_>>(),
        "checkpoints": found.checkpoints.iter().map(|(path, c)| json!({
            "path": path, "epoch": c.epoch, "step": c.step, "bytes": c.bytes,
        })).collect::<Vec<_>>(),
        "provenance": found.provenance,
        "data": found.data,
        "jobs": found.jobs,
        "notes": found.notes,
        "signals": found.signals,
    });
    if let (Value::Object(value), Value::Object(extra)) = (&mut value, extra) {
        value.extend(extra);
    }
    Some(value)
}

/// `maximize`, `minimize`.
pub fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Maximize => "maximize",
        Direction::Minimize => "minimize",
    }
}

/// `baseline`, `sampler`, `enqueued`, `repeat`.
pub fn origin_name(origin: PointOrigin) -> &'static str {
    match origin {
        PointOrigin::Baseline => "baseline",
        PointOrigin::Sampler => "sampler",
        PointOrigin::Enqueued => "enqueued",
        PointOrigin::Repeat => "repeat",
    }
}

/// Whether the trial's worker has been silent for longer than a live one would be.
pub fn is_stale(trial: &TrialState, now: Timestamp) -> bool {
    trial.state == TrialStatus::Running
        && trial
            .last_heartbeat()
            .is_some_and(|ts| crate::base::time::seconds_between(ts, now) > 3.0 * crate::journal::heartbeat::PERIOD_S)
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
