//! When a request is sent again, and how often.

use std::time::Duration;

/// The wait before the first retry; it doubles for each, up to 1.6 s.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const DOUBLINGS: u32 = 4;
/// How often it is tried again where the backend may be absent, or time is short.
const FEW: u32 = 3;
/// The random part of a wait, so that many hosts do not retry at the same time.
const MAX_JITTER_MILLIS: u64 = 100;

/// The waits between the attempts to send one request, as OTLP has it:
/// exponential, with jitter, and never shorter than the backend asks for. They go
/// on for as long as the request has time: what comes meanwhile is queued, and a
/// collector that is started anew is back in a few seconds.
#[derive(Default)]
pub(crate) struct Backoff {
    retries: u32,
}

impl Backoff {
    /// The next wait. `after` is what the backend asks for.
    pub(crate) fn next(&mut self, after: Option<Duration>) -> Duration {
        let wait = FIRST_WAIT * 2_u32.pow(self.retries.min(DOUBLINGS));
        self.retries += 1;
        let jitter = Duration::from_millis(fastrand::u64(0..=MAX_JITTER_MILLIS));
        wait.max(after.unwrap_or_default()) + jitter
    }

    /// Whether there were a few retries already.
    pub(crate) fn had_a_few(&self) -> bool {
        self.retries >= FEW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_are_as_long_as_the_backend_asks() {
        let mut backoff = Backoff::default();
        for least in [100, 200, 400, 800, 1600, 1600] {
            assert_eq!(backoff.had_a_few(), least > 400);
            let wait = backoff.next(None).as_millis();
            assert!((least..=least + 100).contains(&wait), "{wait}");
        }
        let asked = Duration::from_secs(7);
        assert!(backoff.next(Some(asked)) >= asked);
    }
}
