//! Runs one future to its end, sleeping in the host while it waits.
//!
//! Invariant: whenever no future can go on, control is in `wasi:io/poll`, so
//! that a waiting component costs the host no time and can be cancelled.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::bindings::wasi::io::poll::{Pollable, poll};

/// Runs a future to its end.
///
/// [`serve!`](crate::serve) does this for a handler; it is needed with
/// [`serve_raw!`](crate::serve_raw) only.
///
/// # Panics
///
/// Panics when the future waits for something that will never wake it, which
/// would otherwise last until the host's deadline.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        // A future that wakes itself wants to go on at once; the others still
        // get to know what has become ready meanwhile.
        let wait = if woken.0.swap(false, Ordering::Relaxed) {
            Wait::Never
        } else {
            Wait::UntilReady
        };
        wake_ready(wait);
    }
}

/// Waits until a pollable of the host is ready.
///
/// Only needed with [`bindings`](crate::bindings), for what the host offers
/// and this crate does not wrap.
pub async fn ready(pollable: Pollable) {
    Subscription::new(pollable).ready().await;
}

/// A pollable that can be waited for again and again.
///
/// Drop it before what it was taken from: the host traps otherwise.
#[derive(Debug)]
pub(crate) struct Subscription {
    index: usize,
}

impl Subscription {
    pub(crate) fn new(pollable: Pollable) -> Self {
        let slot = Slot {
            pollable,
            waker: None,
            is_ready: false,
        };
        SLOTS.with_borrow_mut(|slots| {
            let free = slots.iter().position(Option::is_none);
            let index = free.unwrap_or(slots.len());
            if free.is_some() {
                slots[index] = Some(slot);
            } else {
                slots.push(Some(slot));
            }
            Self { index }
        })
    }

    /// Waits until the pollable is ready, or was since the last call.
    pub(crate) async fn ready(&self) {
        poll_fn(|context| self.poll_ready(context)).await;
    }

    fn poll_ready(&self, context: &Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        // The waker before it is dropped after the borrow has ended: it may
        // belong to somebody else's combinator.
        let (poll, _before) = SLOTS.with_borrow_mut(|slots| match &mut slots[self.index] {
            Some(slot) if !slot.is_ready => (Poll::Pending, slot.waker.replace(waker)),
            Some(slot) => {
                slot.is_ready = false;
                (Poll::Ready(()), None)
            }
            None => (Poll::Ready(()), None),
        });
        poll
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let slot = SLOTS.with_borrow_mut(|slots| slots[self.index].take());
        drop(slot);
    }
}

struct Slot {
    pollable: Pollable,
    /// Present while a future waits for it.
    waker: Option<Waker>,
    is_ready: bool,
}

thread_local! {
    static SLOTS: RefCell<Vec<Option<Slot>>> = const { RefCell::new(Vec::new()) };
}

enum Wait {
    Never,
    UntilReady,
}

fn wake_ready(wait: Wait) {
    // The wakers run after the borrow has ended, too.
    let wakers: Vec<Waker> = SLOTS.with_borrow_mut(|slots| {
        let mut waiting: Vec<&mut Slot> = slots
            .iter_mut()
            .flatten()
            .filter(|slot| slot.waker.is_some())
            .collect();
        match wait {
            Wait::Never => waiting.retain(|slot| slot.pollable.ready()),
            Wait::UntilReady => {
                assert!(
                    !waiting.is_empty(),
                    "the handler waits for something that never comes: no future waits for the host"
                );
                let pollables: Vec<&Pollable> = waiting.iter().map(|slot| &slot.pollable).collect();
                let mut ready = poll(&pollables);
                // In what order they are told is nobody's promise.
                ready.sort_unstable();
                let mut ready = ready.into_iter().peekable();
                let mut index = 0;
                waiting.retain(|_| {
                    let is_ready = ready.next_if_eq(&index).is_some();
                    index += 1;
                    is_ready
                });
            }
        }
        waiting
            .into_iter()
            .filter_map(|slot| {
                slot.is_ready = true;
                slot.waker.take()
            })
            .collect()
    });
    wakers.into_iter().for_each(Waker::wake);
}

/// A flag that a waker sets.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_that_wakes_itself_goes_on_without_the_host() {
        let mut turns = 0;
        let output = block_on(poll_fn(|context| {
            turns += 1;
            if turns < 3 {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready("done")
        }));
        assert_eq!((output, turns), ("done", 3));
    }

    #[test]
    #[should_panic(expected = "never comes")]
    fn a_future_that_nobody_wakes_is_told_so() {
        block_on(std::future::pending::<()>());
    }
}
