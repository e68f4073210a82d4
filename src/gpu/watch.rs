//! GPUs while a study runs: samples for the journal, and neighbours that one must not get in the way of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::driver::{GpuProcess, GpuSample, Reading};
use super::inventory::Inventory;

/// Seconds between two looks at the GPUs.
const LOOK: Duration = Duration::from_secs(5);
/// The first pause between two samples in the journal; it doubles after every [`ROUND`] samples, so that a study of weeks
/// has a few thousand of them.
const PAUSE: Duration = Duration::from_secs(60);
const ROUND: u32 = 500;
/// Share of a GPU's memory that somebody unseen may hold (a display, another container's context) before it counts as used.
const TOLERATED: f64 = 0.1;

/// The GPUs of a study, watched.
#[derive(Debug)]
pub struct Watch {
    inventory: Inventory,
    avoid: bool,
    looked: Option<Instant>,
    sampled: Option<Instant>,
    samples: u32,
    busy: BTreeMap<u32, String>,
}

/// What a look at the GPUs brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Samples that belong into the journal now.
    pub samples: Vec<GpuSample>,
    /// What people should know: a neighbour came or went.
    pub notes: Vec<String>,
}

impl Watch {
    /// Watches these GPUs; neighbours are avoided when `avoid` says so.
    pub fn new(inventory: Inventory, avoid: bool) -> Self {
        Self { inventory, avoid, looked: None, sampled: None, samples: 0, busy: BTreeMap::new() }
    }

    /// GPUs that somebody else uses, as of the last look.
    pub fn busy(&self) -> Vec<u32> {
        self.busy.keys().copied().collect()
    }

    /// Whether there is something to look at, and the last look is a while ago.
    pub fn is_due(&self) -> bool {
        !self.inventory.gpus().is_empty() && self.looked.is_none_or(|at| at.elapsed() >= LOOK)
    }

    /// Looks at the GPUs. `ours` are the process groups of the study's workers and `used`
    /// the GPUs they are on.
    pub fn look(&mut self, ours: &[u32], used: &[u32]) -> News {
        self.looked = Some(Instant::now());
        let readings = self.inventory.readings();
        let mut news = News::default();
        if self.avoid {
            let busy: BTreeMap<u32, String> = readings
                .iter()
                .filter_map(|r| Some((r.sample.index, neighbour(r, ours, used.contains(&r.sample.index), &group_of)?)))
                .collect();
            news.notes = differences(&self.busy, &busy);
            self.busy = busy;
        }
        let pause = PAUSE * 2_u32.pow((self.samples / ROUND).min(12));
        if !used.is_empty() && self.sampled.is_none_or(|at| at.elapsed() >= pause) {
            self.sampled = Some(Instant::now());
            self.samples += 1;
            news.samples = readings.into_iter().map(|r| r.sample).filter(|s| used.contains(&s.index)).collect();
        }
        news
    }
}

/// Who else uses a GPU, in words. A driver outside of this container names pids that mean nothing here; memory that nobody
/// of ours can hold then gives a neighbour away.
fn neighbour(reading: &Reading, ours: &[u32], is_used: bool, group_of: &dyn Fn(u32) -> Option<u32>) -> Option<String> {
    let is_foreign = |p: &&GpuProcess| group_of(p.pid).is_some_and(|group| !ours.contains(&group));
    if let Some(process) = reading.processes.iter().find(is_foreign) {
        return Some(format!("process {} uses it", process.pid));
    }
    let GpuSample { memory_used, memory_total, .. } = reading.sample;
    let is_full = memory_total > 0 && memory_used as f64 > TOLERATED * memory_total as f64;
    (!is_used && is_full).then(|| {
        let share = 100.0 * memory_used as f64 / memory_total as f64;
        format!("{share:.0} % of its memory is in use")
    })
}

fn differences(before: &BTreeMap<u32, String>, now: &BTreeMap<u32, String>) -> Vec<String> {
    let came = now.iter().filter(|(gpu, _)| !before.contains_key(gpu));
    let went = before.keys().filter(|gpu| !now.contains_key(gpu));
    came.map(|(gpu, who)| format!("GPU {gpu} is left alone: {who} (automl.avoid_busy_gpus)"))
        .chain(went.map(|gpu| format!("GPU {gpu} is free again")))
        .collect()
}

/// The process group of a pid; `None` when there is no such process here.
fn group_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.get(stat.rfind(')')? + 2..)?.split(' ').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::driver::{Device, Driver};
    use std::cell::Cell;
    use std::rc::Rc;

    /// Readings as they were recorded, one set after the other.
    #[derive(Debug)]
    struct Recorded(Vec<Vec<Reading>>, Rc<Cell<usize>>);

    impl Driver for Recorded {
        fn devices(&self) -> Vec<Device> {
            let of = |r: &Reading| Device {
                index: r.sample.index,
                uuid: format!("GPU-{}", r.sample.index),
                name: "recorded".to_owned(),
                memory: r.sample.memory_total,
            };
            self.0[0].iter().map(of).collect()
        }
        fn reading(&self, index: u32) -> Option<Reading> {
            self.0[self.1.get()].iter().find(|r| r.sample.index == index).cloned()
        }
    }

    fn reading(index: u32, used_gib: u64, pids: &[u32]) -> Reading {
        Reading {
            sample: GpuSample {
                index,
                utilisation: 50,
                memory_used: used_gib << 30,
                memory_total: 80 << 30,
                power: Some(300.0),
                temperature: Some(60),
            },
            processes: pids.iter().map(|pid| GpuProcess { pid: *pid, memory: 1 << 30 }).collect(),
        }
    }

    #[test]
    fn neighbours_are_told_from_our_own_workers() {
        // Pids 10 and 11 belong to our group 10; 20 is somebody else; 99 is of another namespace.
        let group = |pid| match pid {
            10 | 11 => Some(10),
            20 => Some(20),
            _ => None,
        };
        let who = |r: &Reading, used| neighbour(r, &[10], used, &group);
        assert_eq!(who(&reading(0, 40, &[10, 11]), true), None);
        assert_eq!(who(&reading(0, 40, &[10, 20]), true), Some("process 20 uses it".to_owned()));
        assert_eq!(who(&reading(0, 40, &[99]), true), None, "our own worker, seen from outside of its container");
        assert_eq!(who(&reading(0, 40, &[99]), false), Some("50 % of its memory is in use".to_owned()));
        assert_eq!(who(&reading(0, 1, &[]), false), None, "a context without work");
    }

    #[test]
    fn group_of_this_process_is_known_and_of_none_is_not() {
        assert!(group_of(std::process::id()).is_some());
        assert_eq!(group_of(u32::MAX), None);
    }

    #[test]
    fn watch_blocks_a_gpu_while_its_neighbour_is_there_and_samples_only_what_is_used() {
        let at = Rc::new(Cell::new(0));
        let recorded =
            vec![vec![reading(0, 1, &[]), reading(1, 60, &[])], vec![reading(0, 30, &[]), reading(1, 1, &[])]];
        let inventory = Inventory::of(Box::new(Recorded(recorded, at.clone())), None);
        let mut watch = Watch::new(inventory, true);
        let news = watch.look(&[], &[0]);
        assert_eq!(watch.busy(), [1]);
        assert_eq!(news.notes.len(), 1);
        assert_eq!(news.samples.iter().map(|s| s.index).collect::<Vec<_>>(), [0]);
        at.set(1);
        assert!(!watch.is_due(), "not again so soon");
        let news = watch.look(&[], &[0]);
        assert!(watch.busy().is_empty());
        assert_eq!(news.notes, ["GPU 1 is free again"]);
        assert!(news.samples.is_empty(), "the next sample is a minute away");
    }
}
