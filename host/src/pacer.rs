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
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

/// Ticks that a guest may compute before it stands in line with those that
/// compute for long.
const BRIEF_TICKS: u32 = 10;
/// How long a guest stands in line before it looks for itself.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The turns of all guests of an engine.
#[derive(Debug)]
pub(crate) struct Pacer {
    turns: Turns,
}

/// The turns of guests that have just begun, and of those that go on and on.
#[derive(Clone, Debug)]
struct Turns {
    brief: Arc<Line>,
    long: Arc<Line>,
}

impl Turns {
    fn new(count: usize) -> Self {
        Self {
            brief: Arc::new(Line::new(count)),
            long: Arc::new(Line::new(count)),
        }
    }
}

/// Guests that wait for the same turns.
///
/// A turn is taken by a guest that is polled, never given to one that waits: a
/// guest whose client does not read is not polled, and would keep it.
#[derive(Debug)]
struct Line {
    free: Semaphore,
    given_up: Notify,
}

impl Line {
    fn new(count: usize) -> Self {
        Self {
            free: Semaphore::new(count),
            given_up: Notify::new(),
        }
    }

    fn take(self: &Arc<Self>) -> Option<Turn> {
        // Put back by the turn's end.
        self.free.try_acquire().ok()?.forget();
        Some(Turn(Arc::clone(self)))
    }
}

/// The right to compute until the end of the poll.
#[derive(Debug)]
struct Turn(Arc<Line>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.free.add_permits(1);
        self.0.given_up.notify_one();
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
            let line = if ticks <= BRIEF_TICKS {
                &pace.turns.brief
            } else {
                &pace.turns.long
            };
            Box::pin(turn(Arc::clone(line), Arc::clone(&pace.held)))
        }
    }
}

/// A turn that is held, if any.
type Held = Mutex<Option<Turn>>;

async fn turn(line: Arc<Line>, held: Arc<Held>) {
    // Given up first: whoever stands in line is next.
    drop(lock(&held).take());
    loop {
        // Whoever is woken is what its thread runs next. Giving way once has the
        // thread look at its sockets first.
        tokio::task::yield_now().await;
        if let Some(turn) = line.take() {
            *lock(&held) = Some(turn);
            return;
        }
        // The one that is woken may not be polled any more, and the turn be free.
        let _ = tokio::time::timeout(LOOK_AGAIN, line.given_up.notified()).await;
    }
}

fn lock(held: &Held) -> MutexGuard<'_, Option<Turn>> {
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
        assert_eq!(pacer.turns.long.free.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_guest_that_is_polled_no_more_keeps_no_turn() {
        let pacer = Pacer {
            turns: Turns::new(1),
        };
        let computing = |pace: Pace| {
            let mut tick = pace.at_each_tick();
            let guest = Box::pin(async move {
                for _ in 0..500 {
                    tick().await;
                }
            });
            Paced::new(guest, pace)
        };
        // Left where they stand, as guests are whose clients do not read.
        let mut left: Vec<_> = (0..40).map(|_| computing(pacer.pace())).collect();
        for (polls, guest) in left.iter_mut().enumerate() {
            for _ in 0..polls {
                let _ = poll_once(Pin::new(guest)).await;
            }
        }
        let going_on = computing(pacer.pace());
        let ended = tokio::time::timeout(Duration::from_secs(20), going_on).await;
        assert!(ended.is_ok(), "it waits for turns that nobody uses");
    }

    /// Polls once, and lets other tasks run.
    async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        tokio::task::yield_now().await;
        std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }
}
