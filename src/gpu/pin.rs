//! Cores of a slot: a worker without a GPU is bound to as many cores as it has threads, so that neighbours do not push
//! each other around.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::journal::event::Slot;

/// Runs `work`, which starts a process, while this thread is bound to the slot's cores: the process inherits them. Where
/// that cannot be done, `work` runs all the same.
pub fn on_cores_of<T>(slot: &Slot, work: impl FnOnce() -> T) -> T {
    let Ok(before) = sched_getaffinity(None) else { return work() };
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| before.is_set(*cpu)).collect();
    let Some(own) = cores(&allowed, slot) else { return work() };
    let mut set = CpuSet::new();
    own.iter().for_each(|cpu| set.set(*cpu));
    if sched_setaffinity(None, &set).is_err() {
        return work();
    }
    let result = work();
    let _ = sched_setaffinity(None, &before);
    result
}

/// The cores of a slot among those that this process may use; `None` when they do not suffice for all slots before it.
fn cores<'a>(allowed: &'a [usize], slot: &Slot) -> Option<&'a [usize]> {
    let threads = slot.threads.max(1);
    allowed.get(slot.index * threads..(slot.index + 1) * threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_cores_of_their_own_as_long_as_there_are_enough() {
        let slot = |index, threads| Slot { index, gpus: Vec::new(), threads };
        let allowed = [0, 2, 4, 6, 7];
        assert_eq!(cores(&allowed, &slot(0, 2)), Some(&[0, 2][..]));
        assert_eq!(cores(&allowed, &slot(1, 2)), Some(&[4, 6][..]));
        assert_eq!(cores(&allowed, &slot(2, 2)), None);
    }

    #[test]
    fn a_process_inherits_the_cores_and_this_thread_gets_its_own_back() {
        let before = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap();
        let slot = Slot { index: 0, gpus: Vec::new(), threads: 1 };
        let status = on_cores_of(&slot, || {
            std::process::Command::new("grep").args(["Cpus_allowed_list", "/proc/self/status"]).output().unwrap()
        });
        let text = String::from_utf8(status.stdout).unwrap();
        assert_eq!(text.split_whitespace().nth(1), Some(first.to_string().as_str()));
        let after = sched_getaffinity(None).unwrap();
        assert!((0..CpuSet::MAX_CPU).all(|cpu| before.is_set(cpu) == after.is_set(cpu)));
    }
}
