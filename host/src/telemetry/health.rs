//! Tells the log how export goes, without flooding it.
//!
//! The first failure is said at once, later ones at most every 30 s with the
//! count lost, recovery once where a failure was said since the last one. With a
//! default endpoint that nobody configured, one line at start says that nobody
//! listens; that nobody does is not said again until somebody has. Any other
//! trouble is.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::printable::Printable;

/// The least time between two lines about one signal.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// How the export of one signal goes.
#[derive(Debug)]
pub(crate) struct ExportHealth {
    signal: &'static str,
    endpoint: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nobody chose the endpoint and nobody was there yet: absence is no trouble.
    absence_is_expected: bool,
    /// Whether the log was told of a failure, and of no recovery since.
    is_told: bool,
    lost: u64,
    last_line: Option<Instant>,
    /// Items that were left out of requests that were taken.
    rejected: u64,
    last_rejection_line: Option<Instant>,
}

impl ExportHealth {
    pub(crate) fn new(signal: &'static str, endpoint: &str, absence_is_expected: bool) -> Self {
        Self {
            signal,
            endpoint: endpoint.to_owned(),
            state: Mutex::new(State {
                absence_is_expected,
                ..State::default()
            }),
        }
    }

    pub(crate) fn signal(&self) -> &'static str {
        self.signal
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Takes note of an export that worked.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.absence_is_expected = false;
        if state.is_told {
            tracing::info!(
                signal = self.signal,
                endpoint = self.endpoint,
                lost = state.lost,
                "export works again"
            );
            state.is_told = false;
            state.lost = 0;
        }
    }

    /// Takes note of items that the backend left out of a request, and why.
    pub(crate) fn rejected(&self, items: u64, reason: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rejected += items;
        let due = state
            .last_rejection_line
            .is_none_or(|last| last.elapsed() >= LOG_INTERVAL);
        if due {
            tracing::warn!(
                signal = self.signal,
                endpoint = self.endpoint,
                rejected = state.rejected,
                reason = %Printable(reason),
                "the backend left out a part of what it was sent"
            );
            state.rejected = 0;
            state.last_rejection_line = Some(Instant::now());
        }
    }

    /// Takes note that nobody was there, and of the items lost by it.
    pub(crate) fn unreachable(&self, error: &dyn fmt::Display, lost: u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.absence_is_expected {
            tracing::debug!(signal = self.signal, %error, lost, "export failed");
            return;
        }
        drop(state);
        self.failed(error, lost);
    }

    /// Takes note of an export that does not work for now, and is tried again.
    pub(crate) fn retrying(&self, error: &dyn fmt::Display) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_due() {
            tracing::warn!(
                signal = self.signal,
                endpoint = self.endpoint,
                %error,
                "export failed and is tried again; requests are not affected"
            );
            state.tell();
        }
    }

    /// Takes note of an export that failed, and of the items lost by it.
    pub(crate) fn failed(&self, error: &dyn fmt::Display, lost: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lost += lost;
        if !state.is_due() {
            tracing::debug!(signal = self.signal, %error, lost, "export failed");
            return;
        }
        tracing::warn!(
            signal = self.signal,
            endpoint = self.endpoint,
            lost = state.lost,
            %error,
            "export failed; requests are not affected"
        );
        state.tell();
    }
}

impl State {
    fn is_due(&self) -> bool {
        self.last_line
            .is_none_or(|last| last.elapsed() >= LOG_INTERVAL)
    }

    fn tell(&mut self) {
        self.is_told = true;
        self.last_line = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context, SubscriberExt as _};

    use super::*;

    /// Counts warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<AtomicU64>);

    impl<S: Subscriber> Layer<S> for Warnings {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            if *event.metadata().level() == Level::WARN {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn warnings(of: impl FnOnce()) -> u64 {
        let warnings = Warnings::default();
        let subscriber = tracing_subscriber::registry().with(warnings.clone());
        tracing::subscriber::with_default(subscriber, of);
        warnings.0.load(Ordering::Relaxed)
    }

    fn expecting_nobody() -> ExportHealth {
        ExportHealth::new("traces", "http://localhost:4317", true)
    }

    #[test]
    fn absence_where_nobody_was_told_to_listen_is_silent_until_somebody_has() {
        let health = expecting_nobody();
        assert_eq!(warnings(|| health.unreachable(&"refused", 1)), 0);
        health.succeeded();
        assert_eq!(warnings(|| health.unreachable(&"refused", 1)), 1);
        let chosen = ExportHealth::new("traces", "http://backend:4317", false);
        assert_eq!(warnings(|| chosen.unreachable(&"refused", 1)), 1);
    }

    #[test]
    fn a_backend_that_comes_and_goes_is_told_of_once_in_a_while() {
        let health = ExportHealth::new("traces", "http://backend:4317", false);
        let comes_and_goes = || {
            for _ in 0..9 {
                health.failed(&"busy", 1);
                health.succeeded();
            }
        };
        assert_eq!(warnings(comes_and_goes), 1);
    }

    #[test]
    fn other_trouble_is_told_there_as_well() {
        let health = expecting_nobody();
        assert_eq!(warnings(|| health.failed(&"too large", 1)), 1);
        // Once in a while.
        assert_eq!(warnings(|| health.failed(&"too large", 1)), 0);
    }
}
