//! The way of log records to their exporter, and the task that empties a queue.
//!
//! A queue bounded in bytes, filled by requests and emptied by one task on the
//! telemetry runtime. A request never waits for it: where there is no room,
//! the item is lost and counted.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::dropped::Exported;
use super::otlp::MAX_REQUEST_BYTES;

/// How items are gathered before they are sent.
#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    /// The longest time that an item waits for others.
    pub schedule_delay: Duration,
    /// The most items in one export; bounded in bytes alone where nobody set it.
    pub max_batch: usize,
    /// The most items that wait or are under way; bounded in bytes alone where
    /// nobody set it.
    pub max_items: usize,
    /// The most bytes that wait or are under way: of spans the memory that they
    /// take, of log records an estimate of it.
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
            // The specification's 512 are a hundredth of a second at full speed:
            // few large requests cost sender and backend less.
            max_batch: usize::MAX,
            max_items: usize::MAX,
            max_bytes: 32 * 1024 * 1024,
            // The specification's 30 s; the exporter's own 10 s come first.
            export_timeout: Duration::from_secs(30),
        }
    }
}

/// Where a batch goes.
pub(crate) trait Sink<T>: Send + Sync + 'static {
    /// Sends a batch, and counts what became of it.
    fn export(&self, batch: Vec<T>) -> impl Future<Output = ()> + Send;
}

/// Something that waits for export.
pub(crate) trait Item: Sized + Send + 'static {
    /// Where it goes.
    type Sink: Sink<Self>;

    /// The memory it takes, about.
    fn estimated_bytes(&self) -> usize;
}

/// A queue that one task empties.
pub(crate) trait Batches: Send + Sync + 'static {
    /// Where its batches go.
    type Sink: Send + Sync + 'static;

    fn config(&self) -> &BatchConfig;

    /// Tells that there is a batch to send.
    fn full_batch(&self) -> &Notify;

    /// Exports what waits now. What comes meanwhile is for the next time, which
    /// is at once where it is a batch.
    fn export_all(&self, sink: &Self::Sink) -> impl Future<Output = ()> + Send;
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
    items: VecDeque<T>,
    /// Estimated bytes of `items`.
    bytes: usize,
    under_way: UnderWay,
}

/// The batch that is being sent: it takes room until it is known what became of it.
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
    /// Makes a queue; one that is not `enabled` takes nothing and counts nothing.
    pub(crate) fn new(config: BatchConfig, enabled: bool, counts: Arc<Exported>) -> Self {
        Self {
            pending: Mutex::new(Pending {
                items: VecDeque::new(),
                bytes: 0,
                under_way: UnderWay::default(),
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
            if pending.bytes + pending.under_way.bytes + bytes > self.config.max_bytes
                || pending.len() >= self.config.max_items
            {
                self.counts.queue_full(1);
                return;
            }
            let was_full = pending.is_batch(self.config.max_batch);
            pending.bytes += bytes;
            pending.items.push_back(item);
            !was_full && pending.is_batch(self.config.max_batch)
        };
        if full_batch {
            self.full_batch.notify_one();
        }
    }

    /// Items that wait or are under way.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Takes a batch of `at_most` items out, which is under way until it is released.
    fn take_batch(&self, at_most: usize) -> Vec<T> {
        let mut pending = self.lock();
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
        self.lock().under_way = UnderWay::default();
    }

    fn lock(&self) -> MutexGuard<'_, Pending<T>> {
        // Nothing that can panic runs under the lock; a poisoned one is as good.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Item> Batches for ExportQueue<T> {
    type Sink = T::Sink;

    fn config(&self) -> &BatchConfig {
        &self.config
    }

    fn full_batch(&self) -> &Notify {
        &self.full_batch
    }

    async fn export_all(&self, sink: &T::Sink) {
        let mut left = self.lock().items.len();
        while left > 0 {
            let batch = self.take_batch(left.min(self.config.max_batch));
            left = left.saturating_sub(batch.len().max(1));
            sink.export(batch).await;
            self.release();
        }
        // Whoever added to a batch that was here already told nobody.
        if self.lock().is_batch(self.config.max_batch) {
            self.full_batch.notify_one();
        }
    }
}

/// Asks the worker to send everything and to say when it is done.
pub(crate) type FlushRequest = oneshot::Sender<()>;

/// Sends what the queue holds until the channel of flush requests closes.
pub(crate) async fn run<Q: Batches>(
    queue: Arc<Q>,
    sink: Q::Sink,
    mut flushes: mpsc::Receiver<FlushRequest>,
) {
    loop {
        let flush = tokio::select! {
            () = tokio::time::sleep(queue.config().schedule_delay) => None,
            () = queue.full_batch().notified() => None,
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

    struct Nowhere;

    impl Sink<Bytes> for Nowhere {
        async fn export(&self, _batch: Vec<Bytes>) {}
    }

    impl Item for Bytes {
        type Sink = Nowhere;

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
        assert_eq!(queue.take_batch(1).len(), 1);
        queue.push(Bytes(4_000));
        assert_eq!(queue.len(), 1, "what is under way, and no more");
        queue.release();
        assert_eq!(queue.len(), 0);
        queue.push(Bytes(4_000));
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn items_under_way_count_for_the_most_items_as_well() {
        let counts = Arc::new(Exported::default());
        let config = BatchConfig {
            max_items: 2,
            ..BatchConfig::default()
        };
        let queue = ExportQueue::new(config, true, Arc::clone(&counts));
        queue.push(Bytes(1));
        queue.push(Bytes(1));
        assert_eq!(queue.take_batch(1).len(), 1);
        assert_eq!(queue.len(), 2);
        queue.push(Bytes(1));
        assert!(counts.losses().contains(&("queue_full", 1)));
    }

    #[test]
    fn a_batch_is_cut_by_bytes_and_a_large_item_goes_alone() {
        let (queue, _) = queue(usize::MAX);
        for bytes in [2, 1, 5, 1, 1] {
            queue.push(Bytes(bytes * 1024 * 1024));
        }
        let sizes = [(); 3].map(|()| queue.take_batch(100).len());
        assert_eq!(sizes, [2, 1, 2]);
    }

    /// Takes note of how many came, and has others say more meanwhile.
    struct Meanwhile {
        queue: Arc<ExportQueue<Said>>,
        /// How many items come during the first export, the second, and so on.
        coming: Mutex<VecDeque<usize>>,
        exported: mpsc::UnboundedSender<usize>,
    }

    struct Said;

    impl Item for Said {
        type Sink = Meanwhile;

        fn estimated_bytes(&self) -> usize {
            1
        }
    }

    impl Sink<Said> for Meanwhile {
        async fn export(&self, batch: Vec<Said>) {
            let coming = self.coming.lock().unwrap().pop_front();
            for _ in 0..coming.unwrap_or_default() {
                self.queue.push(Said);
            }
            self.exported.send(batch.len()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_batch_that_came_together_during_an_export_waits_for_no_delay() {
        let config = BatchConfig {
            max_batch: 2,
            schedule_delay: Duration::from_secs(60 * 60),
            ..BatchConfig::default()
        };
        let queue = Arc::new(ExportQueue::new(config, true, Arc::default()));
        let (exported, mut told) = mpsc::unbounded_channel();
        let sink = Meanwhile {
            queue: Arc::clone(&queue),
            // After the second there are never fewer than two.
            coming: Mutex::new(VecDeque::from([5, 2])),
            exported,
        };
        let (_flushes, flushes) = mpsc::channel(1);
        queue.push(Said);
        queue.push(Said);
        let worker = tokio::spawn(run(Arc::clone(&queue), sink, flushes));
        let mut left: usize = 9;
        while left > 0 {
            let batch = tokio::time::timeout(Duration::from_secs(60), told.recv()).await;
            left -= batch.ok().flatten().unwrap_or_else(|| {
                unreachable!("{left} items wait, and nobody was told");
            });
        }
        worker.abort();
    }

    #[tokio::test]
    async fn the_exporter_wakes_where_there_are_bytes_enough_for_a_batch() {
        let (queue, _) = queue(usize::MAX);
        for _ in 0..4 {
            queue.push(Bytes(MAX_REQUEST_BYTES / 4));
        }
        let woken = tokio::time::timeout(Duration::from_secs(60), queue.full_batch.notified());
        assert!(woken.await.is_ok(), "nobody was told");
    }
}
