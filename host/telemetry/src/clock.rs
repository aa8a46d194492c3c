//! The time of one request.

use std::time::{Duration, Instant, SystemTime};

/// One reading of the wall clock and of the monotonic one, taken together.
///
/// All times of a request come from one such pair, so that a child never
/// begins before its parent because the wall clock was set back.
#[derive(Clone, Copy, Debug)]
pub struct RequestClock {
    wall: SystemTime,
    monotonic: Instant,
}

impl RequestClock {
    /// Reads both clocks.
    pub fn start() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        }
    }

    /// The wall clock's time now, as far from the start as the monotonic clock says.
    pub fn now(&self) -> SystemTime {
        self.wall + self.monotonic.elapsed()
    }

    /// The wall clock's time at the start.
    pub fn started(&self) -> SystemTime {
        self.wall
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.monotonic.elapsed()
    }
}
