//! The heartbeat: a thread that says every two seconds how far the job is, and looks whether it is asked to stop.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::signals::Signals;
use crate::base::machine::Gauge;
use crate::base::process::{ProcessRef, host};
use crate::base::time::{Clock, SystemClock};
use crate::journal::heartbeat::{Heartbeat, PERIOD_S};
use crate::journal::layout::JobDir;
use crate::train::Progress;

/// A running heartbeat; dropping it ends the thread after a last beat.
#[derive(Debug)]
pub(super) struct Beat {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beat {
    /// Starts to beat. Without a thread the job runs all the same, only unseen.
    pub(super) fn start(dir: &JobDir, process: ProcessRef, progress: Arc<Progress>, signals: Signals) -> Self {
        let (end, ended) = channel::<()>();
        let (path, host) = (dir.heartbeat(), host());
        let work = move || {
            let mut gauge = Gauge::default();
            loop {
                signals.look();
                // A full disk or a missing folder is told by the job itself, when it matters.
                let _ = beat(process, &host, &progress, &mut gauge).write(&path);
                if ended.recv_timeout(Duration::from_secs_f64(PERIOD_S)) != Err(RecvTimeoutError::Timeout) {
                    let _ = beat(process, &host, &progress, &mut gauge).write(&path);
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(work).ok();
        Self { end: Some(end), thread }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn beat(process: ProcessRef, host: &str, progress: &Progress, gauge: &mut Gauge) -> Heartbeat {
    Heartbeat {
        process,
        host: host.to_owned(),
        ts: SystemClock.now(),
        epoch: progress.epoch(),
        step: progress.step(),
        total_steps: progress.total_steps(),
        images_per_s: progress.images_per_s(),
        loss: progress.loss(),
        machine: gauge.look(),
    }
}
