//! What a report says in words and tables, whatever the format: the summary, the leaderboard, what the best trial does
//! differently, what failed.

use serde_json::Value;

use super::content::Content;
use super::leaderboard::{cell, short};
use crate::base::ids::TrialId;
use crate::base::units;
use crate::journal::event::Interval;
use crate::state::{TrialState, snapshot};

/// One figure of the summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// The figure.
    pub value: String,
    /// What helps to judge it.
    pub note: String,
}

/// The figures that a reader wants first.
pub fn summary(content: &Content<'_>) -> Vec<Fact> {
    let state = content.state;
    let fact = |name: &str, value: String, note: String| Fact { name: name.to_owned(), value, note };
    let mut facts = Vec::new();
    let best = content.best();
    if let Some((trial, value)) = best.and_then(|t| Some((t, t.value?))) {
        let epoch = trial.best_epoch.map_or_else(String::new, |e| format!(", epoch {e}"));
        let interval = trial.interval().map_or_else(String::new, |i| format!(", 95 %: {}", ends(i)));
        facts.push(fact(
            &format!("best {}", state.metric()),
            four(value),
            format!("trial {}{epoch}{interval}", trial.id),
        ));
    }
    let baseline = state.baseline().and_then(|t| t.value);
    if let Some((value, baseline)) = best.and_then(|t| t.value).zip(baseline) {
        let gain = value - baseline;
        let relative = match baseline.abs() {
            base if base > 1e-12 => format!("{:+.0} %, ", 100.0 * gain / base),
            _ => String::new(),
        };
        let note = format!("{relative}the spec as written has {}", four(baseline));
        facts.push(fact("against the baseline", format!("{gain:+.4}"), note));
    }
    if let Some(value) = state.pretrained() {
        facts.push(fact("before training", four(value), "the model that trials start from".to_owned()));
    }
    let counts = state.counts();
    let planned = state.meta.as_ref().map_or(0, |m| m.max_trials);
    let parts = [
        (counts.completed, "completed"),
        (counts.pruned, "pruned"),
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
        (counts.running, "running"),
        (counts.paused, "paused"),
        (counts.queued, "queued"),
    ];
    let parts: Vec<String> = parts.iter().filter(|p| p.0 > 0).map(|(n, what)| format!("{n} {what}")).collect();
    facts.push(fact("trials", format!("{} of {planned}", counts.done()), parts.join(", ")));
    let epochs = state.epochs();
    let note = format!("{} device hours, {epochs} epochs", content.device_hours());
    facts.push(fact("time", units::duration(content.elapsed()), note));
    if let Some(promotion) = &state.promotion {
        let value = match () {
            () if promotion.is_done() => "done",
            () if promotion.has_failed() => "failed",
            () => "under way",
        };
        facts.push(fact("promotion", value.to_owned(), format!("trial {}", promotion.trial)));
    }
    facts
}

/// Whether tuning helped, in a sentence that does not promise more than the figures do.
pub fn verdict(content: &Content<'_>) -> String {
    let (Some(best), Some(baseline)) = (content.best(), content.state.baseline()) else {
        return match content.best() {
            Some(best) => {
                format!("Trial {} is the best so far; the baseline has no value to compare it with.", best.id)
            }
            None => "No trial has ended with a value yet.".to_owned(),
        };
    };
    if best.id == baseline.id {
        return "No trial beats the spec as written.".to_owned();
    }
    let apart = match (best.interval(), baseline.interval()) {
        (Some(a), Some(b)) if a.low > b.high || a.high < b.low => ", and their 95 % intervals do not overlap",
        (Some(_), Some(_)) => ", but their 95 % intervals overlap: the difference may be chance",
        _ => "",
    };
    let beats = best.value.zip(baseline.value).is_some_and(|(v, b)| content.state.direction().is_better(v, b));
    if beats {
        format!("Trial {} beats the spec as written{apart}.", best.id)
    } else {
        format!("Trial {} stands first, although its value is not above the baseline's.", best.id)
    }
}

/// What a key is in the best trial and in the baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// In the spec as written; `·` where it had no effect.
    pub before: String,
    /// In the best trial.
    pub after: String,
    /// How they differ: a factor where both are numbers above zero.
    pub factor: String,
}

/// What the best trial does differently from the baseline, and the searched keys that stayed as they were.
pub fn changes(content: &Content<'_>) -> (Vec<Change>, Vec<String>) {
    let (Some(best), Some(baseline)) = (content.best(), content.baseline()) else { return Default::default() };
    let (mut changes, mut same) = (Vec::new(), Vec::new());
    for key in content.keys() {
        let value = |t: &TrialState| t.adjusted.get(&key).or_else(|| t.params.get(&key)).cloned();
        let (before, after) = (value(baseline), value(best));
        if before == after {
            same.extend(after.map(|v| format!("{key}={}", cell(&v))));
            continue;
        }
        let shown = |v: &Option<Value>| v.as_ref().map_or("·".to_owned(), cell);
        let numbers = before.as_ref().and_then(Value::as_f64).zip(after.as_ref().and_then(Value::as_f64));
        let factor = match numbers {
            Some((a, b)) if a > 0.0 && b > 0.0 && b >= a => format!("×{}", three(b / a)),
            Some((a, b)) if a > 0.0 && b > 0.0 => format!("÷{}", three(a / b)),
            _ => String::new(),
        };
        changes.push(Change { before: shown(&before), after: shown(&after), factor, key });
    }
    (changes, same)
}

/// The point of a trial as overrides of the command line, to use it elsewhere.
pub fn overrides(trial: &TrialState) -> String {
    let plain = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let list = trial.params.iter().map(|(k, v)| (k, trial.adjusted.get(k).unwrap_or(v)));
    list.map(|(key, value)| format!("{key}={}", shell(&plain(value)))).collect::<Vec<_>>().join(" ")
}

fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.,/+:".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A line of the leaderboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// The trial.
    pub trial: &'a TrialState,
    /// Rank among trials with a value, from 1.
    pub rank: Option<usize>,
    /// Words about it beside its status: best, baseline, whose point it repeats.
    pub marks: Vec<String>,
}

/// The trials, best first.
pub fn leaderboard<'a>(content: &Content<'a>) -> Vec<Line<'a>> {
    let best = content.best().map(|t| t.id);
    let list = content.state.leaderboard().into_iter().filter_map(|id| content.state.trials.get(&id));
    list.enumerate()
        .map(|(i, trial)| {
            let mut marks = Vec::new();
            if Some(trial.id) == best {
                marks.push("best".to_owned());
            }
            if trial.id == TrialId(0) {
                marks.push(snapshot::origin_name(trial.origin).to_owned());
            }
            marks.extend(trial.repeats.map(|of| format!("repeats {of}")));
            marks.extend(trial.at_rung.then(|| "at a rung".to_owned()));
            Line { trial, rank: trial.value.map(|_| i + 1), marks }
        })
        .collect()
}

/// A trial that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The trial.
    pub trial: TrialId,
    /// The code of the failure.
    pub kind: String,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// How often it was started.
    pub attempts: u32,
}

/// Trials that failed or whose journal is damaged, in their order.
pub fn troubles(content: &Content<'_>) -> Vec<Trouble> {
    let trials = content.state.trials.values();
    trials
        .flat_map(|t| {
            let trouble = |kind: &str, message: &str, help: &str| Trouble {
                trial: t.id,
                kind: kind.to_owned(),
                message: message.to_owned(),
                help: help.to_owned(),
                attempts: t.attempt,
            };
            let failure = t.failure.as_ref().map(|f| trouble(f.kind.code(), &f.message, f.kind.help()));
            let damage = t
                .damage
                .as_ref()
                .map(|why| trouble("damaged journal", why, "`cliptune store check STUDY_DIR` names all damage"));
            failure.into_iter().chain(damage)
        })
        .collect()
}

/// Four decimals.
pub fn four(value: f64) -> String {
    format!("{value:.4}")
}

/// Both ends of an interval.
pub fn ends(interval: Interval) -> String {
    format!("{:.4}–{:.4}", interval.low, interval.high)
}

/// Three significant digits.
fn three(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// The heading of a column for a parameter.
pub fn column(key: &str) -> &str {
    short(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_quotes_what_a_shell_would_read_otherwise() {
        assert_eq!(
            [shell("1e-4"), shell("a b"), shell("$(rm)"), shell("it's"), shell("")],
            ["1e-4", "'a b'", "'$(rm)'", "'it'\\''s'", "''"]
        );
    }
}
