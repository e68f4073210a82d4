//! Progress of a running study on stderr: bars where people look at a terminal, one line a happening elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::news::{News, point};
use crate::base::ids::TrialId;
use crate::base::time::{Timestamp, seconds_between};
use crate::base::units;
use crate::state::{StudyState, TrialState};
use crate::study::eta;

/// Prints one line.
pub type Print = Box<dyn FnMut(&str) + Send>;

/// Cells of a bar.
const BAR: &str = "{bar:24}";
/// Positions of a trial's bar: finer than epochs, so that it moves within one.
const TRIAL_STEPS: u64 = 1000;

/// Shows how a study goes.
pub struct Progress {
    news: News,
    show: Show,
}

enum Show {
    Lines(Print),
    Bars(Bars),
}

struct Bars {
    all: MultiProgress,
    study: ProgressBar,
    /// Trials that were over, and the moment, when the study's line was made: its estimate takes milliseconds.
    summed_up: Option<(usize, Timestamp)>,
    trials: BTreeMap<TrialId, ProgressBar>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self.show, Show::Bars(_)) { "bars" } else { "lines" };
        f.debug_struct("Progress").field("show", &kind).finish_non_exhaustive()
    }
}

impl Progress {
    /// One line a happening, through `print`.
    pub fn lines(print: Print) -> Self {
        Self { news: News::default(), show: Show::Lines(print) }
    }

    /// Bars among `all`, with the same lines above them.
    pub fn bars(all: MultiProgress) -> Self {
        let study = all.add(ProgressBar::new(0)).with_style(style(&format!("{BAR} {{pos}}/{{len}} trials  {{msg}}")));
        Self { news: News::default(), show: Show::Bars(Bars { all, study, summed_up: None, trials: BTreeMap::new() }) }
    }

    /// What a study went through before is not told again; of one that has trials, one line says where it stands.
    #[must_use]
    pub fn after(mut self, state: &StudyState) -> Self {
        self.news.of(state);
        if !state.trials.is_empty() {
            let best = state.best().and_then(|t| Some(format!(", best {:.4} (trial {})", t.value?, t.id)));
            let done = format!("{} of {} over", state.counts().done(), units::plural(state.trials.len(), "trial"));
            self.tell(&[format!("so far: {done}{}", best.unwrap_or_default())]);
        }
        self
    }

    fn tell(&mut self, lines: &[String]) {
        match &mut self.show {
            Show::Lines(print) => lines.iter().for_each(|line| print(line)),
            Show::Bars(bars) => lines.iter().for_each(|line| {
                let _ = bars.all.println(line);
            }),
        }
    }

    /// Shows the state of the study; cheap enough to be called several times a second.
    pub fn update(&mut self, state: &StudyState, now: Timestamp) {
        let lines = self.news.of(state);
        self.tell(&lines);
        if let Show::Bars(bars) = &mut self.show {
            bars.update(state, now);
        }
    }

    /// Takes the bars away; what was told stays.
    pub fn finish(&mut self) {
        if let Show::Bars(bars) = &mut self.show {
            for (_, bar) in std::mem::take(&mut bars.trials) {
                bar.finish_and_clear();
            }
            bars.study.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Bars {
    fn update(&mut self, state: &StudyState, now: Timestamp) {
        let planned = state.meta.as_ref().map_or(0, |m| m.max_trials as usize).max(state.trials.len());
        self.study.set_length(planned as u64);
        let done = state.counts().done();
        self.study.set_position(done as u64);
        if self.summed_up.is_none_or(|(of, at)| of != done || seconds_between(at, now) >= 1.0) {
            self.study.set_message(summary(state, now));
            self.summed_up = Some((done, now));
        }
        for trial in state.trials.values() {
            if trial.state.is_active() {
                let bar = self.trials.entry(trial.id).or_insert_with(|| {
                    let bar = self.all.add(ProgressBar::new(TRIAL_STEPS));
                    bar.set_style(style(&format!("{BAR} {{msg}}")));
                    bar
                });
                bar.set_position((trial.progress() * TRIAL_STEPS as f64) as u64);
                bar.set_message(now_training(trial));
            } else if let Some(bar) = self.trials.remove(&trial.id) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates above are constants; a broken one would only fall back to the default look.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `best 0.7312 (trial 0007)  1:02  ETA 3:05`.
fn summary(state: &StudyState, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if let Some((trial, value)) = state.best().and_then(|t| Some((t.id, t.value?))) {
        parts.push(format!("best {value:.4} (trial {trial})"));
    }
    parts.push(units::duration(state.elapsed(now)));
    if let Some(left) = eta::remaining(state, now) {
        parts.push(format!("ETA {}", left.shown()));
    }
    parts.join("  ")
}

/// `0011 epoch 3/10  0.7104  412 images/s  vision_lr=1e-4`.
fn now_training(trial: &TrialState) -> String {
    let epoch = trial.heartbeat.as_ref().map_or(trial.epochs, |h| h.epoch).min(trial.budget);
    let value = trial.value.map_or_else(String::new, |v| format!("  {v:.4}"));
    let speed = trial.heartbeat.as_ref().map(|h| h.images_per_s).filter(|s| *s > 0.0);
    let speed = speed.map_or_else(String::new, |s| format!("  {s:.0} images/s"));
    format!("{} epoch {epoch}/{}{value}{speed}  {}", trial.id, trial.budget, point(&trial.params))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::base::process::ProcessRef;
    use crate::journal::event::{Direction, JobEvent, Line, Params, PointOrigin, Slot, StudyEvent, TrialEnd};
    use crate::journal::failure::{Failure, FailureKind};

    const ME: ProcessRef = ProcessRef { pid: 1, start_ticks: 1 };

    fn line<E>(event: E) -> Line<E> {
        Line { v: 1, seq: 0, ts: Timestamp::UNIX_EPOCH, event }
    }

    fn apply(state: &mut StudyState, event: StudyEvent) {
        let seq = state.next_seq;
        state.apply(&Line { seq, ..line(event) });
    }

    fn created() -> StudyState {
        let mut state = StudyState::new();
        apply(
            &mut state,
            StudyEvent::StudyCreated {
                name: "s".to_owned(),
                spec_hash: String::new(),
                seed: 0,
                sampler: "gp".to_owned(),
                metric: "val/t2i_mAP".to_owned(),
                direction: Direction::Maximize,
                max_trials: 2,
                max_epochs: 2,
                fixed: Params::new(),
                scheduler: "none".to_owned(),
                rungs: Vec::new(),
                objectives: Vec::new(),
            },
        );
        state
    }

    fn launch(state: &mut StudyState, id: u32, params: Params) {
        let trial = TrialId(id);
        apply(
            state,
            StudyEvent::TrialSuggested {
                trial,
                params,
                origin: PointOrigin::Sampler,
                budget: 2,
                repeats: None,
                expected_gain: None,
            },
        );
        apply(state, StudyEvent::JobLaunched { trial, attempt: 1, process: ME, slot: Slot::default(), batch: None });
    }

    fn validated(state: &mut StudyState, id: u32, epoch: u32, value: Option<f64>) {
        let metrics = [("val/t2i_mAP".to_owned(), value)].into();
        state.apply_job(
            TrialId(id),
            &line(JobEvent::Validated { epoch, step: 0, metrics, intervals: Default::default(), seconds: 0.0 }),
        );
    }

    fn ended(state: &mut StudyState, id: u32, end: TrialEnd, value: Option<f64>, failure: Option<Failure>) {
        let best_epoch = value.map(|_| 1);
        let event = StudyEvent::TrialEnded { trial: TrialId(id), state: end, value, best_epoch, epochs: 1, failure };
        apply(state, event);
    }

    #[test]
    fn lines_each_happening_is_told_once() {
        let told = Arc::new(Mutex::new(Vec::<String>::new()));
        let sink = Arc::clone(&told);
        let mut progress = Progress::lines(Box::new(move |text| sink.lock().unwrap().push(text.to_owned())));
        let mut look = |state: &StudyState| {
            progress.update(state, Timestamp::UNIX_EPOCH);
            progress.update(state, Timestamp::UNIX_EPOCH);
            std::mem::take(&mut *told.lock().unwrap())
        };
        let mut state = created();
        assert!(look(&state).is_empty());
        launch(&mut state, 0, Params::new());
        launch(&mut state, 1, [("train.optim.vision_lr".to_owned(), serde_json::json!(1e-4))].into());
        assert_eq!(look(&state), ["trial 0000 started: the spec as written", "trial 0001 started: vision_lr=1e-4"]);
        validated(&mut state, 0, 0, Some(0.25));
        validated(&mut state, 0, 1, None);
        assert_eq!(
            look(&state),
            ["trial 0000 epoch 0/2: val/t2i_mAP 0.2500", "trial 0000 epoch 1/2: val/t2i_mAP not finite"]
        );
        ended(&mut state, 0, TrialEnd::Completed, Some(0.5), None);
        let failure = Failure::new(FailureKind::OutOfMemory, "batch 64 does not fit");
        ended(&mut state, 1, TrialEnd::Failed, None, Some(failure));
        apply(&mut state, StudyEvent::StudyEnded { reason: "every trial is over".to_owned() });
        let lines = look(&state);
        assert_eq!(lines[0], "trial 0000 completed: 0.5000 at epoch 1");
        assert_eq!(lines[1], "trial 0001 failed: batch 64 does not fit (out_of_memory)");
        assert!(lines[2].contains("batch_size"), "{}", lines[2]);
        assert_eq!(lines[3..], ["best so far: trial 0000, 0.5000", "study ended: every trial is over"]);
    }

    #[test]
    fn lines_of_a_study_that_goes_on_begin_with_where_it_stands() {
        let told = Arc::new(Mutex::new(Vec::<String>::new()));
        let sink = Arc::clone(&told);
        let print = || -> Print {
            let sink = Arc::clone(&sink);
            Box::new(move |text| sink.lock().unwrap().push(text.to_owned()))
        };
        let mut state = created();
        let _ = Progress::lines(print()).after(&state);
        assert!(told.lock().unwrap().is_empty(), "nothing has happened");
        launch(&mut state, 0, Params::new());
        validated(&mut state, 0, 0, Some(0.25));
        ended(&mut state, 0, TrialEnd::Completed, Some(0.5), None);
        launch(&mut state, 1, Params::new());
        let mut progress = Progress::lines(print()).after(&state);
        validated(&mut state, 1, 0, Some(0.125));
        progress.update(&state, Timestamp::UNIX_EPOCH);
        assert_eq!(
            *told.lock().unwrap(),
            ["so far: 1 of 2 trials over, best 0.5000 (trial 0000)", "trial 0001 epoch 0/2: val/t2i_mAP 0.1250"]
        );
    }

    #[test]
    fn bars_follow_running_trials_and_go_with_them() {
        let hidden = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        let mut progress = Progress::bars(hidden);
        let mut state = created();
        launch(&mut state, 0, Params::new());
        validated(&mut state, 0, 1, Some(0.5));
        progress.update(&state, Timestamp::UNIX_EPOCH);
        let Show::Bars(bars) = &progress.show else { panic!("these are bars") };
        assert_eq!(bars.study.length(), Some(2));
        assert!(bars.trials[&TrialId(0)].message().contains("0000 epoch 0/2  0.5000"));
        ended(&mut state, 0, TrialEnd::Completed, Some(0.5), None);
        progress.update(&state, Timestamp::UNIX_EPOCH);
        let Show::Bars(bars) = &progress.show else { panic!("these are bars") };
        assert!(bars.trials.is_empty());
        assert_eq!(bars.study.position(), 1);
        assert!(bars.study.message().starts_with("best 0.5000 (trial 0000)"));
    }
}
