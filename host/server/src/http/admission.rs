//! The places for instances, and who waits for one.
//!
//! A place is held by a guest for as long as it lives, its time after the
//! answer included. One that was joined of several components holds as many.

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

/// A guest's place, or places; they are free again when this is dropped.
pub(crate) type InstancePermit = OwnedSemaphorePermit;

/// The places for instances of one server.
#[derive(Debug)]
pub(crate) struct AdmissionControl {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicI64>,
    patience: Duration,
    refused: Counter<u64>,
}

impl AdmissionControl {
    /// Makes as many places as instances may live at once.
    pub(crate) fn new(limits: &RequestLimits, meter: &Meter) -> Self {
        let places = Arc::new(Semaphore::new(limits.max_instances.get() as usize));
        let waiting = Arc::new(AtomicI64::new(0));
        observe(meter, limits.max_instances, &places, &waiting);
        Self {
            places,
            waiting,
            patience: limits.queue_timeout.min(limits.request_timeout),
            refused: meter
                .u64_counter("fanlight.instances.refused")
                .with_unit("{request}")
                .with_description("Requests that got no instance, by reason")
                .build(),
        }
    }

    /// As many places, if they are free and no request waits for some.
    pub(crate) fn free(&self, count: u32) -> Option<InstancePermit> {
        let places = Arc::clone(&self.places);
        places.try_acquire_many_owned(count).ok()
    }

    /// Waits for as many places: at most for the queue timeout, or for the request
    /// timeout where that is shorter, from when the request `begun`.
    ///
    /// # Errors
    /// Where they did not become free in time, or `stopped` was cancelled.
    ///
    /// # Cancel safety
    /// Dropped, it no longer waits, and no place is lost.
    pub(crate) async fn wait(
        &self,
        count: u32,
        begun: Instant,
        stopped: &CancellationToken,
    ) -> Result<InstancePermit, HandleError> {
        let _waiting = Waiting::one_more(&self.waiting);
        let free = Arc::clone(&self.places).acquire_many_owned(count);
        let refusal = tokio::select! {
            biased;
            () = stopped.cancelled() => HandleError::Unavailable,
            place = timeout_at(begun + self.patience, free) => match place {
                Ok(Ok(place)) => return Ok(place),
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
fn observe(meter: &Meter, limit: NonZeroU32, places: &Arc<Semaphore>, waiting: &Arc<AtomicI64>) {
    let limit = i64::from(limit.get());
    let places = Arc::clone(places);
    meter
        .i64_observable_up_down_counter("fanlight.instances.live")
        .with_unit("{instance}")
        .with_description("Instances that live, with those whose answer is out")
        .with_callback(move |observer| {
            let free = i64::try_from(places.available_permits()).unwrap_or(limit);
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
