//! How often and when a request is sent again.

use std::time::Duration;

/// A batch is sent four times at most: what waits behind it is worth more.
const RETRIES: u32 = 3;
/// The wait before the first of them; it doubles for each.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// What chance adds, so that many hosts do not come back at once.
const MAX_JITTER_MILLIS: u64 = 100;

/// The waits between the attempts to send one request, as OTLP has it:
/// exponential, with jitter, and never shorter than the backend asks for.
#[derive(Default)]
pub(super) struct Backoff {
    retries: u32,
}

impl Backoff {
    /// The next wait; none where it is enough. `after` is what the backend asks for.
    pub(super) fn next(&mut self, after: Option<Duration>) -> Option<Duration> {
        if self.retries == RETRIES {
            return None;
        }
        let wait = FIRST_WAIT * 2_u32.pow(self.retries);
        self.retries += 1;
        let jitter = Duration::from_millis(fastrand::u64(0..=MAX_JITTER_MILLIS));
        Some(wait.max(after.unwrap_or_default()) + jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end_and_are_as_long_as_the_backend_asks() {
        let mut backoff = Backoff::default();
        for least in [100, 200] {
            let wait = backoff.next(None).unwrap().as_millis();
            assert!((least..=least + 100).contains(&wait), "{wait}");
        }
        let asked = Duration::from_secs(7);
        assert!(backoff.next(Some(asked)).unwrap() >= asked);
        assert_eq!(backoff.next(None), None);
    }
}
