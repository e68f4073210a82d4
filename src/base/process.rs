//! Processes named so that a reused pid is not mistaken for the old one.

use serde::{Deserialize, Serialize};

/// A process: its pid and the clock tick at which it started (field 22 of `/proc/PID/stat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRef {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot; 0 when the platform does not tell.
    pub start_ticks: u64,
}

impl ProcessRef {
    /// The process `pid` as it is now; `None` when there is none (a zombie counts as none).
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command name is in parentheses and may hold anything, so fields count from the last one.
        let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
        if fields.next()? == "Z" {
            return None;
        }
        Some(Self { pid, start_ticks: fields.nth(18)?.parse().ok()? })
    }

    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, start_ticks: 0 })
    }

    /// Whether this very process still runs.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }
}

/// The name of this machine, as the batch system has it where one started this process.
pub fn host() -> String {
    let named = ["CLIPTUNE_NODE", "SLURMD_NODENAME"].iter().find_map(|name| std::env::var(name).ok());
    if let Some(name) = named.filter(|name| !name.is_empty()) {
        return name;
    }
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_other_start_time_is_not_alive() {
        let me = ProcessRef::current();
        assert!(me.is_alive());
        assert!(!ProcessRef { start_ticks: me.start_ticks + 1, ..me }.is_alive());
    }
}
