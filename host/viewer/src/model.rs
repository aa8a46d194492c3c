//! A trace as pages show it: spans decoded, in a tree, with their log records.

mod critical_path;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::store::logs::StoredLog;
use crate::store::origin::Origin;
use crate::store::span::StoredSpan;
use crate::store::traces::Trace;
use crate::wire::SpanHead;

/// A trace, decoded.
#[derive(Debug)]
pub(crate) struct TraceModel {
    pub(crate) id: u128,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Each span before its children, and children by their start.
    pub(crate) spans: Vec<SpanModel>,
    pub(crate) logs: Vec<LogModel>,
    pub(crate) dropped_spans: u64,
}

/// A span in its tree.
#[derive(Debug)]
pub(crate) struct SpanModel {
    pub(crate) head: SpanHead,
    pub(crate) span: Span,
    pub(crate) origin: Arc<Origin>,
    pub(crate) depth: usize,
    /// The place of the parent, where it is in the trace.
    pub(crate) parent: Option<usize>,
    /// The spans below it follow it in the list; this is their number.
    pub(crate) descendants: usize,
    /// Whether the trace would have ended sooner, had this span ended sooner.
    pub(crate) is_critical: bool,
}

/// A log record, decoded.
#[derive(Debug)]
pub(crate) struct LogModel {
    pub(crate) seq: u64,
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    pub(crate) time: u64,
    pub(crate) severity: i32,
    pub(crate) record: LogRecord,
    pub(crate) origin: Arc<Origin>,
}

impl LogModel {
    pub(crate) fn new(log: &StoredLog) -> Self {
        let record = log.decode();
        Self {
            seq: log.seq,
            trace_id: log.trace_id,
            span_id: record
                .span_id
                .as_slice()
                .try_into()
                .map(u64::from_be_bytes)
                .unwrap_or_default(),
            time: log.time,
            severity: log.severity,
            record,
            origin: Arc::clone(&log.origin),
        }
    }

    pub(crate) fn body(&self) -> String {
        crate::value::text(self.record.body.as_ref())
    }
}

impl SpanModel {
    pub(crate) fn sorted_attributes(&self) -> Vec<&KeyValue> {
        sorted(&self.span.attributes)
    }
}

/// Attributes by key; of a key that is there twice the last one counts.
pub(crate) fn sorted(attributes: &[KeyValue]) -> Vec<&KeyValue> {
    let mut sorted: Vec<_> = attributes.iter().rev().collect();
    // It keeps the order of equal keys: the last one stands first.
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    sorted.dedup_by(|a, b| a.key == b.key);
    sorted
}

impl TraceModel {
    pub(crate) fn new(trace: &Trace, logs: &[Arc<StoredLog>]) -> Self {
        let mut model = Self {
            id: trace.id,
            start: trace.start.min(trace.end),
            end: trace.end,
            spans: in_order(&trace.spans),
            logs: logs.iter().map(|log| LogModel::new(log)).collect(),
            dropped_spans: trace.dropped_spans,
        };
        critical_path::mark(&mut model.spans);
        model
    }

    pub(crate) fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// Decodes spans, each before its children. Never recurses: a guest decides how deep
/// its spans are, and parents may form a circle.
fn in_order(stored: &[StoredSpan]) -> Vec<SpanModel> {
    let places: HashMap<u64, usize> = stored
        .iter()
        .enumerate()
        .map(|(at, it)| (it.head.span_id, at))
        .collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); stored.len()];
    let mut roots = Vec::new();
    for (at, it) in stored.iter().enumerate() {
        match places.get(&it.head.parent) {
            Some(parent) if *parent != at => children[*parent].push(at),
            _ => roots.push(at),
        }
    }
    let by_start = |at: &usize| {
        let head = &stored[*at].head;
        (head.start, std::cmp::Reverse(head.end), head.span_id)
    };
    for list in &mut children {
        list.sort_by_key(by_start);
    }
    roots.sort_by_key(by_start);
    let mut ordered: Vec<SpanModel> = Vec::with_capacity(stored.len());
    let mut is_done = vec![false; stored.len()];
    // Spans in a circle are below no root: each circle begins at its first span.
    let unreached = 0..stored.len();
    for root in roots.into_iter().chain(unreached) {
        let mut stack = vec![(root, 0, None)];
        while let Some((at, depth, parent)) = stack.pop() {
            if is_done[at] {
                continue;
            }
            is_done[at] = true;
            let place = ordered.len();
            let it = &stored[at];
            ordered.push(SpanModel {
                head: it.head,
                span: it.decode(),
                origin: Arc::clone(&it.origin),
                depth,
                parent,
                descendants: 0,
                is_critical: false,
            });
            let below = children[at].iter().rev();
            stack.extend(below.map(|child| (*child, depth + 1, Some(place))));
        }
    }
    for at in (0..ordered.len()).rev() {
        let count = ordered[at].descendants + 1;
        if let Some(parent) = ordered[at].parent {
            ordered[parent].descendants += count;
        }
    }
    ordered
}
