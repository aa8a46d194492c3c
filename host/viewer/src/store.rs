//! Recent traces and log records in memory.
//!
//! Filled by the task that exports telemetry, never by a request: a span costs a scan of
//! its bytes, and is decoded when a page shows it. What arrives beyond the bounds is
//! counted and passed over.

mod admission;
mod ids;
pub(crate) mod logs;
pub(crate) mod origin;
pub(crate) mod span;
pub(crate) mod summary;
#[cfg(test)]
mod tests;
pub(crate) mod traces;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message as _;

use crate::events::{Events, Kind};
use crate::store::admission::Admission;
use crate::store::ids::IdHashers;
use crate::store::logs::{Logs, StoredLog};
use crate::store::origin::{Origin, Origins, first_message};
use crate::store::span::StoredSpan;
use crate::store::traces::{Room, Trace, Traces};
use crate::wire::{Fields, SpanHead};

/// The part of the memory that log records take.
const LOGS_SHARE: usize = 4;
/// Failed and slow traces of one export request that are looked for.
const MAX_INTERESTING: usize = 1000;
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
    /// Tells this store from one that the host had before a restart.
    pub(crate) id: u64,
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
            id: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map(nanos)
                .unwrap_or_default(),
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
        let Intake { spans, origins, .. } = &mut *intake;
        let groups = groups(request, origins);
        let all = || groups.iter().flat_map(Group::spans);
        let seen = all().count() as u64;
        if seen == 0 {
            return;
        }
        spans.arrived(seen, now);
        let mut interesting = HashSet::<u128, IdHashers>::default();
        let mut stored = 0;
        let mut held = lock(&self.held);
        for (origin, bytes) in all() {
            let Some(head) = SpanHead::scan_start(bytes) else {
                continue;
            };
            let id = head.trace_id;
            if spans.is_sampled(id) || held.traces.contains(id) {
                stored += u64::from(spans.take() && held.add(origin, bytes));
            } else if self.is_interesting(&head, bytes) && interesting.len() < MAX_INTERESTING {
                interesting.insert(id);
            }
        }
        // Their other spans may precede the one that says so.
        for (origin, bytes) in all().filter(|_| !interesting.is_empty()) {
            let head = SpanHead::scan_start(bytes);
            let is_wanted = head.is_some_and(|head| interesting.contains(&head.trace_id));
            if is_wanted && spans.take_interesting() {
                stored += u64::from(held.add(origin, bytes));
            }
        }
        held.counts.seen_spans += seen;
        held.counts.passed_over_spans += seen - stored;
        held.counts.one_in = spans.one_in();
        drop(held);
        if stored > 0 {
            self.events.publish(Kind::Traces, now);
        }
    }

    /// Whether a span says that its request failed or was slow. An error that was handled
    /// inside does not.
    fn is_interesting(&self, head: &SpanHead, bytes: &[u8]) -> bool {
        let is_slow = || head.duration() >= nanos(self.config.slow_threshold);
        head.is_entry() && (is_slow() || SpanHead::has_error(bytes))
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

impl Held {
    /// Stores an encoded span, where it has room.
    fn add(&mut self, origin: &Arc<Origin>, bytes: &[u8]) -> bool {
        let Some(head) = SpanHead::scan(bytes) else {
            return false;
        };
        self.traces.add(StoredSpan {
            head,
            origin: Arc::clone(origin),
            bytes: bytes.into(),
        })
    }
}

/// A `ScopeSpans` of an export request.
struct Group<'a> {
    origin: Arc<Origin>,
    message: &'a [u8],
}

impl<'a> Group<'a> {
    fn spans(&self) -> impl Iterator<Item = (&Arc<Origin>, &'a [u8])> {
        let spans = Fields::new(self.message).messages(2);
        spans.map(|bytes| (&self.origin, bytes))
    }
}

fn groups<'a>(request: &'a [u8], origins: &mut Origins) -> Vec<Group<'a>> {
    let mut groups = Vec::new();
    for of_resource in Fields::new(request).messages(1) {
        let resource = first_message(of_resource, 1);
        let of_scopes = Fields::new(of_resource).messages(2);
        groups.extend(of_scopes.map(|message| Group {
            origin: origins.of(resource, first_message(message, 1)),
            message,
        }));
    }
    groups
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
