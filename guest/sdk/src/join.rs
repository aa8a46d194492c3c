//! Futures that take turns, each with its own current span.
//!
//! Invariant: a span entered in one of them is never the parent of a span
//! started in another.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::entered::Part;
use crate::span::Span;

/// Runs two futures in turns until both are done.
///
/// Each keeps the spans that it has entered to itself, across every `.await`.
///
/// ```no_run
/// # use std::time::Duration;
/// # use fanlight_guest::{join, sleep, span};
/// # async fn example() {
/// let (users, orders) = join(
///     async {
///         let _span = span!(client "fetch_users");
///         sleep(Duration::from_millis(30)).await;
///         3
///     },
///     async {
///         let _span = span!(client "fetch_orders");
///         sleep(Duration::from_millis(50)).await;
///         7
///     },
/// )
/// .await;
/// # }
/// ```
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (Branch::new(a), Branch::new(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        a.poll_into(&mut first, context);
        b.poll_into(&mut second, context);
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            unfinished => {
                (first, second) = unfinished;
                Poll::Pending
            }
        }
    })
    .await
}

/// Runs futures in turns until all are done, and returns their outputs in order.
///
/// Each keeps the spans that it has entered to itself, as with [`join`].
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut branches: Vec<_> = futures
        .into_iter()
        .map(|future| (Branch::new(future), None))
        .collect();
    poll_fn(|context| {
        for (branch, output) in &mut branches {
            branch.poll_into(output, context);
        }
        if branches.iter().any(|(_, output)| output.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
    branches
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// Runs two futures in turns until one is done, and drops the other.
///
/// Spans that the other one has open end then; those of one that was only lent,
/// by reference, stay open and current until it is polled to its end or dropped.
/// When both are done, the left one counts.
pub async fn race<A: Future, B: Future>(a: A, b: B) -> First<A::Output, B::Output> {
    let (mut a, mut b) = (Branch::new(a), Branch::new(b));
    poll_fn(|context| {
        if let Poll::Ready(output) = a.poll(context) {
            return Poll::Ready(First::Left(output));
        }
        b.poll(context).map(First::Right)
    })
    .await
}

/// Which future of a [`race`] was done first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First<A, B> {
    /// The left one.
    Left(A),
    /// The right one.
    Right(B),
}

/// Gives every future [`in_span`](InSpan::in_span).
pub trait InSpan: Future + Sized {
    /// Runs the future within a span, which is current whenever it runs, and
    /// ends with it.
    ///
    /// Spans that it enters stay its own, as with [`join`]. So this is also
    /// what makes futures right that other crates' combinators poll in turns.
    fn in_span(self, span: Span) -> InSpanFuture<Self> {
        InSpanFuture {
            future: Some(Box::pin(self)),
            entered: Part::within(Arc::clone(span.handle())),
        }
    }
}

impl<F: Future> InSpan for F {}

/// What [`in_span`](InSpan::in_span) returns.
///
/// It takes its own entered spans off the stack whenever it does not run.
#[must_use = "a future does nothing until it is awaited"]
pub struct InSpanFuture<F> {
    /// Boxed, so that it can be dropped in its place without unsafe code.
    future: Option<Pin<Box<F>>>,
    entered: Part,
}

impl<F: Future> Future for InSpanFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let Some(future) = this.future.as_mut() else {
            return Poll::Pending;
        };
        this.entered.resume();
        let poll = future.as_mut().poll(context);
        if poll.is_ready() {
            this.future = None;
        }
        this.entered.suspend();
        if poll.is_ready() {
            // Here ends the span that the future ran in.
            this.entered = Part::new();
        }
        poll
    }
}

impl<F> Drop for InSpanFuture<F> {
    fn drop(&mut self) {
        if self.future.is_some() {
            // What the future has entered is left with it.
            self.entered.resume();
            self.future = None;
            self.entered.suspend();
        }
    }
}

/// One of several futures, polled only when it was woken itself.
struct Branch<F> {
    future: InSpanFuture<F>,
    waker: Option<(Arc<BranchWaker>, Waker)>,
}

impl<F: Future> Branch<F> {
    fn new(future: F) -> Self {
        Self {
            future: InSpanFuture {
                future: Some(Box::pin(future)),
                entered: Part::new(),
            },
            waker: None,
        }
    }

    fn poll_into(&mut self, output: &mut Option<F::Output>, context: &Context<'_>) {
        if output.is_none()
            && let Poll::Ready(value) = self.poll(context)
        {
            *output = Some(value);
        }
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<F::Output> {
        let (branch, waker) = match &mut self.waker {
            Some(known) if known.0.parent.will_wake(context.waker()) => known,
            unknown => {
                let branch = Arc::new(BranchWaker {
                    is_woken: AtomicBool::new(true),
                    parent: context.waker().clone(),
                });
                let waker = Waker::from(Arc::clone(&branch));
                unknown.insert((branch, waker))
            }
        };
        if !branch.is_woken.swap(false, Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.future).poll(&mut Context::from_waker(waker))
    }
}

struct BranchWaker {
    is_woken: AtomicBool,
    parent: Waker,
}

impl Wake for BranchWaker {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::Relaxed);
        self.parent.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::executor::block_on;

    /// Is pending a number of times, waking itself, and counts its polls.
    async fn turns(number: u32, polls: &Cell<u32>) -> u32 {
        let mut left = number;
        poll_fn(|context| {
            polls.set(polls.get() + 1);
            if left == 0 {
                return Poll::Ready(number);
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    #[test]
    fn joined_futures_are_polled_only_when_woken() {
        let (short, long) = (Cell::new(0), Cell::new(0));
        let outputs = block_on(join(turns(1, &short), turns(5, &long)));
        assert_eq!(outputs, (1, 5));
        assert_eq!((short.get(), long.get()), (2, 6));
    }

    #[test]
    fn outputs_come_in_the_order_of_their_futures() {
        let polls = Cell::new(0);
        let futures = [3, 0, 2].map(|number| turns(number, &polls));
        assert_eq!(block_on(join_all(futures)), [3, 0, 2]);
        assert_eq!(block_on(join_all::<std::future::Ready<()>>([])), []);
    }

    #[test]
    fn the_first_future_of_a_race_counts() {
        let polls = Cell::new(0);
        let slow = turns(5, &polls);
        assert_eq!(block_on(race(slow, turns(1, &polls))), First::Right(1));
        assert_eq!(block_on(race(async { 1 }, async { 2 })), First::Left(1));
    }
}
