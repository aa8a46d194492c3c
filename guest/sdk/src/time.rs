//! Waiting for time to pass, and points in time as the host takes them.
//!
//! Everything here yields to the host: a sleeping component uses no processor.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::bindings::wasi::clocks::monotonic_clock::subscribe_duration;
use crate::bindings::wasi::clocks::wall_clock::Datetime;
use crate::executor::ready;
use crate::join::{First, race};

/// Waits for a time, during which other joined futures run.
///
/// # Cancel safety
///
/// Dropping it ends the waiting.
pub async fn sleep(duration: Duration) {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    ready(subscribe_duration(nanoseconds)).await;
}

/// Runs a future for at most a time.
///
/// # Errors
///
/// Fails with [`Elapsed`] when the future takes longer; it is dropped then.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    match race(future, sleep(duration)).await {
        First::Left(output) => Ok(output),
        First::Right(()) => Err(Elapsed),
    }
}

/// A future took longer than it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl std::fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the time given has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl From<SystemTime> for Datetime {
    /// Converts a time; one before 1970 becomes the beginning of 1970.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            seconds: since.as_secs(),
            nanoseconds: since.subsec_nanos(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds_and_none_is_negative() {
        let time = Datetime::from(UNIX_EPOCH + Duration::new(5, 7));
        assert_eq!((time.seconds, time.nanoseconds), (5, 7));
        let early = Datetime::from(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!((early.seconds, early.nanoseconds), (0, 0));
    }
}
