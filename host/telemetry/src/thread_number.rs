//! A number for each thread, by which threads find shards of their own.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of this thread among those that have asked for one.
pub fn thread_number() -> usize {
    NUMBER.with(|number| {
        number.get().unwrap_or_else(|| {
            let own = THREADS.fetch_add(1, Ordering::Relaxed);
            number.set(Some(own));
            own
        })
    })
}

/// Gives this thread a number, so that a test knows its shard.
#[cfg(test)]
pub(crate) fn set_thread_number(number: usize) {
    NUMBER.set(Some(number));
}
