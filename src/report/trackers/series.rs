//! What a worker reported, row by row with its time, step and epoch: the journal of a trial with attempts that were continued
//! from a checkpoint joined into one.

use std::path::Path;

use crate::base::time::Timestamp;
use crate::journal::event::{JobEvent, Line};
use crate::journal::tail::Tail;

/// Values that were measured at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When.
    pub ts: Timestamp,
    /// Epochs so far.
    pub epoch: u32,
    /// Optimiser steps so far.
    pub step: u64,
    /// Whether an epoch of training ended, rather than a validation.
    pub is_epoch: bool,
    /// Seconds that it took.
    pub seconds: f64,
    /// The values by name; those that were not finite are left out.
    pub values: Vec<(String, f64)>,
}

/// The rows of a trial, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The rows.
    pub rows: Vec<Row>,
    /// When its first worker said that it runs.
    pub started: Option<Timestamp>,
}

impl Series {
    /// The rows of a worker's journal; empty when it is missing or damaged.
    pub fn read(events: &Path) -> Self {
        let mut series = Self::default();
        for line in Tail::new(events).read::<JobEvent>().unwrap_or_default() {
            series.fold(&line);
        }
        series
    }

    fn fold(&mut self, line: &Line<JobEvent>) {
        match &line.event {
            JobEvent::JobStarted { resumed_from, resumed_step, .. } => {
                self.started.get_or_insert(line.ts);
                // What comes after the checkpoint that an attempt goes on from happens once more.
                let kept = resumed_from.unwrap_or(0);
                let step = *resumed_step;
                self.rows.retain(|r| {
                    let stays =
                        if r.is_epoch { r.epoch <= kept } else { step.map_or(r.epoch <= kept, |s| r.step <= s) };
                    resumed_from.is_some() && stays
                });
            }
            JobEvent::Validated { epoch, step, metrics, seconds, .. } => {
                let finite = metrics.iter().filter_map(|(name, v)| Some((name.clone(), (*v)?)));
                self.push(line.ts, *epoch, *step, false, *seconds, finite.collect());
            }
            JobEvent::EpochEnded { epoch, step, loss, vision_lr, text_lr, images_per_s, seconds, data_wait_share } => {
                let mut values = vec![
                    ("train/vision_lr".to_owned(), *vision_lr),
                    ("train/text_lr".to_owned(), *text_lr),
                    ("perf/images_per_s".to_owned(), *images_per_s),
                    ("epoch".to_owned(), f64::from(*epoch)),
                ];
                values.extend(loss.map(|loss| ("train/loss".to_owned(), loss)));
                values.extend(data_wait_share.map(|share| ("perf/data_wait_share".to_owned(), share)));
                self.push(line.ts, *epoch, *step, true, *seconds, values);
            }
            _ => {}
        }
    }

    fn push(&mut self, ts: Timestamp, epoch: u32, step: u64, is_epoch: bool, seconds: f64, values: Vec<(String, f64)>) {
        let values = values.into_iter().filter(|(_, v)| v.is_finite()).collect();
        self.rows.push(Row { ts, epoch, step, is_epoch, seconds, values });
    }

    /// When its last row was written.
    pub fn last(&self) -> Option<Timestamp> {
        self.rows.last().map(|r| r.ts)
    }
}

/// Seconds since 1970.
pub(super) fn seconds(ts: Timestamp) -> f64 {
    ts.as_microsecond() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::process::ProcessRef;

    fn fold(series: &mut Series, event: JobEvent) {
        series.fold(&Line { v: 2, seq: 0, ts: Timestamp::UNIX_EPOCH, event });
    }

    fn started(resumed: Option<(u32, u64)>) -> JobEvent {
        JobEvent::JobStarted {
            process: ProcessRef { pid: 1, start_ticks: 1 },
            host: "h".to_owned(),
            attempt: 1,
            device: "cpu".to_owned(),
            threads: 1,
            resumed_from: resumed.map(|r| r.0),
            resumed_step: resumed.map(|r| r.1),
        }
    }

    fn validated(epoch: u32, step: u64, value: f64) -> JobEvent {
        let metrics = [("m".to_owned(), Some(value))].into();
        JobEvent::Validated { epoch, step, metrics, intervals: Default::default(), seconds: 1.0 }
    }

    #[test]
    fn rows_after_the_checkpoint_of_a_continued_attempt_are_replaced() {
        let mut series = Series::default();
        fold(&mut series, started(None));
        for (epoch, value) in [(0, 0.1), (1, 0.2), (2, f64::NAN), (3, 0.9)] {
            fold(&mut series, validated(epoch, 8 * u64::from(epoch), value));
        }
        fold(&mut series, started(Some((2, 16))));
        fold(&mut series, validated(3, 24, 0.4));
        let rows: Vec<_> = series.rows.iter().map(|r| (r.step, r.values.first().map(|v| v.1))).collect();
        assert_eq!(rows, [(0, Some(0.1)), (8, Some(0.2)), (16, None), (24, Some(0.4))]);
        fold(&mut series, started(None));
        assert!(series.rows.is_empty());
    }
}
