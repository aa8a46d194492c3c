//! The room that spans take, and counts of it that threads share.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What spans take in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) spans: usize,
    pub(crate) bytes: usize,
}

/// How much there is of something, counted by all threads.
#[derive(Debug, Default)]
pub(crate) struct Amount {
    spans: AtomicUsize,
    bytes: AtomicUsize,
}

impl Amount {
    /// Adds some, and tells what was there before.
    pub(crate) fn add(&self, room: Room) -> Room {
        Room {
            spans: self.spans.fetch_add(room.spans, Ordering::Relaxed),
            bytes: self.bytes.fetch_add(room.bytes, Ordering::Relaxed),
        }
    }

    /// What there is at the moment.
    pub(crate) fn now(&self) -> Room {
        Room {
            spans: self.spans.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn subtract(&self, room: Room) {
        self.spans.fetch_sub(room.spans, Ordering::Relaxed);
        self.bytes.fetch_sub(room.bytes, Ordering::Relaxed);
    }
}
