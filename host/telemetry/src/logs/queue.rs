//! The queue of log records, and the task that empties a queue.
//!
//! The queue is bounded in bytes. Requests fill it, and one task on the telemetry
//! runtime empties it. A request never waits for it: if the queue is full, the item is
//! lost and counted.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::config::batch::BatchConfig;
use crate::export::counters::Exported;
use crate::otlp::split::MAX_REQUEST_BYTES;

/// Exports batches.
pub(crate) trait BatchExporter<T>: Send + Sync + 'static {
    /// Sends a batch, and counts its outcome.
    fn export(&self, batch: Vec<T>) -> impl Future<Output = ()> + Send;
}

/// An item that waits for export.
pub(crate) trait Item: Sized + Send + 'static {
    /// Exports its batches.
    type Exporter: BatchExporter<Self>;

    /// An estimate of its memory.
    fn estimated_bytes(&self) -> usize;
}

/// A queue that one task empties.
pub(crate) trait Batches: Send + Sync + 'static {
    /// Exports its batches.
    type Exporter: Send + Sync + 'static;

    fn config(&self) -> &BatchConfig;

    /// Notified when there is a batch to send.
    fn full_batch(&self) -> &Notify;

    /// Notified when an item comes into an empty queue.
    fn first_item(&self) -> &Notify;

    /// Whether no item waits. An item that is being sent does not wait.
    fn is_empty(&self) -> bool;

    /// Exports the items that wait now. Items that come meanwhile wait for the next
    /// call, which follows at once if they are a batch.
    fn export_all(&self, exporter: &Self::Exporter) -> impl Future<Output = ()> + Send;
}

/// Items that are not exported yet.
#[derive(Debug)]
pub(crate) struct ExportQueue<T> {
    pending: Mutex<Pending<T>>,
    full_batch: Notify,
    first_item: Notify,
    config: BatchConfig,
    counts: Arc<Exported>,
    enabled: bool,
}

#[derive(Debug)]
struct Pending<T> {
    items: VecDeque<T>,
    /// Estimated bytes of `items`.
    bytes: usize,
    under_way: UnderWay,
}

/// The batch that is being sent: it takes room until its outcome is known.
#[derive(Clone, Copy, Debug, Default)]
struct UnderWay {
    items: usize,
    bytes: usize,
}

impl<T> Pending<T> {
    fn len(&self) -> usize {
        self.items.len() + self.under_way.items
    }

    /// Whether there is enough to be sent without waiting for more.
    fn is_batch(&self, max_batch: usize) -> bool {
        // Large items fill a batch, and the queue, long before its number does.
        self.items.len() >= max_batch || self.bytes >= MAX_REQUEST_BYTES
    }
}

impl<T: Item> ExportQueue<T> {
    /// Makes a queue; a queue that is not `enabled` takes no item and counts none.
    pub(crate) fn new(config: BatchConfig, enabled: bool, counts: Arc<Exported>) -> Self {
        Self {
            pending: Mutex::new(Pending {
                items: VecDeque::new(),
                bytes: 0,
                under_way: UnderWay::default(),
            }),
            full_batch: Notify::new(),
            first_item: Notify::new(),
            config,
            counts,
            enabled,
        }
    }

    /// Takes an item, or counts it as lost. Never waits for export.
    pub(crate) fn push(&self, item: T) {
        if !self.enabled {
            return;
        }
        let bytes = item.estimated_bytes();
        let (was_empty, full_batch) = {
            let mut pending = self.pending.lock();
            if pending.bytes + pending.under_way.bytes + bytes > self.config.max_bytes
                || pending.len() >= self.config.max_items
            {
                self.counts.queue_full(1);
                return;
            }
            let was_empty = pending.items.is_empty();
            let was_full = pending.is_batch(self.config.max_batch);
            pending.bytes += bytes;
            pending.items.push_back(item);
            let is_full = pending.is_batch(self.config.max_batch);
            (was_empty, !was_full && is_full)
        };
        if was_empty {
            self.first_item.notify_one();
        }
        if full_batch {
            self.full_batch.notify_one();
        }
    }

    /// Items that wait or are under way.
    pub(crate) fn len(&self) -> usize {
        self.pending.lock().len()
    }

    /// Takes out a batch of `at_most` items, which takes room until it is released.
    fn take_batch(&self, at_most: usize) -> Vec<T> {
        let mut pending = self.pending.lock();
        let mut batch = Vec::with_capacity(at_most.min(pending.items.len()));
        let mut bytes = 0;
        while batch.len() < at_most
            && let Some(item) = pending.items.front()
        {
            let size = item.estimated_bytes();
            if bytes + size > MAX_REQUEST_BYTES && !batch.is_empty() {
                break;
            }
            bytes += size;
            batch.extend(pending.items.pop_front());
        }
        pending.bytes = pending.bytes.saturating_sub(bytes);
        pending.under_way = UnderWay {
            items: batch.len(),
            bytes,
        };
        batch
    }

    fn release(&self) {
        self.pending.lock().under_way = UnderWay::default();
    }
}

impl<T: Item> Batches for ExportQueue<T> {
    type Exporter = T::Exporter;

    fn config(&self) -> &BatchConfig {
        &self.config
    }

    fn full_batch(&self) -> &Notify {
        &self.full_batch
    }

    fn first_item(&self) -> &Notify {
        &self.first_item
    }

    fn is_empty(&self) -> bool {
        self.pending.lock().items.is_empty()
    }

    async fn export_all(&self, exporter: &T::Exporter) {
        let mut left = self.pending.lock().items.len();
        while left > 0 {
            let batch = self.take_batch(left.min(self.config.max_batch));
            left = left.saturating_sub(batch.len().max(1));
            exporter.export(batch).await;
            self.release();
        }
        // What was added to a batch that was here already woke no task.
        if self.pending.lock().is_batch(self.config.max_batch) {
            self.full_batch.notify_one();
        }
    }
}

/// Asks the worker to send everything and to say when it is done.
pub(crate) type FlushRequest = oneshot::Sender<()>;

/// Sends what the queue holds until the channel of flush requests closes.
pub(crate) async fn run<Q: Batches>(
    queue: Arc<Q>,
    exporter: Q::Exporter,
    mut flushes: mpsc::Receiver<FlushRequest>,
) {
    let started = Instant::now();
    loop {
        let flush = tokio::select! {
            () = due(&*queue, started) => None,
            () = queue.full_batch().notified() => None,
            request = flushes.recv() => match request {
                Some(request) => Some(request),
                None => return,
            },
        };
        queue.export_all(&exporter).await;
        if let Some(done) = flush {
            // The caller may have stopped waiting.
            let _ = done.send(());
        }
    }
}

/// Waits until something is due to be sent: at each whole number of delays since the
/// start, but only where something waits. A server that records nothing does not wake.
async fn due(queue: &impl Batches, started: Instant) {
    while queue.is_empty() {
        queue.first_item().notified().await;
    }
    let delay = queue.config().schedule_delay.as_nanos();
    let since_last = started.elapsed().as_nanos().checked_rem(delay);
    // There is no delay of zero.
    let left = since_last.map_or(0, |since_last| delay - since_last);
    let left = u64::try_from(left).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_nanos(left)).await;
}
