use super::*;

struct Bytes(usize);

struct Nowhere;

impl BatchExporter<Bytes> for Nowhere {
    async fn export(&self, _batch: Vec<Bytes>) {}
}

impl Item for Bytes {
    type Exporter = Nowhere;

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

/// Counts the items that came, and adds more meanwhile.
struct Meanwhile {
    queue: Arc<ExportQueue<Said>>,
    /// How many items come during the first export, the second, and so on.
    coming: Mutex<VecDeque<usize>>,
    exported: mpsc::UnboundedSender<usize>,
}

struct Said;

impl Item for Said {
    type Exporter = Meanwhile;

    fn estimated_bytes(&self) -> usize {
        1
    }
}

impl BatchExporter<Said> for Meanwhile {
    async fn export(&self, batch: Vec<Said>) {
        let coming = self.coming.lock().pop_front();
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
    let exporter = Meanwhile {
        queue: Arc::clone(&queue),
        // After the second there are never fewer than two.
        coming: Mutex::new(VecDeque::from([5, 2])),
        exported,
    };
    let (_flushes, flushes) = mpsc::channel(1);
    queue.push(Said);
    queue.push(Said);
    let worker = tokio::spawn(run(Arc::clone(&queue), exporter, flushes));
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
