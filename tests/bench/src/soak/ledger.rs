//! Which server spans are owed: one for each answer, by the id that the answer
//! itself named.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fanlight_runner::traceresponse::TraceResponse;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::connection::Answer;

/// Before a collector is killed: spans of answers so old may still be queued.
const QUEUED: Duration = Duration::from_secs(5);
/// After it is back: the batch under way, and the wait before the next attempt.
const RECOVERY: Duration = Duration::from_secs(10);

/// Answers and the spans that came for them.
pub(super) struct Ledger {
    begun: Instant,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    answers: u64,
    /// Answers that did not name a span.
    nameless: u64,
    /// When each answer came whose span did not come yet.
    owed: HashMap<u64, Instant>,
    /// Spans that came before their answer, or whose answer nobody read.
    early: HashSet<u64>,
    /// When the collector was not there.
    outages: Vec<(Instant, Instant)>,
}

/// What is missing at the end.
#[derive(Debug)]
pub(super) struct Balance {
    pub(super) answers: u64,
    pub(super) nameless: u64,
    /// Spans missing of answers near an outage.
    pub(super) around_outages: u64,
    /// Spans missing of all others, and when the first was answered.
    pub(super) elsewhere: u64,
    pub(super) first_elsewhere: Option<Duration>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            entries: Mutex::default(),
        }
    }

    /// An answer came: its span is owed.
    pub(super) fn answered(&self, answer: &Answer) {
        let named = answer.traceresponse.as_deref().and_then(span_id);
        self.change(|entries| {
            entries.answers += 1;
            match named {
                None => entries.nameless += 1,
                Some(id) if entries.early.remove(&id) => {}
                Some(id) => {
                    entries.owed.insert(id, Instant::now());
                }
            }
        });
    }

    /// A span came.
    pub(super) fn collected(&self, span: &Span) {
        if span.kind != SpanKind::Server as i32 {
            return;
        }
        if let Ok(id) = <[u8; 8]>::try_from(&*span.span_id) {
            let id = u64::from_be_bytes(id);
            self.change(|entries| {
                if entries.owed.remove(&id).is_none() {
                    entries.early.insert(id);
                }
            });
        }
    }

    /// The collector was not there between these.
    pub(super) fn outage(&self, from: Instant, until: Instant) {
        self.change(|entries| entries.outages.push((from, until)));
    }

    pub(super) fn owed(&self) -> usize {
        self.change(|entries| entries.owed.len())
    }

    pub(super) fn balance(&self) -> Balance {
        self.change(|entries| {
            let near_outage = |at: &Instant| {
                entries
                    .outages
                    .iter()
                    .any(|(from, until)| *at + QUEUED >= *from && *at <= *until + RECOVERY)
            };
            let elsewhere = || entries.owed.values().filter(|at| !near_outage(at));
            let count = elsewhere().count() as u64;
            Balance {
                answers: entries.answers,
                nameless: entries.nameless,
                around_outages: entries.owed.len() as u64 - count,
                elsewhere: count,
                first_elsewhere: elsewhere().min().map(|at| *at - self.begun),
            }
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> T) -> T {
        change(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn span_id(traceresponse: &str) -> Option<u64> {
    let named: TraceResponse = traceresponse.parse().ok()?;
    u64::from_str_radix(&named.span_id, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

    use super::Ledger;
    use crate::connection::Answer;

    fn answer(id: u64) -> Answer {
        Answer {
            status: 200,
            body: Bytes::new(),
            traceresponse: Some(format!("00-{:032x}-{id:016x}-01", 7)),
            latency: Duration::ZERO,
        }
    }

    fn span(id: u64) -> Span {
        Span {
            span_id: id.to_be_bytes().to_vec(),
            kind: SpanKind::Server as i32,
            ..Span::default()
        }
    }

    #[test]
    fn a_span_pays_for_its_answer_in_either_order() {
        let ledger = Ledger::new();
        ledger.answered(&answer(1));
        ledger.collected(&span(1));
        ledger.collected(&span(2));
        ledger.answered(&answer(2));
        ledger.answered(&answer(3));
        let balance = ledger.balance();
        assert_eq!((balance.answers, balance.elsewhere), (3, 1));
    }

    #[test]
    fn what_is_missing_around_an_outage_is_told_apart() {
        let ledger = Ledger::new();
        ledger.answered(&answer(1));
        ledger.outage(Instant::now(), Instant::now());
        let balance = ledger.balance();
        assert_eq!((balance.around_outages, balance.elsewhere), (1, 0));
    }
}
