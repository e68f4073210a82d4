//! The `select` action: what might be promoted is made of the checkpoints on offer, measured on the validation set, and the
//! best of it, confirmed on a second set where there is one, becomes a checkpoint of its own.
//!
//! Invariant: nothing but the best checkpoint itself is chosen unless it measures better.

mod bench;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, json};

use super::artifact;
use crate::base::files::{self, with_path};
use crate::journal::checkpoint;
use crate::journal::event::{Direction, JobEvent, Outcome};
use crate::journal::failure::Failure;
use crate::journal::job::Job;
use crate::journal::layout::{CheckpointDir, JobDir};
use crate::journal::selection::{self, Candidate, Offer, Origin, Part, Selection};
use crate::journal::writer::Writer;
use crate::model::weights;
use crate::spec::Spec;
use bench::{Bench, On, Set};

/// Runs the action.
///
/// # Errors
/// When the best checkpoint itself cannot be measured, or a file not be written.
pub fn run(
    job: &Job,
    dir: &JobDir,
    spec: &Spec,
    events: &mut Writer<JobEvent>,
    stop: &AtomicBool,
) -> Result<Outcome, Failure> {
    let offer: Offer = selection::read(&dir.offer())?;
    let bench = Bench::open(job, spec, &offer, stop)?;
    for (set, split) in [(Some(&bench.val), "val"), (bench.second.as_ref(), "second")] {
        let Some(Set { pairs, .. }) = set else { continue };
        let (seconds, cached) = (pairs.build_seconds(), pairs.from_cache());
        let ready = JobEvent::DataReady { split: split.to_owned(), pairs: pairs.len(), seconds, cached };
        artifact::append(events, ready)?;
    }
    let mut contest = Contest::new(bench, job, dir, offer, events);
    let held = contest.hold(spec);
    if stop.load(Ordering::Relaxed) {
        return Ok(Outcome::Stopped { why: "asked to stop; what was measured is kept".into() });
    }
    held?;
    if contest.selection.is_mixture() {
        contest.keep(&dir.mixture())?;
    }
    artifact::announce(contest.events, "selection", &dir.selection())?;
    Ok(Outcome::Completed)
}

/// The measuring of everything that might be promoted.
struct Contest<'a> {
    bench: Bench<'a>,
    selection: Selection,
    /// What an interrupted attempt measured of the same offer.
    known: Vec<Candidate>,
    dir: &'a JobDir,
    events: &'a mut Writer<JobEvent>,
}

impl<'a> Contest<'a> {
    fn new(bench: Bench<'a>, job: &Job, dir: &'a JobDir, offer: Offer, events: &'a mut Writer<JobEvent>) -> Self {
        let earlier = selection::read::<Selection>(&dir.selection()).ok();
        let same = |s: &Selection| s.chosen.is_none() && s.offer == offer && s.metric == job.metric;
        let known = earlier.filter(same).map(|s| s.candidates).unwrap_or_default();
        let selection = Selection {
            offer,
            metric: job.metric.clone(),
            direction: job.direction,
            candidates: Vec::new(),
            chosen: None,
            notes: Vec::new(),
        };
        Self { bench, selection, known, dir, events }
    }

    fn hold(&mut self, spec: &Spec) -> Result<(), Failure> {
        let best = self.selection.offer.best.trial;
        let whole = Part { of: Origin::Trial(best), share: 1.0 };
        self.measure(format!("trial {best}"), vec![whole])?;
        let wants = |name: &str| spec.automl.promote_candidates.iter().any(|c| c == name);
        if wants("raw") && self.bench.has_raw() {
            let raw = Part { of: Origin::Raw, share: 1.0 };
            self.measure(format!("trial {best} without averaging"), vec![raw])?;
        }
        if wants("interpolation") {
            match self.bench.start_missing().map(str::to_owned) {
                Some(why) => self.leave_out(format!("no interpolation with the start weights: {why}"))?,
                None => {
                    for &share in &spec.automl.promote_alphas {
                        let parts = vec![
                            Part { of: Origin::Trial(best), share },
                            Part { of: Origin::Start, share: 1.0 - share },
                        ];
                        self.measure(format!("{share} × trial {best} + {:.4} × start", 1.0 - share), parts)?;
                    }
                }
            }
        }
        if wants("soup") {
            self.soup()?;
        }
        self.choose()
    }

    /// The greedy soup: further checkpoints join the average one after the other, those that make it worse leave again.
    fn soup(&mut self) -> Result<(), Failure> {
        let (best, direction) = (self.selection.offer.best.trial, self.selection.direction);
        let mut trials = vec![best];
        let mut reached = self.value(0);
        for ingredient in self.selection.offer.further.clone() {
            if let Err(why) = self.bench.add(&ingredient) {
                self.leave_out(format!("trial {} is in no soup: {why}", ingredient.trial))?;
                continue;
            }
            trials.push(ingredient.trial);
            let share = 1.0 / trials.len() as f64;
            let parts = trials.iter().map(|id| Part { of: Origin::Trial(*id), share }).collect();
            let names: Vec<String> = trials.iter().map(ToString::to_string).collect();
            let at = self.measure(format!("average of trials {}", names.join(", ")), parts)?;
            let value = self.value(at);
            let is_worse = match (value, reached) {
                (Some(value), Some(reached)) => direction.is_better(reached, value),
                (value, _) => value.is_none(),
            };
            if is_worse {
                trials.pop();
            } else {
                reached = value;
            }
        }
        Ok(())
    }

    /// The candidate that measures best. With a second set: the best one that is no worse there than the best checkpoint.
    fn choose(&mut self) -> Result<(), Failure> {
        let direction = self.selection.direction;
        let mut better: Vec<(usize, f64)> = (1..self.selection.candidates.len())
            .filter_map(|i| Some((i, self.value(i)?)))
            .filter(|(_, value)| self.value(0).is_none_or(|best| direction.is_better(*value, best)))
            .collect();
        // Of equals the first, which is the simplest.
        better.sort_by(|(_, a), (_, b)| match direction {
            Direction::Maximize => b.total_cmp(a),
            Direction::Minimize => a.total_cmp(b),
        });
        let mut chosen = 0;
        if self.bench.second.is_none() {
            chosen = better.first().map_or(0, |(i, _)| *i);
        } else {
            let least = self.measure_second(0)?;
            for (i, _) in better {
                let value = self.measure_second(i)?;
                let holds = value.is_some_and(|v| least.is_none_or(|least| !direction.is_better(least, v)));
                if holds {
                    chosen = i;
                    break;
                }
            }
        }
        self.selection.chosen = Some(chosen);
        artifact::note(self.events, format!("chosen: {}", self.selection.candidates[chosen].name))?;
        self.save()
    }

    /// Measures a mixture and returns its place among the candidates.
    fn measure(&mut self, name: String, parts: Vec<Part>) -> Result<usize, Failure> {
        let known = self.known.iter().find(|c| c.parts == parts).map(|c| c.metrics.clone());
        let metrics = match known {
            Some(metrics) => metrics,
            None => {
                self.bench.mix(&parts)?;
                self.bench.measure(On::Validation, &self.selection.metric)?
            }
        };
        let candidate = Candidate { name, parts, metrics, second: None };
        let value = candidate.value(&self.selection.metric).map_or("not finite".to_owned(), |v| format!("{v:.4}"));
        artifact::note(self.events, format!("{} {value}: {}", self.selection.metric, candidate.name))?;
        self.selection.candidates.push(candidate);
        self.save()?;
        Ok(self.selection.candidates.len() - 1)
    }

    fn measure_second(&mut self, at: usize) -> Result<Option<f64>, Failure> {
        self.bench.mix(&self.selection.candidates[at].parts)?;
        let metrics = self.bench.measure(On::Second, &self.selection.metric)?;
        let candidate = &mut self.selection.candidates[at];
        candidate.second = Some(metrics);
        let value = candidate.second(&self.selection.metric);
        let (name, metric) = (candidate.name.clone(), &self.selection.metric);
        let shown = value.map_or("not finite".to_owned(), |v| format!("{v:.4}"));
        artifact::note(self.events, format!("{metric} {shown} on the second set: {name}"))?;
        self.save()?;
        Ok(value)
    }

    fn value(&self, at: usize) -> Option<f64> {
        self.selection.candidates.get(at)?.value(&self.selection.metric)
    }

    fn leave_out(&mut self, why: String) -> Result<(), Failure> {
        artifact::note(self.events, why.as_str())?;
        self.selection.notes.push(why);
        self.save()
    }

    fn save(&self) -> Result<(), Failure> {
        Ok(selection::write(&self.dir.selection(), &self.selection)?)
    }

    /// Writes the chosen weights as a sealed checkpoint.
    fn keep(&mut self, to: &Path) -> Result<(), Failure> {
        let Some(chosen) = self.selection.chosen().cloned() else { return Ok(()) };
        self.bench.mix(&chosen.parts)?;
        let staging = files::StagingFolder::beside(to)?;
        let folder = CheckpointDir(staging.path().join("checkpoint"));
        std::fs::create_dir(folder.path()).map_err(with_path(folder.path()))?;
        self.bench.model.save_folder(folder.path())?;
        self.bench.tokenizer.save(folder.path())?;
        checkpoint::seal(&folder, Map::from_iter([("made_of".to_owned(), json!(chosen.parts))]))?;
        files::replace_folder(folder.path(), to)?;
        artifact::announce(self.events, "weights", &to.join(weights::FILE))
    }
}
