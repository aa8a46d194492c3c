//! Permits for instances, and the requests that wait for one.
//!
//! A guest holds its permit for as long as it lives, its time after the response
//! included. A composed component counts once for each linear memory.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::RequestLimits;
use crate::error::HandleError;

/// A guest's permit, for one instance or more; free again when it is dropped.
pub(crate) type InstancePermit = OwnedSemaphorePermit;

/// The permits for instances of one server.
#[derive(Debug)]
pub(crate) struct AdmissionControl {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicI64>,
    queue_timeout: Duration,
    refused: Counter<u64>,
}

impl AdmissionControl {
    /// Makes as many permits as instances may live at once.
    pub(crate) fn new(limits: &RequestLimits, meter: &Meter) -> Self {
        let permits = Arc::new(Semaphore::new(limits.max_instances.get() as usize));
        let waiting = Arc::new(AtomicI64::new(0));
        observe(meter, limits.max_instances, &permits, &waiting);
        Self {
            permits,
            waiting,
            queue_timeout: limits.queue_timeout.min(limits.request_timeout),
            refused: meter
                .u64_counter("fanlight.instances.refused")
                .with_unit("{request}")
                .with_description("Requests that got no instance, by reason")
                .build(),
        }
    }

    /// `count` permits, if they are free and no request waits.
    pub(crate) fn free(&self, count: u32) -> Option<InstancePermit> {
        let permits = Arc::clone(&self.permits);
        permits.try_acquire_many_owned(count).ok()
    }

    /// Waits for `count` permits: at most for the queue timeout, or for the request
    /// timeout where that is shorter, from when the request was received.
    ///
    /// # Errors
    /// Where they did not become free in time, or `stopped` was cancelled.
    ///
    /// # Cancel safety
    /// Dropped, it no longer waits, and no permit is lost.
    pub(crate) async fn wait(
        &self,
        count: u32,
        received_at: Instant,
        stopped: &CancellationToken,
    ) -> Result<InstancePermit, HandleError> {
        let _waiting = Waiting::one_more(&self.waiting);
        let free = Arc::clone(&self.permits).acquire_many_owned(count);
        let refusal = tokio::select! {
            biased;
            () = stopped.cancelled() => HandleError::Unavailable,
            permit = timeout_at(received_at + self.queue_timeout, free) => match permit {
                Ok(Ok(permit)) => return Ok(permit),
                Ok(Err(_)) | Err(_) => HandleError::Overloaded,
            }
        };
        let reason = KeyValue::new("error.type", refusal.error_type());
        self.refused.add(1, &[reason]);
        Err(refusal)
    }
}

/// Counts a request among those that wait until it is dropped.
struct Waiting<'a>(&'a AtomicI64);

impl<'a> Waiting<'a> {
    fn one_more(count: &'a AtomicI64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Registers what is counted when it is asked for. Up-down counters, as they
/// add up over servers.
fn observe(meter: &Meter, limit: NonZeroU32, permits: &Arc<Semaphore>, waiting: &Arc<AtomicI64>) {
    let limit = i64::from(limit.get());
    let permits = Arc::clone(permits);
    meter
        .i64_observable_up_down_counter("fanlight.instances.live")
        .with_unit("{instance}")
        .with_description("Instances that live, with those whose answer is out")
        .with_callback(move |observer| {
            let free = i64::try_from(permits.available_permits()).unwrap_or(limit);
            observer.observe(limit - free, &[]);
        })
        .build();
    let waiting = Arc::clone(waiting);
    meter
        .i64_observable_up_down_counter("fanlight.instances.waiting")
        .with_unit("{request}")
        .with_description("Requests that wait for an instance")
        .with_callback(move |observer| observer.observe(waiting.load(Ordering::Relaxed), &[]))
        .build();
    meter
        .i64_observable_up_down_counter("fanlight.instances.limit")
        .with_unit("{instance}")
        .with_description("Instances that may live at once")
        .with_callback(move |observer| observer.observe(limit, &[]))
        .build();
}
