//! Guests that go on after their responses.

use std::future::poll_fn;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::HandleError;
use crate::http::admission::InstancePermit;
use crate::request::context::RequestContext;
use crate::sandbox::call::GuestCall;

/// The tasks in which guests go on after their responses, each for a time.
#[derive(Debug)]
pub(crate) struct LingerTasks {
    limit: Duration,
    tasks: TaskTracker,
    stopped: CancellationToken,
}

impl LingerTasks {
    /// Lets each guest go on for `limit` at most.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            tasks: TaskTracker::new(),
            stopped: CancellationToken::new(),
        }
    }

    /// Cancelled once the time for draining is over: no guest goes on, and requests
    /// that still wait get 503.
    pub(crate) fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// Waits until no guest goes on; no other may follow.
    pub(crate) async fn drained(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Lets a guest go on whose response is out. It keeps its permit until it is gone.
    pub(crate) fn spawn(
        &self,
        mut call: GuestCall,
        permit: InstancePermit,
        request: RequestContext,
    ) {
        // Bodies are dropped outside of a runtime only when it is gone.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (limit, stopped) = (self.limit, self.stopped.clone());
        let task = async move {
            let ended = poll_fn(|context| call.poll_end(context));
            tokio::select! {
                biased;
                ended = tokio::time::timeout(limit, ended) => {
                    if ended.is_err() {
                        tracing::debug!(?limit, "a guest was ended after its response");
                    }
                }
                () = stopped.cancelled() => request.span().cut_off(&HandleError::Unavailable),
            }
            // It records what it left open, and only then its permit is free.
            drop(call);
            drop(permit);
        };
        self.tasks.spawn_on(task, &runtime);
    }
}
