//! The end of telemetry: the last export of all signals, within one bound in time, and
//! one account of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::Telemetry;
use crate::export::counters::{Account, Exported};
use crate::export::log::ExportHealth;
use crate::export::pipeline::ExportPipeline;

impl Telemetry {
    /// Exports what is queued and ends all that was started here, within the
    /// flush timeout. Where the backends did not confirm all of it, one line in the
    /// log says how much they did.
    pub async fn shutdown(self) {
        let timeout = self.config.flush_timeout;
        let started_at = Instant::now();
        let deadline = started_at + timeout;
        let before: Vec<_> = self.exports.iter().map(Export::account).collect();
        // Requests end a little earlier than the whole, so that what became of them is
        // known when the account is made.
        let reserve = (timeout / 10).min(Duration::from_millis(500));
        self.runtime.closing.start(deadline - reserve);
        let queues = self.flush_queues();
        tokio::pin!(queues);
        // Metrics go once, and last: their counts are those of what has left. A
        // backend that keeps spans waiting leaves them half of the time.
        let are_flushed = timeout_at(started_at + timeout / 2, &mut queues)
            .await
            .is_ok();
        self.last_metrics.is_next.store(true, Ordering::Relaxed);
        let meters = self.meters.clone();
        // The reader's shutdown waits for its thread, which waits for the runtime: it
        // belongs where waiting holds up no request.
        tokio::task::spawn_blocking(move || {
            // Trouble is in the account below.
            let _ = meters.shutdown();
        });
        let rest = async {
            if !are_flushed {
                queues.await;
            }
            self.last_metrics.ended.cancelled().await;
        };
        // What has not ended by then is in the account as well.
        let _ = timeout_at(deadline, rest).await;
        self.account_for_the_end(&before);
        // With the runtime go the exports that are under way still, and with
        // them from a task that waits for one.
    }

    /// Logs what was confirmed, lost and left open since `before`, unless everything
    /// was confirmed.
    fn account_for_the_end(&self, before: &[Account]) {
        let mut signals = Vec::new();
        for (export, before) in self.exports.iter().zip(before) {
            let mut account = export.account().since(*before);
            account.lost += match export.signal {
                "traces" => self.spans.len() as u64,
                "logs" => self.records.len() as u64,
                _ => 0,
            };
            let is_whole = account.lost == 0 && account.unconfirmed == 0;
            let Some(trouble) = export.health.trouble_at_the_end().filter(|_| !is_whole) else {
                continue;
            };
            let signal = export.signal;
            signals.push(match trouble.is_empty() {
                true => format!("{signal}: {account}"),
                false => format!("{signal}: {account} ({trouble})"),
            });
        }
        if !signals.is_empty() {
            tracing::warn!(
                timeout = ?self.config.flush_timeout,
                "not all telemetry was confirmed at the end: {}",
                signals.join("; ")
            );
        }
    }
}

/// What is known of the export of one signal.
pub(crate) struct Export {
    signal: &'static str,
    health: Arc<ExportHealth>,
    counts: Arc<Exported>,
}

impl Export {
    pub(crate) fn new(
        signal: &'static str,
        pipeline: &ExportPipeline,
        counts: Arc<Exported>,
    ) -> Self {
        Self {
            signal,
            health: pipeline.health(),
            counts,
        }
    }

    fn account(&self) -> Account {
        self.counts.account()
    }
}
