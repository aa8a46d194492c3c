//! The end of export: one bound in time for all signals.

use std::sync::{Arc, OnceLock};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Whether export is ending, and until when requests may be under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closing(Arc<State>);

#[derive(Debug, Default)]
struct State {
    announced: CancellationToken,
    deadline: OnceLock<Instant>,
}

impl Closing {
    /// Announces the end. Only the first deadline counts.
    pub(crate) fn announce(&self, deadline: Instant) {
        self.0.deadline.get_or_init(|| deadline);
        self.0.announced.cancel();
    }

    /// Whether the end was announced.
    pub(crate) fn is_announced(&self) -> bool {
        self.0.announced.is_cancelled()
    }

    /// Waits until the end is announced.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn announced(&self) {
        self.0.announced.cancelled().await;
    }

    /// Waits until the deadline of an end that was announced.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn deadline(&self) {
        self.announced().await;
        if let Some(deadline) = self.0.deadline.get() {
            sleep_until(*deadline).await;
        }
    }
}
