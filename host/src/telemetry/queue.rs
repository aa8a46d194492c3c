//! The way of ended spans and of log records to their exporters.
//!
//! A queue bounded in bytes, filled by requests and emptied by one task on the
//! telemetry runtime. A request never waits for it: where there is no room,
//! the item is lost and counted.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::dropped::Exported;

/// How items are gathered before they are sent.
#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    /// The longest time that an item waits for others.
    pub schedule_delay: Duration,
    /// The most items in one export.
    pub max_batch: usize,
    /// The most items that wait; bounded in bytes alone where nobody set it.
    pub max_items: usize,
    /// The most bytes that wait or are under way, as estimated.
    pub max_bytes: usize,
    /// How long one export may take.
    pub export_timeout: Duration,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            // The specification says 5 s for spans; whoever has just sent a
            // request is looking for its trace already.
            schedule_delay: Duration::from_secs(1),
            max_batch: 512,
            max_items: usize::MAX,
            max_bytes: 32 * 1024 * 1024,
            // The specification's 30 s; the exporter's own 10 s come first.
            export_timeout: Duration::from_secs(30),
        }
    }
}

/// Collectors refuse messages over 4 MiB unless told otherwise (gRPC's default).
const MAX_EXPORT_BYTES: usize = 3 * 1024 * 1024;

/// Something that waits for export.
pub(crate) trait Item: Send + 'static {
    /// The memory it takes, about.
    fn estimated_bytes(&self) -> usize;
}

/// Where a batch goes.
pub(crate) trait Sink<T>: Send + 'static {
    /// Sends a batch, and counts what became of it.
    fn export(&self, batch: Vec<T>) -> impl Future<Output = ()> + Send;
}

/// Items that are not exported yet.
#[derive(Debug)]
pub(crate) struct ExportQueue<T> {
    pending: Mutex<Pending<T>>,
    full_batch: Notify,
    config: BatchConfig,
    counts: Arc<Exported>,
    enabled: bool,
}

#[derive(Debug)]
struct Pending<T> {
    items: Vec<T>,
    /// Estimated bytes of `items` and of the batch that is under way.
    bytes: usize,
}

impl<T: Item> ExportQueue<T> {
    /// Makes a queue; one that is not `enabled` takes nothing and counts nothing.
    pub(crate) fn new(config: BatchConfig, enabled: bool, counts: Arc<Exported>) -> Self {
        Self {
            pending: Mutex::new(Pending {
                items: Vec::new(),
                bytes: 0,
            }),
            full_batch: Notify::new(),
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
        let full_batch = {
            let mut pending = self.lock();
            if pending.bytes + bytes > self.config.max_bytes
                || pending.items.len() >= self.config.max_items
            {
                self.counts.queue_full(1);
                return;
            }
            pending.bytes += bytes;
            pending.items.push(item);
            pending.items.len() == self.config.max_batch
        };
        if full_batch {
            self.full_batch.notify_one();
        }
    }

    /// Items that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.lock().items)
    }

    fn release(&self, bytes: usize) {
        let mut pending = self.lock();
        pending.bytes = pending.bytes.saturating_sub(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Pending<T>> {
        // Nothing that can panic runs under the lock; a poisoned one is as good.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn export_all(&self, sink: &impl Sink<T>) {
        let mut items = self.take().into_iter().peekable();
        while items.peek().is_some() {
            let mut batch = Vec::with_capacity(self.config.max_batch.min(items.len()));
            let mut bytes = 0;
            while let Some(item) = items.peek() {
                let size = item.estimated_bytes();
                let full = batch.len() >= self.config.max_batch || bytes + size > MAX_EXPORT_BYTES;
                if full && !batch.is_empty() {
                    break;
                }
                bytes += size;
                batch.extend(items.next());
            }
            sink.export(batch).await;
            self.release(bytes);
        }
    }
}

/// Asks the worker to send everything and to say when it is done.
pub(crate) type FlushRequest = oneshot::Sender<()>;

/// Sends what the queue holds until the channel of flush requests closes.
pub(crate) async fn run<T: Item>(
    queue: Arc<ExportQueue<T>>,
    sink: impl Sink<T>,
    mut flushes: mpsc::Receiver<FlushRequest>,
) {
    loop {
        let flush = tokio::select! {
            () = tokio::time::sleep(queue.config.schedule_delay) => None,
            () = queue.full_batch.notified() => None,
            request = flushes.recv() => match request {
                Some(request) => Some(request),
                None => return,
            },
        };
        queue.export_all(&sink).await;
        if let Some(done) = flush {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(usize);

    impl Item for Bytes {
        fn estimated_bytes(&self) -> usize {
            self.0
        }
    }

    fn queue(max_bytes: usize) -> (ExportQueue<Bytes>, Arc<Exported>) {
        let counts = Arc::new(Exported::default());
        let config = BatchConfig {
            max_bytes,
            ..BatchConfig::default()
        };
        (ExportQueue::new(config, true, Arc::clone(&counts)), counts)
    }

    #[test]
    fn a_full_queue_loses_items_and_counts_each() {
        let (queue, counts) = queue(10_000);
        for _ in 0..5 {
            queue.push(Bytes(4_000));
        }
        assert_eq!(queue.len(), 2);
        assert!(counts.losses().contains(&("queue_full", 3)));
    }

    #[test]
    fn bytes_under_way_take_room_until_they_are_released() {
        let (queue, _) = queue(5_000);
        queue.push(Bytes(4_000));
        let taken = queue.take();
        queue.push(Bytes(4_000));
        assert_eq!(queue.len(), 0);
        queue.release(taken[0].0);
        queue.push(Bytes(4_000));
        assert_eq!(queue.len(), 1);
    }
}
