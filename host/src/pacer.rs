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

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::sync::Notify;

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
#[derive(Debug)]
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

/// Guests that wait for the same turns, in the order in which they came.
///
/// A turn is taken by a guest that is polled, never given to one that waits: a
/// guest whose client does not read is not polled, and would keep it. One that
/// is called leaves the line, whether it comes or not.
#[derive(Debug)]
struct Line(Mutex<LineState>);

#[derive(Debug)]
struct LineState {
    free: usize,
    waiting: VecDeque<Arc<Waiter>>,
}

/// A guest in a line.
#[derive(Debug, Default)]
struct Waiter {
    /// Its guest was dropped, or looked for itself.
    gone: AtomicBool,
    bell: Notify,
}

impl Line {
    fn new(count: usize) -> Self {
        Self(Mutex::new(LineState {
            free: count,
            waiting: VecDeque::new(),
        }))
    }

    /// Takes a turn that is free: past the line, or when there is none.
    fn take(self: &Arc<Self>, past_the_line: bool) -> Option<Turn> {
        let mut state = lock(&self.0);
        state.leave_out_the_gone();
        if state.free == 0 || !(past_the_line || state.waiting.is_empty()) {
            return None;
        }
        state.free -= 1;
        Some(Turn(Arc::clone(self)))
    }

    /// Stands in line until called, or until it is time to look.
    async fn wait(&self) {
        let waiter = Arc::new(Waiter::default());
        lock(&self.0).waiting.push_back(Arc::clone(&waiter));
        let _gone = GoneOnDrop(Arc::clone(&waiter));
        // The one that was called before may not be polled any more.
        let _ = tokio::time::timeout(LOOK_AGAIN, waiter.bell.notified()).await;
    }
}

impl LineState {
    fn leave_out_the_gone(&mut self) {
        while self
            .waiting
            .front()
            .is_some_and(|waiter| waiter.gone.load(Ordering::Relaxed))
        {
            self.waiting.pop_front();
        }
    }
}

struct GoneOnDrop(Arc<Waiter>);

impl Drop for GoneOnDrop {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

/// The right to compute until the end of the poll.
#[derive(Debug)]
struct Turn(Arc<Line>);

impl Drop for Turn {
    fn drop(&mut self) {
        let called = {
            let mut state = lock(&self.0.0);
            state.free += 1;
            state.leave_out_the_gone();
            state.waiting.pop_front()
        };
        if let Some(waiter) = called {
            waiter.bell.notify_one();
        }
    }
}

/// One guest's place among the others.
#[derive(Clone)]
pub(crate) struct Pace(Arc<Place>);

struct Place {
    pacer: Arc<Pacer>,
    /// The turn that is held, if any.
    held: Mutex<Option<Turn>>,
}

/// The ticks that a guest has computed for, and what it waits for at the next.
pub(crate) struct Ticks {
    pace: Pace,
    count: u32,
}

pin_project! {
    /// A guest whose turn ends whenever it has been polled.
    pub(crate) struct Paced<F> {
        #[pin]
        guest: F,
        pace: Pace,
    }
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
    pub(crate) fn pace(self: &Arc<Self>) -> Pace {
        Pace(Arc::new(Place {
            pacer: Arc::clone(self),
            held: Mutex::default(),
        }))
    }
}

impl Pace {
    /// Counts the ticks of the guest, from now on.
    pub(crate) fn ticks(&self) -> Ticks {
        Ticks {
            pace: self.clone(),
            count: 0,
        }
    }

    /// Gives up the turn that is held, if any.
    fn give_up(&self) {
        drop(lock(&self.0.held).take());
    }
}

impl Ticks {
    /// The place of the guest that they are counted for.
    pub(crate) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Counts one, and gives what the guest waits for at it.
    pub(crate) fn tick(&mut self) -> Way {
        self.count = self.count.saturating_add(1);
        let turns = &self.pace.0.pacer.turns;
        let line = if self.count <= BRIEF_TICKS {
            &turns.brief
        } else {
            &turns.long
        };
        Box::pin(turn(Arc::clone(line), self.pace.clone()))
    }
}

async fn turn(line: Arc<Line>, pace: Pace) {
    // Given up first: whoever stands in line is next.
    pace.give_up();
    let mut was_called = false;
    loop {
        // Whoever is woken is what its thread runs next. Giving way once has the
        // thread look at its sockets first.
        tokio::task::yield_now().await;
        if let Some(turn) = line.take(was_called) {
            *lock(&pace.0.held) = Some(turn);
            return;
        }
        line.wait().await;
        was_called = true;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<F> Paced<F> {
    pub(crate) fn new(guest: F, pace: Pace) -> Self {
        Self { guest, pace }
    }
}

impl<F: Future> Future for Paced<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.guest.poll(context);
        this.pace.give_up();
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn pacer(turns: usize) -> Arc<Pacer> {
        Arc::new(Pacer {
            turns: Turns::new(turns),
        })
    }

    #[tokio::test]
    async fn no_more_compute_at_a_time_than_there_are_turns() {
        let pacer = pacer(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut guests = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let pace = pacer.pace();
            let mut ticks = pace.ticks();
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            guests.spawn(async move {
                for _ in 0..BRIEF_TICKS {
                    ticks.tick().await;
                }
                for _ in 0..50 {
                    ticks.tick().await;
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
        let pacer = pacer(1);
        let pace = pacer.pace();
        let mut ticks = pace.ticks();
        let guest = async move {
            for _ in 0..=BRIEF_TICKS {
                ticks.tick().await;
            }
            std::future::pending::<()>().await;
        };
        let mut waiting = Box::pin(Paced::new(guest, pace));
        let mut polls = 0;
        while polls < 100 {
            polls += 1;
            let polled = poll_once(waiting.as_mut()).await;
            assert!(polled.is_pending());
        }
        assert_eq!(lock(&pacer.turns.long.0).free, 1);
    }

    #[tokio::test]
    async fn a_guest_that_is_polled_no_more_keeps_no_turn() {
        let pacer = pacer(1);
        let computing = |pace: Pace| {
            let mut ticks = pace.ticks();
            let guest = async move {
                for _ in 0..500 {
                    ticks.tick().await;
                }
            };
            Box::pin(Paced::new(guest, pace))
        };
        // Left where they stand, as guests are whose clients do not read.
        let mut left: Vec<_> = (0..40).map(|_| computing(pacer.pace())).collect();
        for (polls, guest) in left.iter_mut().enumerate() {
            for _ in 0..polls {
                let _ = poll_once(guest.as_mut()).await;
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
