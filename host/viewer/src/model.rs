//! A trace as pages show it: spans decoded, in a tree, with their log records.

mod critical_path;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::store::logs::StoredLog;
use crate::store::origin::Origin;
use crate::store::traces::{StoredSpan, Trace};
use crate::value::{find, find_text};
use crate::wire::{SERVER, SpanHead};

/// What a list shows of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The name of the span that the trace begins with.
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) route: String,
    pub(crate) path: String,
    /// The status code of the response, or 0.
    pub(crate) http_status: u16,
    pub(crate) error_type: String,
    pub(crate) version: String,
    pub(crate) generation: String,
    pub(crate) span_id: u64,
}

impl Summary {
    /// The summary of a trace, made once for each state that the trace is in.
    pub(crate) fn of(trace: &Trace) -> Arc<Self> {
        Arc::clone(trace.summary.get_or_init(|| Arc::new(Self::new(trace))))
    }

    fn new(trace: &Trace) -> Self {
        let Some(entry) = entry_span(&trace.spans) else {
            return Self::default();
        };
        let span = Span::decode(&*entry.bytes).unwrap_or_default();
        let text = |key: &str| {
            let mut text = find_text(&span.attributes, key).unwrap_or_default();
            shorten(&mut text);
            text
        };
        let mut name = span.name.clone();
        shorten(&mut name);
        Self {
            service: entry.origin.service().to_owned(),
            method: text("http.request.method"),
            route: text("http.route"),
            path: text("url.path"),
            http_status: text("http.response.status_code").parse().unwrap_or(0),
            error_type: text("error.type"),
            version: text("fanlight.component.version"),
            generation: text("fanlight.component.generation"),
            span_id: entry.head.span_id,
            name,
        }
    }

    /// Route, or else path, or else name.
    pub(crate) fn target(&self) -> &str {
        let target = [&self.route, &self.path]
            .into_iter()
            .find(|it| !it.is_empty());
        target.unwrap_or(&self.name)
    }
}

/// A list needs no more of a text, and the memory of summaries is bounded.
fn shorten(text: &mut String) {
    const MAX_BYTES: usize = 120;
    if text.len() > MAX_BYTES {
        text.truncate(text.floor_char_boundary(MAX_BYTES));
        text.push('…');
    }
    text.shrink_to_fit();
}

/// The span that a trace begins with here: the earliest server span, or else the
/// earliest span whose parent is not in the trace, or else the earliest.
fn entry_span(spans: &[StoredSpan]) -> Option<&StoredSpan> {
    let has_parent = |head: &SpanHead| {
        head.parent != 0
            && spans
                .iter()
                .take(64)
                .any(|it| it.head.span_id == head.parent)
    };
    spans.iter().min_by_key(|it| {
        let head = &it.head;
        (head.kind != SERVER, has_parent(head), head.start)
    })
}

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
    let mut sorted: Vec<_> = attributes
        .iter()
        .filter(|it| {
            let counting = find(attributes, &it.key);
            match (&it.value, counting) {
                (Some(own), Some(counting)) => std::ptr::eq(own, counting),
                (own, _) => own.is_none(),
            }
        })
        .collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
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
                span: Span::decode(&*it.bytes).unwrap_or_default(),
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
