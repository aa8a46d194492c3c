//! Recent traces and log records in memory.
//!
//! Filled by the task that exports telemetry, never by a request: a span costs a scan of
//! its bytes, and is decoded when a page shows it. What arrives beyond the bounds is
//! counted and passed over.

mod admission;
mod ids;
pub(crate) mod logs;
pub(crate) mod origin;
#[cfg(test)]
mod tests;
pub(crate) mod traces;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;

use crate::events::{Events, Kind};
use crate::store::admission::Admission;
use crate::store::ids::IdHashers;
use crate::store::logs::{Logs, StoredLog};
use crate::store::origin::{Origin, Origins, first_message};
use crate::store::traces::{Room, StoredSpan, Trace, Traces};
use crate::wire::{Fields, SpanHead};

/// The part of the memory that log records take.
const LOGS_SHARE: usize = 4;
/// From this severity on, a record is an error.
const ERROR_SEVERITY: i32 = 17;

/// The bounds of a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// The memory that traces and log records take, in bytes.
    pub max_bytes: usize,
    /// The most traces.
    pub max_traces: usize,
    /// The most log records.
    pub max_logs: usize,
    /// A trace that takes this long is kept longer than others.
    pub slow_threshold: Duration,
    /// Spans a second beyond which only a share of the traces is stored.
    pub max_spans_per_second: u64,
    /// Log records a second beyond which only a share is stored.
    pub max_logs_per_second: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            max_bytes: 64 * 1024 * 1024,
            max_traces: 10_000,
            max_logs: 20_000,
            slow_threshold: Duration::from_secs(1),
            // At a microsecond each, a two hundredth of one processor.
            max_spans_per_second: 5_000,
            max_logs_per_second: 5_000,
        }
    }
}

/// What a store holds and what it has passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Traces in memory.
    pub traces: usize,
    /// Log records in memory.
    pub logs: usize,
    /// The memory that both take, in bytes.
    pub bytes: usize,
    /// One in this number of traces is stored now.
    pub one_in: u64,
    /// Spans that have arrived since the start.
    pub seen_spans: u64,
    /// Spans among them that were not stored.
    pub passed_over_spans: u64,
    /// Log records that have arrived since the start.
    pub seen_logs: u64,
    /// Log records among them that were not stored.
    pub passed_over_logs: u64,
}

/// Recent traces and log records in memory.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    intake: Mutex<Intake>,
    held: Mutex<Held>,
    pub(crate) events: Arc<Events>,
}

/// What decides on the input. Only the tasks that feed the store lock it.
#[derive(Debug)]
struct Intake {
    spans: Admission,
    logs: Admission,
    origins: Origins,
}

/// What pages read.
#[derive(Debug)]
struct Held {
    traces: Traces,
    logs: Logs,
    counts: StoreCounts,
}

impl Default for Store {
    fn default() -> Self {
        Self::new(StoreConfig::default())
    }
}

impl Store {
    /// Makes an empty store.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        let logs_bytes = config.max_bytes / LOGS_SHARE;
        let room = Room {
            traces: config.max_traces,
            bytes: config.max_bytes - logs_bytes,
        };
        Self {
            intake: Mutex::new(Intake {
                spans: Admission::new(config.max_spans_per_second),
                logs: Admission::new(config.max_logs_per_second),
                origins: Origins::default(),
            }),
            held: Mutex::new(Held {
                traces: Traces::new(room, nanos(config.slow_threshold)),
                logs: Logs::new(logs_bytes, config.max_logs),
                counts: StoreCounts {
                    one_in: 1,
                    ..StoreCounts::default()
                },
            }),
            events: Arc::default(),
            config,
        }
    }

    /// The bounds.
    #[must_use]
    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// Takes spans from an encoded `ExportTraceServiceRequest`, the same bytes that go
    /// to the collector. Copies what it stores. Never fails: malformed parts are
    /// skipped.
    pub fn add_traces(&self, request: &[u8]) {
        self.add_traces_at(request, Instant::now());
    }

    fn add_traces_at(&self, request: &[u8], now: Instant) {
        let mut intake = lock(&self.intake);
        let intake = &mut *intake;
        let mut found = Vec::new();
        let mut origins = Vec::new();
        // Before they are counted: the share can only become smaller.
        let admission = &intake.spans;
        let needs_status = |head: &SpanHead| head.is_entry() || admission.is_sampled(head.trace_id);
        for of_resource in Fields::new(request).messages(1) {
            let resource = first_message(of_resource, 1);
            for of_scope in Fields::new(of_resource).messages(2) {
                let origin = origins.len();
                origins.push(intake.origins.of(resource, first_message(of_scope, 1)));
                let spans = Fields::new(of_scope).messages(2);
                found.extend(spans.filter_map(|bytes| {
                    let head = SpanHead::scan(bytes, needs_status)?;
                    Some(Found {
                        head,
                        bytes,
                        origin,
                    })
                }));
            }
        }
        if found.is_empty() {
            return;
        }
        intake.spans.arrived(found.len() as u64, now);
        let admission = &mut intake.spans;
        let interesting = match admission.one_in() {
            1 => HashSet::default(),
            _ => self.interesting(&found),
        };
        let mut passed_over = 0;
        let mut held = lock(&self.held);
        let held = &mut *held;
        for span in &found {
            let id = span.head.trace_id;
            let mut span = *span;
            let fits = if admission.is_sampled(id) || held.traces.contains(id) {
                admission.take()
            } else {
                interesting.contains(&id) && admission.take_interesting()
            };
            if fits && admission.one_in() > 1 {
                // Its status may not have been read.
                span.head = SpanHead::scan(span.bytes, |_| true).unwrap_or(span.head);
            }
            let is_stored = fits && held.traces.add(span.stored(&origins));
            passed_over += u64::from(!is_stored);
        }
        held.counts.seen_spans += found.len() as u64;
        held.counts.passed_over_spans += passed_over;
        held.counts.one_in = admission.one_in();
        if passed_over < found.len() as u64 {
            self.events.publish(Kind::Traces, now);
        }
    }

    /// The failed and slow traces among these, as far as these spans say so.
    fn interesting(&self, found: &[Found<'_>]) -> HashSet<u128, IdHashers> {
        let slow = nanos(self.config.slow_threshold);
        let heads = found.iter().map(|it| it.head).filter(|head| {
            // An error that was handled inside does not make the request a failed one.
            head.is_entry() && (head.is_error || head.duration() >= slow)
        });
        let at_most = usize::try_from(self.config.max_spans_per_second).unwrap_or(usize::MAX);
        heads.map(|head| head.trace_id).take(at_most).collect()
    }

    /// Takes log records. Encodes those that it stores.
    pub fn add_logs(&self, request: &ExportLogsServiceRequest) {
        self.add_logs_at(request, Instant::now());
    }

    fn add_logs_at(&self, request: &ExportLogsServiceRequest, now: Instant) {
        let mut intake = lock(&self.intake);
        let intake = &mut *intake;
        let mut held = lock(&self.held);
        let held = &mut *held;
        let (mut seen, mut stored) = (0, 0);
        for of_resource in &request.resource_logs {
            let resource = of_resource.resource.as_ref();
            let resource = resource.map(|it| it.encode_to_vec()).unwrap_or_default();
            for of_scope in &of_resource.scope_logs {
                let scope = of_scope.scope.as_ref();
                let scope = scope.map(|it| it.encode_to_vec()).unwrap_or_default();
                let origin = intake.origins.of(&resource, &scope);
                let count = of_scope.log_records.len() as u64;
                intake.logs.arrived(count, now);
                seen += count;
                for record in &of_scope.log_records {
                    let id = trace_id(&record.trace_id);
                    let is_of_share = intake.logs.is_sampled(id)
                        && (id == 0 || intake.spans.is_sampled(id))
                        || id != 0 && held.traces.contains(id);
                    let fits = match is_of_share {
                        true => intake.logs.take(),
                        false => {
                            record.severity_number >= ERROR_SEVERITY
                                && intake.logs.take_interesting()
                        }
                    };
                    if !fits {
                        continue;
                    }
                    stored += 1;
                    let log = StoredLog {
                        seq: held.logs.next_seq(),
                        trace_id: id,
                        time: match record.time_unix_nano {
                            0 => record.observed_time_unix_nano,
                            time => time,
                        },
                        severity: record.severity_number,
                        origin: Arc::clone(&origin),
                        bytes: record.encode_to_vec().into(),
                    };
                    for gone in held.logs.add(log) {
                        held.traces.adopt(&gone);
                    }
                }
            }
        }
        held.counts.seen_logs += seen;
        held.counts.passed_over_logs += seen - stored;
        if stored > 0 {
            self.events.publish(Kind::Logs, now);
        }
    }

    /// Tells the pages that the served component, or what is known of its swaps, has
    /// changed.
    pub fn component_changed(&self) {
        self.events.publish(Kind::Component, Instant::now());
    }

    /// Forgets all traces and log records.
    pub fn clear(&self) {
        let mut held = lock(&self.held);
        held.traces.clear();
        held.logs.clear();
        drop(held);
        self.events.publish(Kind::Cleared, Instant::now());
    }

    /// What is held and what was passed over.
    #[must_use]
    pub fn counts(&self) -> StoreCounts {
        let held = lock(&self.held);
        let room = held.traces.room();
        StoreCounts {
            traces: room.traces,
            logs: held.logs.len(),
            bytes: room.bytes + held.logs.bytes(),
            ..held.counts
        }
    }

    /// All traces, in no order.
    pub(crate) fn traces(&self) -> Vec<Arc<Trace>> {
        lock(&self.held).traces.all()
    }

    /// One trace.
    pub(crate) fn trace(&self, id: u128) -> Option<Arc<Trace>> {
        lock(&self.held).traces.get(id).cloned()
    }

    /// All log records, the oldest first.
    pub(crate) fn logs(&self) -> Vec<Arc<StoredLog>> {
        lock(&self.held).logs.all()
    }

    /// The log records of one trace, the oldest first.
    pub(crate) fn logs_of(&self, id: u128) -> Vec<Arc<StoredLog>> {
        let held = lock(&self.held);
        let mut logs = held.logs.of_trace(id);
        if let Some(trace) = held.traces.get(id) {
            logs.extend(trace.logs.iter().cloned());
        }
        drop(held);
        logs.sort_by_key(|it| (it.time, it.seq));
        logs
    }
}

/// A span in an export request.
#[derive(Clone, Copy)]
struct Found<'a> {
    head: SpanHead,
    bytes: &'a [u8],
    /// The place of its origin.
    origin: usize,
}

impl Found<'_> {
    fn stored(&self, origins: &[Arc<Origin>]) -> StoredSpan {
        StoredSpan {
            head: self.head,
            origin: Arc::clone(&origins[self.origin]),
            bytes: self.bytes.into(),
        }
    }
}

fn trace_id(bytes: &[u8]) -> u128 {
    bytes
        .try_into()
        .map(u128::from_be_bytes)
        .unwrap_or_default()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What runs under these locks does not panic; the data of a poisoned one is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
