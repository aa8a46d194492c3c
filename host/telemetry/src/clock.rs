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
    pub fn start() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        }
    }

    pub fn now(&self) -> SystemTime {
        self.wall + self.monotonic.elapsed()
    }

    pub fn started(&self) -> SystemTime {
        self.wall
    }

    pub fn elapsed(&self) -> Duration {
        self.monotonic.elapsed()
    }
}
