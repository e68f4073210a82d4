//! How busy this machine is: processor and memory, as the kernel tells (`/proc/stat`, `/proc/meminfo`).

use serde::{Deserialize, Serialize};

/// How busy a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Share of all processors' time that was worked since the last look.
    pub cpu: f64,
    /// Memory that could not be had without swapping, bytes.
    pub memory_used: u64,
    /// Memory, bytes.
    pub memory_total: u64,
}

/// Looks at the machine again and again.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Ticks since boot: worked, all.
    last: (u64, u64),
}

impl Gauge {
    /// The load since the last look, since boot at the first one; `None` where the kernel does not tell.
    pub fn look(&mut self) -> Option<Load> {
        let (worked, all) = ticks(&std::fs::read_to_string("/proc/stat").ok()?)?;
        let (memory_used, memory_total) = memory(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
        let since = (worked.saturating_sub(self.last.0), all.saturating_sub(self.last.1));
        self.last = (worked, all);
        Some(Load { cpu: since.0 as f64 / since.1.max(1) as f64, memory_used, memory_total })
    }
}

/// Ticks of all processors: worked, all. Idle ones and those that waited for a disk are not worked.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // The eighth is the last that is not counted in another one already.
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|n| n.parse().ok()).collect();
    let all = ticks.iter().sum::<u64>();
    Some((all - ticks.get(3)? - ticks.get(4)?, all))
}

/// Bytes of memory: used, all.
fn memory(info: &str) -> Option<(u64, u64)> {
    let of = |name: &str| -> Option<u64> {
        let rest = info.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let all = of("MemTotal:")?;
    Some((all.saturating_sub(of("MemAvailable:")?), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_understood() {
        let stat = "cpu  100 10 30 800 60 0 0 0 7 7\ncpu0 1 2 3 4\n";
        assert_eq!(ticks(stat), Some((140, 1000)));
        assert_eq!(ticks("cpu 1 2\n"), None);
        let info = "MemTotal:       8000 kB\nMemFree:  1 kB\nMemAvailable:   6000 kB\n";
        assert_eq!(memory(info), Some((2000 * 1024, 8000 * 1024)));
        assert_eq!(memory("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn this_machine_has_a_load() {
        let mut gauge = Gauge::default();
        gauge.look();
        let load = gauge.look().unwrap();
        assert!((0.0..=1.0).contains(&load.cpu) && load.memory_used < load.memory_total, "{load:?}");
    }
}
