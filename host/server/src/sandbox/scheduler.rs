//! Lets guests that compute for long take turns, so that others find the
//! processors free.
//!
//! A guest that computes gives way at every tick of the engine's clock. A thread
//! looks at its sockets when it has nothing else to run: were all guests ready
//! again at once, a short request would wait for a tick of each. So a guest
//! waits for a turn at each tick, and there are no more turns at a time than
//! processors. It has its turn from when it is called until the end of the poll
//! in which it computes: one that waits for something else delays no other guest.
//! Those that have computed for long have turns of their own: one that needs a
//! few ticks does not stand in line with them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::sandbox::epoch_ticker::RunningGuests;

/// Ticks that a guest may compute before it stands in line with those that
/// compute for long.
const BRIEF_TICKS: u32 = 10;
/// How long a guest stands in line before it looks for itself, and the longest
/// that one keeps a turn.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The turns of all guests of an engine.
#[derive(Debug)]
pub(crate) struct FairScheduler {
    /// Of guests that have just begun.
    brief: Arc<RunQueue>,
    /// Of those that go on and on.
    long: Arc<RunQueue>,
    /// Those that run are ticked for.
    running: Arc<RunningGuests>,
}

/// Guests that wait for the same turns, in the order in which they came.
///
/// A guest whose client does not read is not polled, which shows only when it was
/// called in vain: its turn is taken back after [`LOOK_AGAIN`]. One that has not
/// looked for twice as long is not called at all, so that a line of such guests
/// delays the others no longer than a few do. A guest that comes late goes on
/// without a turn.
#[derive(Debug)]
struct RunQueue(Mutex<RunQueueState>);

#[derive(Debug)]
struct RunQueueState {
    turns: usize,
    /// The number of the guest that comes next.
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// Guests that have a turn, and since when.
    called: BTreeMap<u64, Instant>,
}

/// A guest in the line.
#[derive(Debug)]
struct Waiting {
    waker: Waker,
    looked: Instant,
}

impl RunQueue {
    fn new(turns: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(RunQueueState {
            turns,
            next: 0,
            waiting: BTreeMap::new(),
            called: BTreeMap::new(),
        })))
    }

    /// Gives a guest a place at the end.
    fn join(self: Arc<Self>) -> RunPermit {
        let number = {
            let mut state = self.0.lock();
            let number = state.next;
            state.next += 1;
            let waiting = Waiting {
                waker: Waker::noop().clone(),
                looked: Instant::now(),
            };
            state.waiting.insert(number, waiting);
            number
        };
        self.call();
        RunPermit { line: self, number }
    }

    /// Calls as many guests as there are free turns.
    fn call(&self) {
        let next = || self.0.lock().call_next(Instant::now());
        while let Some(waker) = next() {
            waker.wake();
        }
    }
}

impl RunQueueState {
    fn call_next(&mut self, now: Instant) -> Option<Waker> {
        // In the order of their numbers they were called.
        while let Some(first) = self.called.first_entry()
            && now.duration_since(*first.get()) >= LOOK_AGAIN
        {
            first.remove();
        }
        while self.called.len() < self.turns {
            let (number, waiting) = self.waiting.pop_first()?;
            if now.duration_since(waiting.looked) < 2 * LOOK_AGAIN {
                self.called.insert(number, now);
                return Some(waiting.waker);
            }
        }
        None
    }
}

/// A guest's place in a line, and its turn from when it is called.
#[derive(Debug)]
struct RunPermit {
    line: Arc<RunQueue>,
    number: u64,
}

impl RunPermit {
    fn poll_called(&self, context: &Context<'_>) -> Poll<()> {
        {
            let mut state = self.line.0.lock();
            let Some(waiting) = state.waiting.get_mut(&self.number) else {
                return Poll::Ready(());
            };
            waiting.waker.clone_from(context.waker());
            waiting.looked = Instant::now();
        }
        // Those that were called before may not be polled any more. Where it is
        // this one's turn then, it is woken.
        self.line.call();
        Poll::Pending
    }
}

impl Drop for RunPermit {
    fn drop(&mut self) {
        {
            let mut state = self.line.0.lock();
            state.waiting.remove(&self.number);
            state.called.remove(&self.number);
        }
        self.line.call();
    }
}

/// One guest's place among the others.
#[derive(Clone)]
pub(crate) struct RunHandle(Arc<RunState>);

struct RunState {
    scheduler: Arc<FairScheduler>,
    /// The turn in which it computes, if any.
    held: Mutex<Option<RunPermit>>,
}

/// The ticks that a guest has computed for, and what it waits for at the next.
pub(crate) struct TickCounter {
    run_handle: RunHandle,
    count: u32,
}

pin_project! {
    /// A guest whose turn ends when it has computed, whenever it is polled.
    pub(crate) struct Scheduled<F> {
        #[pin]
        guest: F,
        run_handle: RunHandle,
    }
}

/// What a guest waits for at a tick.
pub(crate) type Way = Pin<Box<dyn Future<Output = ()> + Send>>;

impl FairScheduler {
    /// Makes one that hands out a turn for each processor.
    pub(crate) fn new(running: Arc<RunningGuests>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_turns(processors, running)
    }

    fn with_turns(count: usize, running: Arc<RunningGuests>) -> Self {
        Self {
            brief: RunQueue::new(count),
            long: RunQueue::new(count),
            running,
        }
    }

    /// A guest's place, as long as it runs.
    pub(crate) fn run_handle(self: &Arc<Self>) -> RunHandle {
        RunHandle(Arc::new(RunState {
            scheduler: Arc::clone(self),
            held: Mutex::default(),
        }))
    }
}

impl RunHandle {
    /// Counts the ticks of the guest, from now on.
    pub(crate) fn ticks(&self) -> TickCounter {
        TickCounter {
            run_handle: self.clone(),
            count: 0,
        }
    }

    /// Gives up the turn that is held, if any.
    fn give_up(&self) {
        let held = self.0.held.lock().take();
        drop(held);
    }
}

impl TickCounter {
    /// The place of the guest that they are counted for.
    pub(crate) fn run_handle(&self) -> &RunHandle {
        &self.run_handle
    }

    /// Counts one, and gives what the guest waits for at it.
    pub(crate) fn tick(&mut self) -> Way {
        self.count = self.count.saturating_add(1);
        let scheduler = &self.run_handle.0.scheduler;
        let line = if self.count <= BRIEF_TICKS {
            &scheduler.brief
        } else {
            &scheduler.long
        };
        Box::pin(turn(Arc::clone(line), self.run_handle.clone()))
    }
}

async fn turn(line: Arc<RunQueue>, run_handle: RunHandle) {
    // Given up first: the next guest in the queue runs.
    run_handle.give_up();
    let turn = line.join();
    let called = || poll_fn(|context| turn.poll_called(context));
    while timeout(LOOK_AGAIN, called()).await.is_err() {}
    // A task that is woken runs next on its thread. Giving way once has the
    // thread look at its sockets first.
    yield_now().await;
    *run_handle.0.held.lock() = Some(turn);
}

impl<F> Scheduled<F> {
    pub(crate) fn new(guest: F, run_handle: RunHandle) -> Self {
        Self { guest, run_handle }
    }
}

impl<F: Future> Future for Scheduled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let running = this.run_handle.0.scheduler.running.enter();
        let polled = this.guest.poll(context);
        drop(running);
        this.run_handle.give_up();
        polled
    }
}
