//! Counts spans by their trace: whether each request has all of its own.

use std::collections::HashMap;

use anyhow::Context;
use prost::Message;

use super::sink::Expected;

/// The length of a message's head in gRPC: a flag and four bytes of length.
const HEAD: usize = 5;

/// What arrived of each trace.
#[derive(Debug)]
pub(crate) struct Traces {
    spans_a_request: u32,
    traces: HashMap<Vec<u8>, Trace>,
    /// Counted along, for they are asked for again and again.
    whole: u64,
    failed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Trace {
    spans: u32,
    /// Whether one of its spans says that it failed. The load was answered
    /// without a failure, so this was a request that was cut when it ended, and
    /// whose guest may not have come to all of its spans.
    failed: bool,
}

impl Traces {
    /// Of requests that make so many spans each.
    pub(crate) fn of(spans_a_request: u32) -> Self {
        Self {
            spans_a_request,
            traces: HashMap::new(),
            whole: 0,
            failed: 0,
        }
    }

    /// How many have all of their spans, and did not fail.
    pub(crate) fn whole(&self) -> u64 {
        self.whole
    }

    /// Takes the body of a request in: one message of gRPC.
    ///
    /// # Errors
    /// Where it is something else, or a trace has more spans than it may.
    pub(crate) fn add(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let (head, message) = body.split_at_checked(HEAD).context("no message")?;
        let [0, length @ ..] = head else {
            anyhow::bail!("a request that is compressed");
        };
        let length = length.iter().fold(0, |sum, byte| sum << 8 | *byte as usize);
        anyhow::ensure!(message.len() == length, "more or less than one message");
        let request = Request::decode(message).context("not OTLP")?;
        let scopes = request.resources.into_iter().flat_map(|it| it.scopes);
        for span in scopes.flat_map(|scope| scope.spans) {
            self.add_span(span)?;
        }
        Ok(())
    }

    fn add_span(&mut self, span: Span) -> anyhow::Result<()> {
        let all = self.spans_a_request;
        let is_whole = |trace: &Trace| trace.spans == all && !trace.failed;
        let trace = self.traces.entry(span.trace_id).or_default();
        let before = *trace;
        trace.spans += 1;
        trace.failed |= span.status.is_some_and(|status| status.code == ERROR);
        anyhow::ensure!(trace.spans <= all, "a trace of too many spans");
        self.whole = self.whole + u64::from(is_whole(trace)) - u64::from(is_whole(&before));
        self.failed += u64::from(trace.failed != before.failed);
        Ok(())
    }

    /// # Errors
    /// Where a trace is not whole, or there are fewer or more than there were
    /// requests.
    pub(crate) fn demand(&self, expected: Expected) -> anyhow::Result<()> {
        let Expected { requests, cut, .. } = expected;
        let Self { whole, failed, .. } = self;
        let all = self.traces.len() as u64;
        anyhow::ensure!(
            whole + failed == all && requests <= *whole && all <= requests + cut,
            "{requests} requests (and at most {cut} cut) left {all} traces, {whole} of them \
             whole, {failed} cut"
        );
        Ok(())
    }
}

/// The code of a span's status that says so.
const ERROR: i32 = 2;

/// What is read of an `ExportTraceServiceRequest`: to read it all would take
/// seconds after each round.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[cfg(test)]
pub(super) mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status};
    use prost::Message;

    use super::{Expected, Traces};

    /// A request with so many spans of each trace; those from 100 on have failed.
    pub(in super::super) fn request(traces: &[(u8, usize)]) -> ExportTraceServiceRequest {
        let spans = traces.iter().flat_map(|(trace, count)| {
            let span = Span {
                trace_id: vec![*trace; 16],
                span_id: vec![7; 8],
                name: "GET /".to_owned(),
                status: (*trace >= 100).then(|| Status {
                    code: status::StatusCode::Error.into(),
                    message: "cancelled".to_owned(),
                }),
                ..Span::default()
            };
            std::iter::repeat_n(span, *count)
        });
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: spans.collect(),
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        }
    }

    fn body(traces: &[(u8, usize)]) -> Vec<u8> {
        let message = request(traces).encode_to_vec();
        let mut body = vec![0];
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(message);
        body
    }

    fn arrived(bodies: &[&[(u8, usize)]]) -> Traces {
        let mut traces = Traces::of(3);
        for spans in bodies {
            traces.add(&body(spans)).unwrap();
        }
        traces
    }

    const TWO: Expected = Expected {
        requests: 2,
        cut: 1,
        spans_a_request: 3,
    };

    #[test]
    fn spans_of_a_trace_may_come_in_several_requests() {
        let traces = arrived(&[&[(1, 1), (2, 3)], &[(1, 2)]]);
        assert_eq!(traces.whole(), 2);
        traces.demand(TWO).unwrap();
    }

    #[test]
    fn one_span_that_is_missing_fails_the_round() {
        let error = arrived(&[&[(1, 3), (2, 2)]]).demand(TWO).unwrap_err();
        assert!(error.to_string().contains("2 traces, 1 of them whole"));
    }

    #[test]
    fn a_trace_that_is_missing_fails_the_round() {
        assert!(arrived(&[&[(1, 3)]]).demand(TWO).is_err());
    }

    #[test]
    fn a_request_that_was_cut_may_leave_a_whole_trace_or_one_that_says_so() {
        assert!(arrived(&[&[(1, 3), (2, 3), (3, 3)]]).demand(TWO).is_ok());
        assert!(arrived(&[&[(1, 3), (2, 3), (100, 1)]]).demand(TWO).is_ok());
        assert!(arrived(&[&[(1, 3), (2, 3), (3, 1)]]).demand(TWO).is_err());
        let four = arrived(&[&[(1, 3), (2, 3), (3, 3), (100, 1)]]);
        assert!(four.demand(TWO).is_err());
    }

    #[test]
    fn a_request_that_failed_is_none_that_was_answered() {
        let traces = arrived(&[&[(1, 3), (100, 3)]]);
        assert_eq!(traces.whole(), 1);
        assert!(traces.demand(TWO).is_err());
    }

    #[test]
    fn a_span_too_many_is_none_of_a_round() {
        assert!(Traces::of(3).add(&body(&[(1, 4)])).is_err());
    }

    #[test]
    fn what_is_not_one_message_is_refused() {
        let whole = body(&[(1, 3)]);
        let mut traces = Traces::of(3);
        assert!(traces.add(&whole[..3]).is_err());
        assert!(traces.add(&whole[..whole.len() - 1]).is_err());
        assert!(
            traces
                .add(&[whole.clone(), whole.clone()].concat())
                .is_err()
        );
        let mut compressed = whole;
        compressed[0] = 1;
        assert!(traces.add(&compressed).is_err());
    }
}
