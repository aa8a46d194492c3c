//! What a collector was sent, and how it is to answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use http::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use super::{Mood, Received};
use crate::collected::{self, CollectedLog, CollectedPoint, CollectedSpan};

#[derive(Default)]
pub(super) struct Kept {
    pub(super) mood: Mutex<Mood>,
    pub(super) busy: AtomicU64,
    pub(super) received: Mutex<Vec<Received>>,
    pub(super) spans: Mutex<Vec<CollectedSpan>>,
    pub(super) logs: Mutex<Vec<CollectedLog>>,
    pub(super) points: Mutex<Vec<CollectedPoint>>,
    pub(super) refused: AtomicU64,
    pub(super) failed: AtomicU64,
}

/// A request, decoded.
pub(super) enum Export {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

/// Why a request is not taken.
pub(super) enum Refusal {
    Failing,
    Refusing,
    Missing,
    Busy,
}

impl Kept {
    /// Waits as the mood has it and keeps what was sent; gives back how many
    /// items are to be told as left out.
    ///
    /// # Errors
    /// Where it is not to be taken.
    pub(super) async fn take(
        &self,
        protocol: &'static str,
        headers: HeaderMap,
        export: Export,
        json: serde_json::Value,
    ) -> Result<i64, Refusal> {
        let (spans, points, logs) = match export {
            Export::Traces(request) => (Some(collected::spans(request)), None, None),
            Export::Metrics(request) => (None, Some(collected::points(request)), None),
            Export::Logs(request) => (None, None, Some(collected::logs(request))),
        };
        let (signal, items) = match (&spans, &points, &logs) {
            (Some(spans), ..) => ("traces", spans.len()),
            (_, Some(points), _) => ("metrics", points.len()),
            (.., logs) => ("logs", logs.as_ref().map_or(0, Vec::len)),
        };
        lock(&self.received).push(Received {
            signal,
            protocol,
            headers,
            items,
            json,
        });
        let was_busy = self
            .busy
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        if was_busy.is_ok() {
            return Err(Refusal::Busy);
        }
        let mood = *lock(&self.mood);
        let left_out = match mood {
            Mood::Well => 0,
            Mood::Slow(while_) => {
                tokio::time::sleep(while_).await;
                0
            }
            Mood::Failing => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                return Err(Refusal::Failing);
            }
            Mood::Refusing => return Err(Refusal::Refusing),
            Mood::Missing => return Err(Refusal::Missing),
            Mood::Hanging => std::future::pending().await,
            Mood::LeavingOut(items) => items,
        };
        lock(&self.spans).extend(spans.into_iter().flatten());
        lock(&self.points).extend(points.into_iter().flatten());
        lock(&self.logs).extend(logs.into_iter().flatten());
        Ok(left_out)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
