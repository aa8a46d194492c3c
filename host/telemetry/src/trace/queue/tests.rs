use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

use super::*;
use crate::trace::batch::Requests;

fn span(library: &str, bytes: usize) -> SpanData {
    SpanData {
        span_context: SpanContext::empty_context(),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "x".repeat(bytes).into(),
        start_time: SystemTime::UNIX_EPOCH,
        end_time: SystemTime::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder(library.to_owned()).build(),
    }
}

fn queue(config: BatchConfig) -> (SpanQueue, Arc<Exported>) {
    let counts = Arc::new(Exported::default());
    (SpanQueue::new(config, true, Arc::clone(&counts)), counts)
}

fn requests(queue: &SpanQueue) -> Vec<Vec<Part>> {
    let mut requests = Requests::new(queue.take(), queue.config.max_batch);
    std::iter::from_fn(|| requests.next()).collect()
}

fn spans(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.spans).sum()
}

#[test]
fn a_full_queue_loses_spans_and_counts_each() {
    let (queue, counts) = queue(BatchConfig {
        max_bytes: 10_000,
        ..BatchConfig::default()
    });
    for _ in 0..5 {
        queue.push(&span("a", 4_000));
    }
    assert_eq!(queue.len(), 2);
    assert!(counts.losses().contains(&("queue_full", 3)));
}

#[test]
fn a_span_takes_its_room_until_that_is_given_back() {
    let (queue, _) = queue(BatchConfig {
        max_bytes: 5_000,
        max_items: 2,
        ..BatchConfig::default()
    });
    queue.push(&span("a", 4_000));
    let under_way = queue.take();
    queue.push(&span("a", 4_000));
    assert_eq!(queue.len(), 1, "what is under way, and no more");
    for part in &under_way {
        queue.give_back(part.held());
    }
    assert_eq!((queue.len(), queue.held.now().bytes), (0, 0));
    for _ in 0..3 {
        queue.push(&span("a", 1));
    }
    assert_eq!(queue.len(), 2, "no more than the most items");
}

/// What spans take in memory, in the shards and their buffers.
fn memory(queue: &SpanQueue) -> usize {
    let shards = queue.shards.iter().map(|shard| {
        let shard = shard.lock();
        // A map of hashes is seven eighths full at most, and has a byte for each place.
        let places = shard.open.capacity() * 8 / 7;
        let libraries = shard.parts.iter().map(|part| &*part.scope);
        places * (size_of::<(Arc<InstrumentationScope>, usize)>() + 1)
            + shard.parts.capacity() * size_of::<Part>()
            + shard.parts.iter().map(|it| it.bytes.capacity()).sum::<usize>()
            // With the two counts of its references.
            + libraries.map(|it| 16 + size_of_val(it) + sizes::scope(it)).sum::<usize>()
    });
    shards.sum()
}

fn held(queue: &SpanQueue) -> usize {
    queue.held.now().bytes
}

#[test]
fn a_library_for_each_span_takes_room_for_each() {
    const MAX: usize = 1_000_000;
    let (queue, counts) = queue(BatchConfig {
        max_bytes: MAX,
        ..BatchConfig::default()
    });
    let library = "l".repeat(100);
    for n in 0..10_000 {
        queue.push(&span(&format!("{library}{n}"), 0));
        if n % 16 > 0 {
            continue;
        }
        let (held, memory) = (held(&queue), memory(&queue));
        assert!((memory..=MAX).contains(&held), "{held} held of {memory}");
    }
    let kept = queue.len();
    assert!((1_500..2_500).contains(&kept), "{kept}");
    assert_eq!(queue.take().len(), kept);
    assert!(
        counts
            .losses()
            .contains(&("queue_full", 10_000 - kept as u64))
    );
    let left = memory(&queue);
    assert!(left < 1_000, "{left} bytes are kept for libraries to come");
}

#[test]
fn a_buffer_takes_room_for_all_that_it_has() {
    let (queue, _) = queue(BatchConfig::default());
    let counted = |queue: &SpanQueue| {
        let (held, memory) = (held(queue), memory(queue));
        assert!(
            (memory..memory + 5_000).contains(&held),
            "{held} held of {memory}"
        );
    };
    for _ in 0..3_000 {
        queue.push(&span("a", 300));
        counted(&queue);
    }
    assert_eq!(queue.done(queue.take()), 3_000);
    assert_eq!(held(&queue), 0);
    // The next ones go into buffers that were used before.
    for n in 0..2 * SPARE_BUFFERS {
        queue.push(&span(&format!("library {n}"), 1));
    }
    assert!(memory(&queue) > 5 * PART_BYTES);
    assert!(held(&queue) >= memory(&queue));
}

#[test]
fn a_buffer_that_was_used_before_leaves_no_span_without_room() {
    let (mut queue, counts) = queue(BatchConfig::default());
    for _ in 0..1_000 {
        queue.push(&span("a", 100));
    }
    queue.done(queue.take());
    queue.config.max_bytes = 2_000;
    queue.push(&span("a", 1));
    assert_eq!(queue.len(), 1);
    assert!(counts.losses().iter().all(|(_, lost)| *lost == 0));
    assert!(held(&queue) <= 2_000);
}

#[test]
fn a_shard_that_fills_while_others_are_emptied_waits_for_no_delay() {
    let (mut queue, _) = queue(BatchConfig {
        max_batch: 2,
        ..BatchConfig::default()
    });
    queue.shards = [(); 2].map(|()| Mutex::default()).into();
    let told = || {
        let told = std::pin::pin!(queue.full_batch.notified());
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        told.poll(&mut nobody).is_ready()
    };
    let push_into = |shard: usize| {
        crate::thread_number::set_thread_number(shard);
        queue.push(&span("a", 1));
    };
    for shard in [0, 1, 1, 1] {
        push_into(shard);
    }
    assert!(told());
    std::thread::scope(|scope| {
        let last = queue.shards[1].lock();
        let exporter = scope.spawn(|| queue.take().len());
        while !queue.shards[0].lock().parts.is_empty() {
            std::thread::yield_now();
        }
        push_into(0);
        push_into(0);
        assert!(!told(), "there was a batch all along");
        drop(last);
        assert_eq!(exporter.join().unwrap(), 3);
    });
    assert!(told(), "a batch waits, and nobody was told");
}

#[test]
fn a_request_has_no_more_spans_than_were_asked_for() {
    let (queue, _) = queue(BatchConfig {
        max_batch: 3,
        ..BatchConfig::default()
    });
    for n in 0..10 {
        queue.push(&span(["a", "b"][n % 2], 1));
    }
    let requests = requests(&queue);
    assert!(requests.iter().all(|parts| spans(parts) <= 3));
    assert_eq!(requests.iter().map(|parts| spans(parts)).sum::<usize>(), 10);
}

#[test]
fn a_request_is_cut_by_bytes_and_a_large_span_goes_alone() {
    const KIB: usize = 1024;
    let (queue, _) = queue(BatchConfig::default());
    for kibibytes in [400, 400, 5_000, 400, 400] {
        queue.push(&span("a", kibibytes * KIB));
    }
    let sizes: Vec<_> = requests(&queue).iter().map(|it| spans(it)).collect();
    assert_eq!(sizes, [2, 1, 2]);
}

#[test]
fn threads_do_not_lose_each_others_spans() {
    let (queue, _) = queue(BatchConfig::default());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..500 {
                    queue.push(&span(["a", "b", "c"][n % 3], n));
                }
            });
        }
    });
    assert_eq!(queue.len(), 4_000);
    assert_eq!(spans(&queue.take()), 4_000);
}

#[tokio::test]
async fn the_exporter_wakes_where_there_are_bytes_or_spans_enough_for_a_batch() {
    let woken = async |queue: &SpanQueue| {
        let woken = queue.full_batch.notified();
        let woken = tokio::time::timeout(Duration::from_secs(60), woken);
        assert!(woken.await.is_ok(), "nobody was told");
    };
    let (large, _) = queue(BatchConfig::default());
    for _ in 0..4 {
        large.push(&span("a", FULL_BATCH_BYTES / 4));
    }
    woken(&large).await;
    // What is under way is no reason to leave the next batch where it is.
    let under_way = large.take();
    for _ in 0..4 {
        large.push(&span("a", FULL_BATCH_BYTES / 4));
    }
    woken(&large).await;
    drop(under_way);
    let (many, _) = queue(BatchConfig {
        max_batch: 4,
        ..BatchConfig::default()
    });
    for _ in 0..4 {
        many.push(&span("a", 1));
    }
    woken(&many).await;
}
