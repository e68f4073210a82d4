//! The signals that ask a controller to leave.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Signals that arrived: how many, and the last one. Shared with the handlers.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    count: Arc<AtomicUsize>,
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Counts TERM and INT from now on; the third one ends the process at once.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn install() -> io::Result<Self> {
        let signals = Self::default();
        let mut iterator =
            signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])?;
        let shared = signals.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in &mut iterator {
                shared.last.store(usize::try_from(signal).unwrap_or(0), Ordering::Relaxed);
                if shared.count.fetch_add(1, Ordering::Relaxed) >= 2 {
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
            }
        })?;
        Ok(signals)
    }

    /// How many arrived.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn last(&self) -> Option<i32> {
        i32::try_from(self.last.load(Ordering::Relaxed)).ok().filter(|s| *s != 0)
    }
}
