//! Lets guests that compute for long take turns, so that those that do not find
//! the processors free.
//!
//! A guest that computes yields at every tick of the engine's clock. Were all
//! of them ready again at once, a short request would wait for a tick of each.
//! So a guest waits for a turn at each tick, and there are no more turns at a
//! time than processors. Those that have computed for long have turns of their
//! own: one that needs a few ticks does not stand in line with them. A turn is
//! held only while the guest is polled: one that waits for something else holds
//! up nobody.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Ticks that a guest may compute before it stands in line with those that
/// compute for long.
const BRIEF_TICKS: u32 = 10;

/// The turns of all guests of an engine.
#[derive(Debug)]
pub(crate) struct Pacer {
    turns: Turns,
}

/// The turns of guests that have just begun, and of those that go on and on.
#[derive(Clone, Debug)]
struct Turns {
    brief: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Turns {
    fn new(count: usize) -> Self {
        Self {
            brief: Arc::new(Semaphore::new(count)),
            long: Arc::new(Semaphore::new(count)),
        }
    }
}

/// One guest's place among the others.
#[derive(Clone)]
pub(crate) struct Pace {
    turns: Turns,
    held: Arc<Held>,
}

/// A guest whose turn ends whenever it has been polled.
pub(crate) struct Paced<F> {
    guest: F,
    pace: Pace,
}

/// What a guest waits for at a tick.
pub(crate) type Way = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Pacer {
    /// Makes one that hands out a turn for each processor.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            turns: Turns::new(processors),
        }
    }

    /// A guest's place, as long as it runs.
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            turns: self.turns.clone(),
            held: Arc::default(),
        }
    }
}

impl Pace {
    /// What a guest waits for at each tick.
    pub(crate) fn at_each_tick(&self) -> impl FnMut() -> Way + Send + Sync + 'static {
        let pace = self.clone();
        let mut ticks = 0_u32;
        move || {
            ticks = ticks.saturating_add(1);
            let turns = if ticks <= BRIEF_TICKS {
                &pace.turns.brief
            } else {
                &pace.turns.long
            };
            Box::pin(turn(Arc::clone(turns), Arc::clone(&pace.held)))
        }
    }
}

/// A turn that is held, if any.
type Held = Mutex<Option<OwnedSemaphorePermit>>;

async fn turn(turns: Arc<Semaphore>, held: Arc<Held>) {
    // Given up first: whoever stands in line is next.
    drop(lock(&held).take());
    // The semaphore is never closed.
    let permit = turns.acquire_owned().await.ok();
    // Whoever is given a turn is what its thread runs next. Giving way once
    // more has the thread look at its sockets first.
    tokio::task::yield_now().await;
    *lock(&held) = permit;
}

fn lock(held: &Held) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<F> Paced<F> {
    pub(crate) fn new(guest: F, pace: Pace) -> Self {
        Self { guest, pace }
    }
}

impl<F: Future + Unpin> Future for Paced<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let polled = Pin::new(&mut self.guest).poll(context);
        drop(lock(&self.pace.held).take());
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_compute_at_a_time_than_there_are_turns() {
        let pacer = Pacer {
            turns: Turns::new(2),
        };
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut guests = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let pace = pacer.pace();
            let mut tick = pace.at_each_tick();
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            guests.spawn(async move {
                for _ in 0..BRIEF_TICKS {
                    tick().await;
                }
                for _ in 0..50 {
                    tick().await;
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
        guests.join_all().await;
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_guest_that_waits_for_something_else_holds_no_turn() {
        let pacer = Pacer {
            turns: Turns::new(1),
        };
        let pace = pacer.pace();
        let mut tick = pace.at_each_tick();
        let guest = Box::pin(async move {
            for _ in 0..=BRIEF_TICKS {
                tick().await;
            }
            std::future::pending::<()>().await;
        });
        let mut waiting = Box::pin(Paced::new(guest, pace));
        let mut polls = 0;
        while polls < 100 {
            polls += 1;
            let polled = poll_once(waiting.as_mut()).await;
            assert!(polled.is_pending());
        }
        assert_eq!(pacer.turns.long.available_permits(), 1);
    }

    /// Polls once, and lets other tasks run.
    async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        tokio::task::yield_now().await;
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }
}
