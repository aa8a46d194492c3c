//! Logs how export goes, with a bound on the number of lines.
//!
//! It logs the first failure at once, later ones at most every 30 s with the count
//! lost, and a recovery once if it logged a failure since the last one. With the
//! default endpoint, one line at start says that no collector listens; it does not
//! repeat that until a collector has listened, but logs any other failure. Once the
//! end has started, it keeps failures for the one line that accounts for the end.

use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::otlp::closing::Closing;
use crate::sanitize::Printable;

/// The shortest time between two lines about one signal.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// How the export of one signal goes.
#[derive(Debug)]
pub(crate) struct ExportHealth {
    signal: &'static str,
    endpoint: String,
    state: Mutex<State>,
    closing: Closing,
}

#[derive(Debug, Default)]
struct State {
    /// The endpoint is the default and no collector has listened yet: absence is no
    /// failure.
    absence_is_expected: bool,
    /// Whether a failure was logged, and no recovery since.
    is_told: bool,
    lost: u64,
    unconfirmed: u64,
    last_line: Option<Instant>,
    /// Items that were left out of requests that were taken.
    rejected: u64,
    last_rejection_line: Option<Instant>,
    last_warning_line: Option<Instant>,
    /// The latest trouble since the end started.
    at_the_end: Option<String>,
}

/// Items of a request that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failed {
    /// They are lost.
    pub(crate) lost: u64,
    /// They were sent, and not answered for.
    pub(crate) unconfirmed: u64,
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
            closing: Closing::default(),
        }
    }

    /// Keeps failures for the account of the end, once the end has started.
    pub(crate) fn closed_by(&mut self, closing: Closing) {
        self.closing = closing;
    }

    /// The failures since the end started; nothing for the default endpoint
    /// where no collector listened.
    pub(crate) fn trouble_at_the_end(&self) -> Option<String> {
        let state = self.state.lock();
        if state.absence_is_expected && state.at_the_end.is_none() {
            return None;
        }
        Some(state.at_the_end.clone().unwrap_or_default())
    }

    /// Keeps trouble for the account of the end, once the end has started.
    fn is_kept(&self, state: &mut State, trouble: &dyn fmt::Display) -> bool {
        let is_kept = self.closing.has_started();
        if is_kept {
            tracing::debug!(signal = self.signal, error = %trouble, "export failed at the end");
            state.at_the_end = Some(trouble.to_string());
        }
        is_kept
    }

    pub(crate) fn signal(&self) -> &'static str {
        self.signal
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Records an export that worked.
    pub(crate) fn succeeded(&self) {
        let mut state = self.state.lock();
        state.absence_is_expected = false;
        if state.is_told {
            tracing::info!(
                signal = self.signal,
                endpoint = self.endpoint,
                lost = state.lost,
                unconfirmed = state.unconfirmed,
                "export works again"
            );
            state.is_told = false;
            state.lost = 0;
            state.unconfirmed = 0;
        }
    }

    /// Records items that the backend rejected from a request, and why.
    pub(crate) fn rejected(&self, items: u64, reason: &str) {
        let mut state = self.state.lock();
        state.rejected += items;
        if self.is_kept(&mut state, &reason) {
            return;
        }
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

    /// Logs the warning of a backend that took everything.
    pub(crate) fn warned(&self, warning: &str) {
        let mut state = self.state.lock();
        let due = state
            .last_warning_line
            .is_none_or(|last| last.elapsed() >= LOG_INTERVAL);
        if due {
            tracing::warn!(
                signal = self.signal,
                endpoint = self.endpoint,
                warning = %Printable(warning),
                "the backend took what it was sent, with a warning"
            );
            state.last_warning_line = Some(Instant::now());
        }
    }

    /// Records that no collector listened, and the items lost by it.
    pub(crate) fn unreachable(&self, error: &dyn fmt::Display, failed: Failed) {
        let state = self.state.lock();
        if state.absence_is_expected {
            let lost = failed.lost;
            tracing::debug!(signal = self.signal, %error, lost, "export failed");
            return;
        }
        drop(state);
        self.failed(error, failed);
    }

    /// Records an export that fails and will be tried again.
    pub(crate) fn retrying(&self, error: &dyn fmt::Display) {
        let mut state = self.state.lock();
        if self.is_kept(&mut state, error) {
            return;
        }
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

    /// Records an export that failed, and its items.
    pub(crate) fn failed(&self, error: &dyn fmt::Display, failed: Failed) {
        let mut state = self.state.lock();
        if self.is_kept(&mut state, error) {
            return;
        }
        state.lost += failed.lost;
        state.unconfirmed += failed.unconfirmed;
        if !state.is_due() {
            let Failed { lost, unconfirmed } = failed;
            tracing::debug!(signal = self.signal, %error, lost, unconfirmed, "export failed");
            return;
        }
        tracing::warn!(
            signal = self.signal,
            endpoint = self.endpoint,
            lost = state.lost,
            unconfirmed = state.unconfirmed,
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

    const ONE: Failed = Failed {
        lost: 1,
        unconfirmed: 0,
    };

    fn expecting_nobody() -> ExportHealth {
        ExportHealth::new("traces", "http://localhost:4317", true)
    }

    #[test]
    fn absence_where_nobody_was_told_to_listen_is_silent_until_somebody_has() {
        let health = expecting_nobody();
        assert_eq!(warnings(|| health.unreachable(&"refused", ONE)), 0);
        health.succeeded();
        assert_eq!(warnings(|| health.unreachable(&"refused", ONE)), 1);
        let chosen = ExportHealth::new("traces", "http://backend:4317", false);
        assert_eq!(warnings(|| chosen.unreachable(&"refused", ONE)), 1);
    }

    #[test]
    fn a_backend_that_comes_and_goes_is_told_of_once_in_a_while() {
        let health = ExportHealth::new("traces", "http://backend:4317", false);
        let comes_and_goes = || {
            for _ in 0..9 {
                health.failed(&"busy", ONE);
                health.succeeded();
            }
        };
        assert_eq!(warnings(comes_and_goes), 1);
    }

    #[test]
    fn other_trouble_is_told_there_as_well() {
        let health = expecting_nobody();
        assert_eq!(warnings(|| health.failed(&"too large", ONE)), 1);
        // Once in a while.
        assert_eq!(warnings(|| health.failed(&"too large", ONE)), 0);
    }

    #[test]
    fn at_the_end_trouble_is_kept_for_the_account_and_not_told_twice() {
        let mut health = ExportHealth::new("traces", "http://backend:4317", false);
        let closing = Closing::default();
        health.closed_by(closing.clone());
        closing.start(tokio::time::Instant::now());
        let trouble = || {
            health.retrying(&"busy");
            health.failed(&"no answer", ONE);
        };
        assert_eq!(warnings(trouble), 0);
        assert_eq!(health.trouble_at_the_end().as_deref(), Some("no answer"));
        assert_eq!(expecting_nobody().trouble_at_the_end(), None);
    }
}
