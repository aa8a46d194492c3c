//! How offers and swaps end, and the last refusal.

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::SpanContext;

use crate::component::slot::{LoadedComponent, Source};
use crate::component::swap_error::SwapError;
use crate::sandbox::inspection::changes::Changes;

/// What a swap did.
#[derive(Clone)]
pub struct ReloadOutcome {
    /// How it ended.
    pub outcome: Outcome,
    /// What is served now.
    pub now: Arc<LoadedComponent>,
    /// What it has otherwise than the component that was served until then.
    pub changes: Changes,
}

/// How an offer ended, and the trace that tells it.
pub(crate) struct Concluded {
    pub(crate) swapped: Result<ReloadOutcome, SwapError>,
    /// None where the server ended before the swap did.
    pub(crate) trace: Option<SpanContext>,
}

/// How a swap ended that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The component is served from now on.
    Swapped,
    /// It was served already; nothing changed.
    Unchanged,
    /// The previous component is served again.
    RolledBack,
}

/// What was refused last.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) at: SystemTime,
    pub(crate) source: Source,
    pub(crate) error_type: &'static str,
    pub(crate) reason: String,
}

impl Concluded {
    /// The server ended before the swap did.
    pub(crate) fn ended() -> Self {
        Self {
            swapped: Err(SwapError::Ended),
            trace: None,
        }
    }
}

impl Outcome {
    /// The word for it in answers, spans and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Swapped => "swapped",
            Self::Unchanged => "unchanged",
            Self::RolledBack => "rolled_back",
        }
    }

    /// The log's message.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Swapped => "swapped the component",
            Self::Unchanged => "the component is served already",
            Self::RolledBack => "rolled back to the previous component",
        }
    }
}
