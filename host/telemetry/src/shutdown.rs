//! Shutdown: the last export of all signals, with one deadline, and one summary of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::Telemetry;
use crate::export::counters::{Account, Exported};
use crate::export::log::ExportHealth;
use crate::export::pipeline::ExportPipeline;

impl Telemetry {
    /// Exports the queued items and stops all tasks, within the flush timeout. If the
    /// backends did not confirm all items, one log line has the numbers.
    pub async fn shutdown(self) {
        let timeout = self.config.flush_timeout;
        let started_at = Instant::now();
        let deadline = started_at + timeout;
        let before: Vec<_> = self.exports.iter().map(Export::account).collect();
        // Requests end before the shutdown does, so that their outcomes are known for
        // the summary.
        let reserve = (timeout / 10).min(Duration::from_millis(500));
        self.runtime.closing.start(deadline - reserve);
        let queues = self.flush_queues();
        tokio::pin!(queues);
        // Metrics are exported once, and last, because they count the other signals'
        // exports. They have half of the time if a backend keeps the other signals
        // waiting.
        let are_flushed = timeout_at(started_at + timeout / 2, &mut queues)
            .await
            .is_ok();
        self.last_metrics.is_next.store(true, Ordering::Relaxed);
        let meters = self.meters.clone();
        // The reader's shutdown waits for its thread, which waits for the runtime: it
        // belongs where waiting holds up no request.
        tokio::task::spawn_blocking(move || {
            // The summary below has its failures.
            let _ = meters.shutdown();
        });
        let rest = async {
            if !are_flushed {
                queues.await;
            }
            self.last_metrics.ended.cancelled().await;
        };
        // The summary also counts exports that have not ended.
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
