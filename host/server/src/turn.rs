//! A task's turn by tokio's account, for tests of what must not depend on it.
//!
//! tokio has what is ready say "not yet" once a task has taken too much in one
//! go, so that others have their turn. Whoever takes "not yet" for "never" is
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
