//! The end of export: one deadline for all signals.

use std::sync::{Arc, OnceLock};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Whether export is ending, and until when requests may be under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closing(Arc<State>);

#[derive(Debug, Default)]
struct State {
    started: CancellationToken,
    deadline: OnceLock<Instant>,
}

impl Closing {
    /// Starts the end. Only the first deadline counts.
    pub(crate) fn start(&self, deadline: Instant) {
        self.0.deadline.get_or_init(|| deadline);
        self.0.started.cancel();
    }

    /// Whether the end has started.
    pub(crate) fn has_started(&self) -> bool {
        self.0.started.is_cancelled()
    }

    /// Waits until the end has started.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn started(&self) {
        self.0.started.cancelled().await;
    }

    /// Waits until the deadline of an end that has started.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn deadline(&self) {
        self.started().await;
        if let Some(deadline) = self.0.deadline.get() {
            sleep_until(*deadline).await;
        }
    }
}
