//! The last swaps, rollbacks and refusals.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::SpanContext;

use crate::component::outcome::ReloadOutcome;
use crate::component::swap_error::SwapError;

/// The most entries that are kept; the oldest go first.
const KEPT: usize = 50;

/// How one offer or rollback ended.
#[derive(Clone, Debug)]
pub(crate) struct HistoryEntry {
    pub(crate) at: SystemTime,
    /// The word of its outcome, as spans and metrics have it.
    pub(crate) outcome: &'static str,
    /// The version that is served since, and its generation; of a refusal, neither.
    pub(crate) served: Option<(Arc<str>, u64)>,
    pub(crate) source: String,
    /// Why it was refused.
    pub(crate) reason: Option<String>,
    pub(crate) trace: SpanContext,
}

/// The last entries, the newest first.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<HistoryEntry>);

impl History {
    /// Records how an offer or a rollback ended.
    pub(crate) fn record(
        &mut self,
        result: &Result<ReloadOutcome, SwapError>,
        source: String,
        trace: SpanContext,
    ) {
        let (outcome, served, reason) = match result {
            Ok(outcome) => {
                let now = &outcome.now;
                let served = (now.version().into(), now.generation());
                (outcome.outcome.as_str(), Some(served), None)
            }
            Err(error) => (error.outcome(), None, Some(error.reason())),
        };
        self.0.truncate(KEPT - 1);
        self.0.push_front(HistoryEntry {
            at: SystemTime::now(),
            outcome,
            served,
            source,
            reason,
            trace,
        });
    }

    pub(crate) fn entries(&self) -> Vec<HistoryEntry> {
        self.0.iter().cloned().collect()
    }
}
