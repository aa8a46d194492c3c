//! A task's turn by tokio's account, for tests of what must not depend on it.
//!
//! tokio makes ready resources return `Pending` once a task has taken too much in one
//! go, so that other tasks run. Code that takes this `Pending` for a final state is
//! wrong from then on, and under load alone.

use std::future::Future;
use std::pin::pin;
use std::task::Context;

use tokio::task::coop;

/// Uses up the turn of the task that is polled.
pub(crate) fn use_up(context: &mut Context<'_>) {
    while coop::has_budget_remaining() {
        let _ = pin!(coop::consume_budget()).poll(context);
    }
}
