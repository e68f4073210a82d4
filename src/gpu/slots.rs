//! Slots: how many trials run side by side and what each may use. Two running trials never share a slot.

use crate::journal::event::Slot;

use super::inventory::Gpu;

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotPlan {
    /// The GPUs to use, as the driver counts; `None` means all.
    pub gpus: Option<Vec<u32>>,
    /// Trials that share a GPU; 0 counts as 1.
    pub trials_per_gpu: usize,
    /// GPUs of one trial; 0 counts as 1. GPUs that do not make up a whole set are not used.
    pub gpus_per_trial: usize,
    /// Trials side by side on a machine without GPUs; 0 means one a physical core, at most 8.
    pub cpu_slots: usize,
}

/// One slot a GPU (or set of GPUs) and place on it; on the CPU, slots that share the `cores` evenly. Empty when there are
/// GPUs, but fewer than one trial needs.
pub fn plan(wanted: &SlotPlan, gpus: &[Gpu], cores: usize) -> Vec<Slot> {
    let cores = cores.max(1);
    let chosen: Vec<u32> = match &wanted.gpus {
        Some(list) => list.iter().copied().filter(|i| gpus.iter().any(|g| g.index == *i)).collect(),
        None => gpus.iter().map(|g| g.index).collect(),
    };
    // GPUs that are named and not there are no reason to train on the CPU instead.
    if chosen.is_empty() && (gpus.is_empty() || wanted.gpus.as_ref().is_some_and(Vec::is_empty)) {
        let count = if wanted.cpu_slots == 0 { cores.min(8) } else { wanted.cpu_slots };
        let threads = (cores / count).max(1);
        return (0..count).map(|index| Slot { index, gpus: Vec::new(), threads }).collect();
    }
    let places = wanted.trials_per_gpu.max(1);
    // Neighbours by number are neighbours on the board.
    let sets: Vec<&[u32]> = chosen.chunks_exact(wanted.gpus_per_trial.max(1)).collect();
    let threads = (cores / (sets.len() * places).max(1)).max(1);
    (0..places)
        .flat_map(|_| sets.iter())
        .enumerate()
        .map(|(index, set)| Slot { index, gpus: set.to_vec(), threads })
        .collect()
}

/// Physical cores that this process may run on.
pub fn physical_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    match count_cores(&info) {
        0 => allowed,
        // Behind hypervisors that show every virtual CPU as a thread of one core, half of them is still right.
        cores => cores.min(allowed),
    }
}

fn count_cores(cpuinfo: &str) -> usize {
    let mut cores = std::collections::BTreeSet::new();
    let (mut socket, mut core) = (None, None);
    for line in cpuinfo.lines().chain([""]) {
        if line.trim().is_empty() {
            if let (Some(s), Some(c)) = (socket.take(), core.take()) {
                cores.insert((s, c));
            }
            continue;
        }
        let Some((key, value)) = line.split_once(':') else { continue };
        match key.trim() {
            "physical id" => socket = value.trim().parse::<u32>().ok(),
            "core id" => core = value.trim().parse::<u32>().ok(),
            _ => {}
        }
    }
    cores.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_slots_share_the_cores() {
        let auto = plan(&SlotPlan::default(), &[], 2);
        assert_eq!(auto.len(), 2);
        assert!(auto.iter().all(|s| s.threads == 1 && s.gpus.is_empty()));
        let two = plan(&SlotPlan { cpu_slots: 2, ..SlotPlan::default() }, &[], 9);
        assert_eq!(two.iter().map(|s| s.threads).collect::<Vec<_>>(), [4, 4]);
    }

    #[test]
    fn gpu_slots_fill_each_gpu_once_before_sharing() {
        let gpu = |index| Gpu { index, name: String::new(), memory: 0 };
        let wanted = SlotPlan { trials_per_gpu: 2, gpus: Some(vec![0, 3]), ..SlotPlan::default() };
        let slots = plan(&wanted, &[gpu(0), gpu(1), gpu(3)], 16);
        assert_eq!(slots.iter().map(|s| (s.index, s.gpus[0])).collect::<Vec<_>>(), [(0, 0), (1, 3), (2, 0), (3, 3)]);
        assert!(slots.iter().all(|s| s.threads == 4));
    }

    #[test]
    fn trials_of_several_gpus_get_whole_sets() {
        let gpus: Vec<Gpu> = (0..5).map(|index| Gpu { index, name: String::new(), memory: 0 }).collect();
        let wanted = SlotPlan { gpus_per_trial: 2, ..SlotPlan::default() };
        let slots = plan(&wanted, &gpus, 16);
        assert_eq!(slots.iter().map(|s| s.gpus.clone()).collect::<Vec<_>>(), [vec![0, 1], vec![2, 3]]);
        assert!(slots.iter().all(|s| s.threads == 8));
        assert!(plan(&wanted, &gpus[..1], 16).is_empty());
        assert!(plan(&SlotPlan { gpus: Some(vec![7]), ..SlotPlan::default() }, &gpus, 16).is_empty());
    }

    #[test]
    fn cores_hyperthreads_count_once() {
        let cpu = |s: u32, c: u32| format!("processor : 0\nphysical id : {s}\ncore id : {c}\n\n");
        let text = [cpu(0, 0), cpu(0, 1), cpu(0, 0), cpu(1, 0)].concat();
        assert_eq!(count_cores(&text), 3);
        assert_eq!(count_cores("processor : 0\n"), 0);
    }
}
