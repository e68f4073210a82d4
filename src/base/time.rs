//! Time as the journals write it, and a clock that tests can set.

use std::cell::Cell;
use std::time::Instant;

pub use jiff::Timestamp;

/// A source of the present time.
pub trait Clock {
    /// The present time, UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that begins at the machine's time, or at a later moment, and then runs evenly whatever is done to the machine's
/// clock.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock {
    start: Timestamp,
    since: Instant,
}

impl SteadyClock {
    /// A clock that never shows a time before `earliest`.
    pub fn not_before(earliest: Option<Timestamp>) -> Self {
        let now = Timestamp::now();
        Self { start: earliest.map_or(now, |e| e.max(now)), since: Instant::now() }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        self.start + self.since.elapsed()
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock(Cell<Timestamp>);

impl ManualClock {
    /// A clock at the Unix epoch.
    pub fn new() -> Self {
        Self(Cell::new(Timestamp::UNIX_EPOCH))
    }

    /// Moves the clock forward.
    pub fn advance(&self, seconds: f64) {
        self.0.set(self.0.get() + jiff::SignedDuration::from_secs_f64(seconds));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.get()
    }
}

/// Seconds from `start` to `end`; negative when `end` is earlier.
pub fn seconds_between(start: Timestamp, end: Timestamp) -> f64 {
    end.duration_since(start).as_secs_f64()
}
