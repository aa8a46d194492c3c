//! Keeps a signal from a backend that does not take it.
//!
//! Jaeger takes traces and refuses metrics and logs. Where a backend says that
//! it has no such service, one line says so, the signal pauses, and it is tried
//! again every 60 s. One that took the signal before has the service: a single
//! answer of a proxy is no reason to pause.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::export::log::ExportHealth;
use crate::sanitize::Printable;

/// The time after which a backend that refused is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Whether a backend takes a signal, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct UnsupportedSignalBackoff {
    /// When it last said that it does not.
    refused: Mutex<Option<Instant>>,
    has_taken: AtomicBool,
}

impl UnsupportedSignalBackoff {
    /// Whether to send.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open_at(Instant::now())
    }

    fn is_open_at(&self, now: Instant) -> bool {
        let refused = *self.refused.lock();
        refused.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN)
    }

    /// Whether the backend ever took it.
    pub(crate) fn has_taken(&self) -> bool {
        self.has_taken.load(Ordering::Relaxed)
    }

    /// Records a refusal; the log reports the first one.
    pub(crate) fn refused(&self, health: &ExportHealth, reason: &str) {
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
    pub(crate) fn taken(&self, health: &ExportHealth) {
        self.has_taken.store(true, Ordering::Relaxed);
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
        let gate = UnsupportedSignalBackoff::default();
        assert!(gate.is_open());
        gate.refused(&health, "404");
        assert!(!gate.is_open());
        assert!(gate.is_open_at(Instant::now() + ASK_AGAIN));
        // It refused that as well.
        gate.refused(&health, "404");
        assert!(!gate.is_open());
        assert!(!gate.has_taken());
        gate.taken(&health);
        assert!(gate.is_open() && gate.has_taken());
    }
}
