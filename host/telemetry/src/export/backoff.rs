//! Pauses a signal whose backend has no service for it.
//!
//! Jaeger takes traces and refuses metrics and logs. When a backend responds that it
//! has no such service, the host logs one line, pauses the signal, and tries again every
//! 60 s. A backend that took the signal before has the service: one response of a proxy
//! does not pause it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::export::log::ExportHealth;
use crate::sanitize::Printable;

/// The time after which the host tries a backend again that refused the signal.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Whether a backend is known to take a signal or to refuse it.
#[derive(Debug, Default)]
pub(crate) struct UnsupportedSignalBackoff {
    /// When the backend last refused it.
    refused: Mutex<Option<Instant>>,
    has_succeeded: AtomicBool,
}

impl UnsupportedSignalBackoff {
    /// Whether to send a request.
    pub(crate) fn may_send(&self) -> bool {
        self.may_send_at(Instant::now())
    }

    fn may_send_at(&self, now: Instant) -> bool {
        let refused = *self.refused.lock();
        refused.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN)
    }

    /// Whether the backend ever took a request.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.has_succeeded.load(Ordering::Relaxed)
    }

    /// Records a refusal; the log reports the first one.
    pub(crate) fn record_unsupported(&self, health: &ExportHealth, reason: &str) {
        if self.replace(Some(Instant::now())).is_none() {
            tracing::info!(
                signal = health.signal(),
                endpoint = health.endpoint(),
                reason = %Printable(reason),
                "the backend does not take this signal; paused, asking again every 60s"
            );
        }
    }

    /// Records that the backend took a request; the log reports the first one after a
    /// refusal.
    pub(crate) fn record_success(&self, health: &ExportHealth) {
        self.has_succeeded.store(true, Ordering::Relaxed);
        if self.replace(None).is_some() {
            tracing::info!(
                signal = health.signal(),
                endpoint = health.endpoint(),
                "the backend takes this signal now"
            );
        }
    }

    fn replace(&self, refused: Option<Instant>) -> Option<Instant> {
        let mut state = self.refused.lock();
        std::mem::replace(&mut *state, refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_refused_is_asked_again_after_a_while() {
        let health = ExportHealth::new("logs", "http://backend", false);
        let backoff = UnsupportedSignalBackoff::default();
        assert!(backoff.may_send());
        backoff.record_unsupported(&health, "404");
        assert!(!backoff.may_send());
        assert!(backoff.may_send_at(Instant::now() + ASK_AGAIN));
        // It refused that as well.
        backoff.record_unsupported(&health, "404");
        assert!(!backoff.may_send());
        assert!(!backoff.has_succeeded());
        backoff.record_success(&health);
        assert!(backoff.may_send() && backoff.has_succeeded());
    }
}
