//! The traces in memory, bounded by bytes and by number; the oldest go first.
//!
//! Failed and slow traces have a reserved share: while they stay within it, no other
//! trace takes their room.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use crate::store::ids::IdHashers;
use crate::store::logs::StoredLog;
use crate::store::span::StoredSpan;
use crate::store::summary::Summary;

/// What a trace takes beside its spans: its entry, its places in a map and a queue, and
/// the summary that is made when a page lists it.
const TRACE_OVERHEAD: usize = 1400;
/// What a span takes beside its bytes: its head in a list that has twice the places that
/// it needs while it grows, and what the allocator adds.
const SPAN_OVERHEAD: usize = 2 * size_of::<StoredSpan>() + 32;
/// No trace takes more than this part of the memory.
const TRACE_SHARE: usize = 8;

/// A trace as far as it has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) id: u128,
    /// Grows with each trace that is admitted.
    pub(crate) seq: u64,
    pub(crate) spans: Vec<StoredSpan>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) is_failed: bool,
    pub(crate) is_slow: bool,
    /// Spans that had no room.
    pub(crate) dropped_spans: u64,
    /// Log records that outlived their place in the list of all.
    pub(crate) logs: Vec<Arc<StoredLog>>,
    bytes: usize,
    /// Made when a page lists the trace.
    summary: OnceLock<Arc<Summary>>,
}

impl Trace {
    fn new(id: u128, seq: u64) -> Self {
        Self {
            id,
            seq,
            spans: Vec::new(),
            start: u64::MAX,
            end: 0,
            is_failed: false,
            is_slow: false,
            dropped_spans: 0,
            logs: Vec::new(),
            bytes: TRACE_OVERHEAD,
            summary: OnceLock::new(),
        }
    }

    /// Nanoseconds from the first start to the last end.
    pub(crate) fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The summary of the trace, made once for each state that the trace is in.
    pub(crate) fn summary(&self) -> &Summary {
        self.summary
            .get_or_init(|| Arc::new(Summary::new(&self.spans)))
    }

    fn is_kept_longer(&self) -> bool {
        self.is_failed || self.is_slow
    }

    fn add(&mut self, span: StoredSpan, slow_nanos: u64) -> usize {
        let head = &span.head;
        self.start = self.start.min(head.start);
        self.end = self.end.max(head.end);
        self.is_failed |= head.is_error;
        self.is_slow |= self.duration() >= slow_nanos;
        let is_new = !self
            .spans
            .iter()
            .rev()
            .take(8)
            .any(|it| Arc::ptr_eq(&it.origin, &span.origin));
        let origin = if is_new { span.origin.bytes() } else { 0 };
        let bytes = SPAN_OVERHEAD + span.bytes.len() + origin;
        self.spans.push(span);
        self.bytes += bytes;
        self.summary = OnceLock::new();
        bytes
    }
}

/// What a class of traces takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) traces: usize,
    pub(crate) bytes: usize,
}

/// Traces of one class, in the order in which they came into it.
#[derive(Debug, Default)]
struct Class {
    /// The number under which a trace was admitted, and its id. Some have left.
    order: VecDeque<(u64, u128)>,
    room: Room,
}

/// The traces in memory.
#[derive(Debug)]
pub(crate) struct Traces {
    by_id: HashMap<u128, Arc<Trace>, IdHashers>,
    ordinary: Class,
    /// The failed and the slow ones.
    kept: Class,
    max: Room,
    /// What ordinary traces cannot take from failed and slow ones.
    reserved: Room,
    slow_nanos: u64,
    next_seq: u64,
}

impl Traces {
    pub(crate) fn new(max: Room, slow_nanos: u64) -> Self {
        Self {
            by_id: HashMap::default(),
            ordinary: Class::default(),
            kept: Class::default(),
            max,
            reserved: Room {
                traces: max.traces / 2,
                bytes: max.bytes / 2,
            },
            slow_nanos,
            next_seq: 1,
        }
    }

    pub(crate) fn contains(&self, id: u128) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(crate) fn get(&self, id: u128) -> Option<&Arc<Trace>> {
        self.by_id.get(&id)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Trace>> {
        self.by_id.values().cloned().collect()
    }

    /// What all traces take.
    pub(crate) fn room(&self) -> Room {
        Room {
            traces: self.ordinary.room.traces + self.kept.room.traces,
            bytes: self.ordinary.room.bytes + self.kept.room.bytes,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.by_id = HashMap::default();
        self.ordinary = Class::default();
        self.kept = Class::default();
    }

    /// Adds a span to its trace, which may be a new one. The oldest traces go where
    /// there is no room. Returns whether the span had room.
    pub(crate) fn add(&mut self, span: StoredSpan) -> bool {
        let id = span.head.trace_id;
        let most = self.max.bytes / TRACE_SHARE;
        let needed = SPAN_OVERHEAD + span.bytes.len() + span.origin.bytes();
        if TRACE_OVERHEAD + needed > most {
            return false;
        }
        let entry = match self.by_id.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let seq = self.next_seq;
                self.next_seq += 1;
                self.ordinary.order.push_back((seq, id));
                self.ordinary.room.traces += 1;
                self.ordinary.room.bytes += TRACE_OVERHEAD;
                entry.insert(Arc::new(Trace::new(id, seq)))
            }
        };
        // A page that renders it keeps what it has.
        let trace = Arc::make_mut(entry);
        let was_kept = trace.is_kept_longer();
        if trace.bytes + needed > most {
            trace.dropped_spans += 1;
            return false;
        }
        let added = trace.add(span, self.slow_nanos);
        let (class, other) = match was_kept {
            true => (&mut self.kept, &mut self.ordinary),
            false => (&mut self.ordinary, &mut self.kept),
        };
        class.room.bytes += added;
        if !was_kept && trace.is_kept_longer() {
            class.room.traces -= 1;
            class.room.bytes -= trace.bytes;
            other.room.traces += 1;
            other.room.bytes += trace.bytes;
            other.order.push_back((trace.seq, id));
        }
        self.make_room();
        true
    }

    /// Keeps a log record with its trace, where the trace is here and has room.
    pub(crate) fn adopt(&mut self, log: &Arc<StoredLog>) {
        let Some(entry) = self.by_id.get_mut(&log.trace_id) else {
            return;
        };
        let trace = Arc::make_mut(entry);
        let bytes = log.room();
        if trace.bytes + bytes > self.max.bytes / TRACE_SHARE {
            return;
        }
        trace.logs.push(Arc::clone(log));
        trace.bytes += bytes;
        let class = match trace.is_kept_longer() {
            true => &mut self.kept,
            false => &mut self.ordinary,
        };
        class.room.bytes += bytes;
        self.make_room();
    }

    fn make_room(&mut self) {
        loop {
            let room = self.room();
            if room.traces <= self.max.traces && room.bytes <= self.max.bytes {
                return;
            }
            let kept = self.gives_way();
            if !self.remove_oldest(kept) {
                return;
            }
        }
    }

    /// Whether a failed or slow trace goes next, and not an ordinary one.
    fn gives_way(&self) -> bool {
        if self.ordinary.room.traces == 0 {
            return true;
        }
        let is_within = self.kept.room.traces <= self.reserved.traces
            && self.kept.room.bytes <= self.reserved.bytes;
        if is_within {
            return false;
        }
        let oldest = |class: &Class| class.order.front().map_or(u64::MAX, |it| it.0);
        oldest(&self.kept) < oldest(&self.ordinary)
    }

    /// Removes the oldest trace of a class; false where the class has none.
    fn remove_oldest(&mut self, kept: bool) -> bool {
        let class = match kept {
            true => &mut self.kept,
            false => &mut self.ordinary,
        };
        while let Some((seq, id)) = class.order.pop_front() {
            // One that has changed its class stands in the other queue as well.
            let Entry::Occupied(entry) = self.by_id.entry(id) else {
                continue;
            };
            let trace = entry.get();
            if trace.seq != seq || trace.is_kept_longer() != kept {
                continue;
            }
            class.room.traces -= 1;
            class.room.bytes -= trace.bytes;
            entry.remove();
            return true;
        }
        false
    }
}
