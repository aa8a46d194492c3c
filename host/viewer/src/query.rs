//! Searches for traces and log records.

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::sync::Arc;

use memchr::memmem;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::model::LogModel;
use crate::store::Store;
use crate::store::logs::StoredLog;
use crate::store::span::StoredSpan;
use crate::store::traces::Trace;
use crate::value;

/// Which traces are searched for. A text that is empty, or a range that is open, asks
/// for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) service: String,
    /// What one span has to fulfil.
    pub(crate) span: SpanSearch,
    /// Parts of the method, the route or path, and the version.
    pub(crate) method: String,
    pub(crate) route: String,
    pub(crate) version: String,
    pub(crate) status: Status,
    /// Nanoseconds from the first start to the last end.
    pub(crate) duration: RangeInclusive<u64>,
    /// Nanoseconds since 1970.
    pub(crate) start: RangeInclusive<u64>,
    pub(crate) min_spans: usize,
    /// A part of any text in any span, whatever its case.
    pub(crate) text: String,
    pub(crate) order: Order,
    pub(crate) limit: usize,
    /// The last trace of the page before.
    pub(crate) after: Option<Cursor>,
}

/// What one span has to fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpanSearch {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) duration: RangeInclusive<u64>,
    pub(crate) start: RangeInclusive<u64>,
}

/// How a trace ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    #[default]
    Any,
    /// No span failed.
    Ok,
    /// A span failed.
    Error,
    /// A response of this hundred, such as 4.
    Class(u16),
    /// A response with this code.
    Code(u16),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Newest,
    Slowest,
}

/// A trace's place in an order: its start or its duration, and its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    pub(crate) rank: u64,
    pub(crate) id: u128,
}

/// A range that asks for nothing.
pub(crate) const OPEN: RangeInclusive<u64> = 0..=u64::MAX;

impl Default for Search {
    fn default() -> Self {
        Self {
            service: String::new(),
            span: SpanSearch {
                name: String::new(),
                attributes: Vec::new(),
                duration: OPEN,
                start: OPEN,
            },
            method: String::new(),
            route: String::new(),
            version: String::new(),
            status: Status::Any,
            duration: OPEN,
            start: OPEN,
            min_spans: 0,
            text: String::new(),
            order: Order::Newest,
            limit: 100,
            after: None,
        }
    }
}

/// Traces of one page.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) traces: Vec<Arc<Trace>>,
    /// Traces on all pages.
    pub(crate) total: usize,
    /// Where the next page begins.
    pub(crate) next: Option<Cursor>,
}

impl Search {
    /// Searches the store.
    pub(crate) fn run(&self, store: &Store) -> Found {
        let mut traces = store.traces();
        traces.retain(|trace| self.matches(trace));
        self.page(traces)
    }

    /// All that match, in order, without pages.
    pub(crate) fn page(&self, traces: Vec<Arc<Trace>>) -> Found {
        let total = traces.len();
        let mut ranked: Vec<_> = traces
            .into_iter()
            .map(|trace| (self.cursor(&trace), trace))
            .filter(|(cursor, _)| self.after.is_none_or(|after| *cursor < after))
            .collect();
        ranked.sort_by_key(|it| std::cmp::Reverse(it.0));
        let has_more = ranked.len() > self.limit;
        ranked.truncate(self.limit);
        Found {
            total,
            next: ranked.last().map(|it| it.0).filter(|_| has_more),
            traces: ranked.into_iter().map(|it| it.1).collect(),
        }
    }

    fn cursor(&self, trace: &Trace) -> Cursor {
        Cursor {
            rank: match self.order {
                Order::Newest => trace.start,
                Order::Slowest => trace.duration(),
            },
            id: trace.id,
        }
    }

    pub(crate) fn matches(&self, trace: &Trace) -> bool {
        // The cheap questions come first.
        self.duration.contains(&trace.duration())
            && self.start.contains(&trace.start)
            && trace.spans.len() >= self.min_spans
            && self.matches_summary(trace)
            && (self.service.is_empty()
                || trace
                    .spans
                    .iter()
                    .any(|it| it.origin.service() == self.service))
            && (self.text.is_empty() || has_text(trace, &self.text))
            && (self.span.asks_nothing() || trace.spans.iter().any(|it| self.span.matches(it)))
    }

    fn matches_summary(&self, trace: &Trace) -> bool {
        let is_answered = match self.status {
            Status::Any => true,
            Status::Ok => !trace.is_failed,
            Status::Error => trace.is_failed,
            Status::Class(class) => trace.summary().http_status / 100 == class,
            Status::Code(code) => trace.summary().http_status == code,
        };
        if !is_answered {
            return false;
        }
        if [&self.method, &self.route, &self.version]
            .iter()
            .all(|it| it.is_empty())
        {
            return true;
        }
        let summary = trace.summary();
        let has = |text: &str, part: &str| part.is_empty() || contains(text.as_bytes(), part);
        has(&summary.method, &self.method)
            && (has(&summary.route, &self.route)
                || has(&summary.path, &self.route)
                || has(&summary.name, &self.route))
            && (has(&summary.version, &self.version) || summary.generation == self.version)
    }
}

impl SpanSearch {
    fn asks_nothing(&self) -> bool {
        self.name.is_empty()
            && self.attributes.is_empty()
            && self.duration == OPEN
            && self.start == OPEN
    }

    fn matches(&self, stored: &StoredSpan) -> bool {
        let head = &stored.head;
        if !self.duration.contains(&head.duration()) || !self.start.contains(&head.start) {
            return false;
        }
        if self.name.is_empty() && self.attributes.is_empty() {
            return true;
        }
        // Texts stand in the bytes as they are: most spans need no decoding.
        if !self.name.is_empty() && !contains(&stored.bytes, &self.name) {
            return false;
        }
        let Ok(span) = Span::decode(&*stored.bytes) else {
            return false;
        };
        (self.name.is_empty() || span.name == self.name)
            && self
                .attributes
                .iter()
                .all(|(key, value)| has_attribute(stored, &span, key, value))
    }
}

fn has_attribute(stored: &StoredSpan, span: &Span, key: &str, wanted: &str) -> bool {
    let is = |text: Option<String>| text.is_some_and(|text| text == wanted);
    if is(value::find_text(&span.attributes, key)) {
        return true;
    }
    // Jaeger's name for the status.
    if key == "error" {
        return wanted
            == if stored.head.is_error {
                "true"
            } else {
                "false"
            };
    }
    let in_event = |it: &opentelemetry_proto::tonic::trace::v1::span::Event| {
        is(value::find_text(&it.attributes, key))
    };
    span.events.iter().any(in_event)
        || is(value::find_text(&stored.origin.resource().attributes, key))
}

/// Whether any text of a trace has this part: names, keys and values stand in the
/// encoded spans as they are.
fn has_text(trace: &Trace, part: &str) -> bool {
    if let Ok(id) = u128::from_str_radix(part, 16)
        && part.len() == 32
    {
        return trace.id == id;
    }
    trace.spans.iter().any(|it| contains(&it.bytes, part))
        || trace.logs.iter().any(|it| contains(&it.bytes, part))
}

/// Whether a text has a part, whatever the case of its ASCII letters. The time is in
/// proportion to the text, whatever both are: a client chooses one, a guest the other.
pub(crate) fn contains(text: &[u8], part: &str) -> bool {
    if part.len() > text.len() {
        return false;
    }
    let part = part.to_ascii_lowercase();
    memmem::find(&text.to_ascii_lowercase(), part.as_bytes()).is_some()
}

/// Which log records are searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogSearch {
    /// The least severity.
    pub(crate) severity: i32,
    pub(crate) text: String,
    pub(crate) trace_id: Option<u128>,
    /// Records admitted after this one.
    pub(crate) since: u64,
    /// Records admitted before this one.
    pub(crate) before: Option<u64>,
    pub(crate) limit: usize,
}

impl LogSearch {
    /// Searches the store; the newest come first. Says whether there are more.
    pub(crate) fn run(&self, store: &Store) -> (Vec<LogModel>, bool) {
        let logs = match self.trace_id {
            Some(id) => store.logs_of(id),
            None => store.logs(),
        };
        let mut found = logs.iter().rev().filter(|log| self.matches(log));
        let page = found.by_ref().take(self.limit);
        let mut page: Vec<_> = page.map(|log| LogModel::new(log)).collect();
        // Records of several queues arrive a little out of order.
        page.sort_by_key(|it| std::cmp::Reverse((it.time, it.seq)));
        (page, found.next().is_some())
    }

    fn matches(&self, log: &StoredLog) -> bool {
        log.severity >= self.severity
            && log.seq > self.since
            && self.before.is_none_or(|before| log.seq < before)
            && contains(&log.bytes, &self.text)
    }
}
