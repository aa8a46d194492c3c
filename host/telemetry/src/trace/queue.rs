//! The queue of ended spans.
//!
//! A span is encoded as OTLP when it ends, and the queue holds the bytes: their memory
//! is bounded, and the exporter only copies them. Each serving thread has a shard, so
//! that requests do not contend for a lock. A request never waits for export: if the
//! queue is full, the span is lost and counted.

pub(crate) mod room;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::batch::BatchConfig;
use crate::export::counters::Exported;
use crate::sizes;
use crate::thread_number::thread_number;
use crate::trace::encode::write_span;
use crate::trace::queue::room::Amount;
pub(crate) use crate::trace::queue::room::Room;

/// Bytes that are sent without waiting for more: large enough that a request
/// costs little beside its spans, small enough to stay in a processor's cache.
const FULL_BATCH_BYTES: usize = 512 * 1024;
/// The most bytes of one part, unless one span is larger.
const PART_BYTES: usize = 128 * 1024;
/// What a part takes besides its buffer and the texts of its library: some 110
/// bytes for the library, places in a list and in a map, which hold twice as many
/// as they need while they grow, and what the allocator adds.
const PART_OVERHEAD: usize = 384;
/// Libraries that a shard has a place for in its map, when nothing waits.
const KNOWN_LIBRARIES: usize = 8;
/// Buffers of parts that were sent, kept for those to come.
const SPARE_BUFFERS: usize = 16;
/// The most bytes that a thread keeps to write its next span into.
const MAX_SCRATCH: usize = 64 * 1024;

/// Spans that are not exported yet.
#[derive(Debug)]
pub(crate) struct SpanQueue {
    shards: Box<[Mutex<Shard>]>,
    /// The memory of what waits or is under way: the bounds hold for it.
    held: Amount,
    /// What is written and waits: enough of it is a batch, whatever else is under
    /// way.
    pub(super) waiting: Amount,
    spare: Mutex<Vec<Vec<u8>>>,
    pub(super) full_batch: Notify,
    pub(super) first_item: Notify,
    pub(super) config: BatchConfig,
    counts: Arc<Exported>,
    enabled: bool,
    /// Takes the same spans, for an observer.
    observed: Option<Arc<Self>>,
}

/// The spans of the threads that share it.
#[derive(Debug, Default)]
struct Shard {
    parts: Vec<Part>,
    /// The part that the next span of a library goes into.
    open: HashMap<Arc<InstrumentationScope>, usize>,
}

/// Spans of one library, each a field of its `ScopeSpans`.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) scope: Arc<InstrumentationScope>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) spans: usize,
    /// Bytes that the queue counts for it.
    held: usize,
}

impl Part {
    /// The room that it takes in the queue.
    pub(crate) fn held(&self) -> Room {
        Room {
            spans: self.spans,
            bytes: self.held,
        }
    }

    /// What is to be sent of it: its buffer may have room for more.
    pub(crate) fn written(&self) -> Room {
        Room {
            spans: self.spans,
            bytes: part_overhead(&self.scope) + self.bytes.len(),
        }
    }
}

/// The capacity of a part's buffer for `more` bytes. It doubles, as vectors do, but
/// not beyond the size of a full part.
fn capacity_for(buffer: &Vec<u8>, more: usize) -> usize {
    let needed = buffer.len() + more;
    match buffer.capacity() {
        enough if enough >= needed => enough,
        small => needed.max(PART_BYTES.min(2 * small)),
    }
}

fn part_overhead(scope: &InstrumentationScope) -> usize {
    PART_OVERHEAD + sizes::scope(scope)
}

impl Shard {
    /// Where a span of `bytes` bytes goes; a new part is needed where there is none.
    fn part_for(
        &self,
        scope: &InstrumentationScope,
        bytes: usize,
        max_batch: usize,
    ) -> Option<usize> {
        // The host's own and the guest's are the first, and nearly all.
        let first = self.parts.len().min(2);
        let known = self.parts[..first]
            .iter()
            .position(|it| *it.scope == *scope);
        let open = match known {
            Some(at) if self.takes(at, bytes, max_batch) => return Some(at),
            _ => *self.open.get(scope)?,
        };
        self.takes(open, bytes, max_batch).then_some(open)
    }

    /// Makes a part for a library whose last one, if any, takes no more.
    fn open_part(
        &mut self,
        scope: &InstrumentationScope,
        (bytes, held): (Vec<u8>, usize),
    ) -> usize {
        let at = self.parts.len();
        let scope = Arc::new(scope.clone());
        self.open.insert(Arc::clone(&scope), at);
        self.parts.push(Part {
            scope,
            bytes,
            spans: 0,
            held,
        });
        at
    }

    /// Returns the parts, and frees the memory of a map that had many.
    fn take(&mut self) -> Vec<Part> {
        self.open.clear();
        self.open.shrink_to(KNOWN_LIBRARIES);
        std::mem::take(&mut self.parts)
    }

    fn takes(&self, at: usize, bytes: usize, max_batch: usize) -> bool {
        let part = &self.parts[at];
        part.bytes.len() + bytes <= PART_BYTES && part.spans < max_batch
    }
}

impl SpanQueue {
    /// Makes a queue; one that is not `enabled` takes nothing and counts nothing.
    pub(crate) fn new(config: BatchConfig, enabled: bool, counts: Arc<Exported>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            shards: (0..threads).map(|_| Mutex::default()).collect(),
            held: Amount::default(),
            waiting: Amount::default(),
            spare: Mutex::default(),
            full_batch: Notify::new(),
            first_item: Notify::new(),
            config,
            counts,
            enabled,
            observed: None,
        }
    }

    /// Has another queue take the same spans, even where this one takes none.
    #[must_use]
    pub(crate) fn with_observed(mut self, observed: Option<Arc<Self>>) -> Self {
        self.observed = observed;
        self
    }

    /// Whether the queue takes spans.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled || self.observed.is_some()
    }

    /// Takes a span that has ended, or counts it as lost. Never waits for export.
    pub(crate) fn push(&self, span: &SpanData) {
        if !self.is_enabled() {
            return;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            write_span(span, scratch);
            let scope = &span.instrumentation_scope;
            if self.enabled {
                self.push_written(scope, scratch);
            }
            if let Some(observed) = &self.observed {
                observed.push_written(scope, scratch);
            }
            if scratch.capacity() > MAX_SCRATCH {
                *scratch = Vec::new();
            }
        });
    }

    fn push_written(&self, scope: &InstrumentationScope, span: &[u8]) {
        let max_batch = self.config.max_batch;
        let mut shard = self.shards[thread_number() % self.shards.len()].lock();
        let open = shard.part_for(scope, span.len(), max_batch);
        let (library, before, capacity) = match open {
            Some(at) => {
                let buffer = &shard.parts[at].bytes;
                (0, buffer.capacity(), capacity_for(buffer, span.len()))
            }
            None => (part_overhead(scope), 0, span.len()),
        };
        let taken = Room {
            spans: 1,
            bytes: library + capacity - before,
        };
        if !self.take_room(taken) {
            drop(shard);
            self.counts.queue_full(1);
            return;
        }
        let at = open.unwrap_or_else(|| shard.open_part(scope, self.buffer(capacity)));
        let part = &mut shard.parts[at];
        part.bytes.reserve_exact(capacity - part.bytes.len());
        part.bytes.extend_from_slice(span);
        part.spans += 1;
        part.held += taken.bytes;
        let written = Room {
            spans: 1,
            bytes: library + span.len(),
        };
        // Under the lock: what takes the part out subtracts it as well.
        let before = self.waiting.add(written);
        drop(shard);
        if before.spans == 0 {
            self.first_item.notify_one();
        }
        let is_full =
            |before: usize, more: usize, full: usize| before < full && before + more >= full;
        if is_full(before.bytes, written.bytes, FULL_BATCH_BYTES)
            || is_full(before.spans, written.spans, max_batch)
        {
            self.full_batch.notify_one();
        }
    }

    /// A buffer for a part that has taken room for `bytes` bytes: one that was used
    /// before, where there is room for what it has beyond them. That is returned as
    /// well.
    fn buffer(&self, bytes: usize) -> (Vec<u8>, usize) {
        let Some(spare) = self.spare.lock().pop() else {
            return Default::default();
        };
        let beyond = spare.capacity().saturating_sub(bytes);
        let taken = Room {
            spans: 0,
            bytes: beyond,
        };
        match self.take_room(taken) {
            true => (spare, beyond),
            false => {
                self.reuse(spare);
                Default::default()
            }
        }
    }

    /// Takes room, if there is enough.
    fn take_room(&self, room: Room) -> bool {
        let before = self.held.add(room);
        let fits = before.spans < self.config.max_items
            && before.bytes + room.bytes <= self.config.max_bytes;
        if !fits {
            self.held.subtract(room);
        }
        fits
    }

    /// Gives back the room of spans that were exported or lost.
    pub(crate) fn give_back(&self, room: Room) {
        self.held.subtract(room);
    }

    /// Keeps a buffer for a part to come.
    pub(crate) fn reuse(&self, mut buffer: Vec<u8>) {
        let mut spare = self.spare.lock();
        if spare.len() < SPARE_BUFFERS && buffer.capacity() <= PART_BYTES {
            buffer.clear();
            spare.push(buffer);
        }
    }

    /// Spans that wait or are under way.
    pub(crate) fn len(&self) -> usize {
        self.held.now().spans
    }

    /// Takes out the spans that wait; they keep their room until [`Self::give_back`].
    pub(crate) fn take(&self) -> Vec<Part> {
        let shards = self.shards.iter();
        let taken = shards.flat_map(|shard| {
            let mut shard = shard.lock();
            let parts = shard.take();
            for part in &parts {
                self.waiting.subtract(part.written());
            }
            parts
        });
        let taken = taken.collect();
        // One shard can fill while the others are emptied: what waits was a batch
        // all along then, and what was added to it woke no task.
        let waiting = self.waiting.now();
        if waiting.bytes >= FULL_BATCH_BYTES || waiting.spans >= self.config.max_batch {
            self.full_batch.notify_one();
        }
        taken
    }
}

#[cfg(any(test, feature = "benchmarks"))]
impl SpanQueue {
    /// Drops the spans that wait, and returns their number.
    pub(crate) fn discard(&self) -> usize {
        self.done(self.take())
    }

    /// Gives the room back of parts that were taken out, and their buffers.
    pub(crate) fn done(&self, parts: Vec<Part>) -> usize {
        let count = parts.iter().map(|part| part.spans).sum();
        for part in parts {
            self.give_back(part.held());
            self.reuse(part.bytes);
        }
        count
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
