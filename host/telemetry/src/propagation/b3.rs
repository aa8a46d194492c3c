//! The headers of B3, Zipkin's own: `b3`, or five that begin with `x-b3-`.
//!
//! As <https://github.com/openzipkin/b3-propagation> has them. Ids are 16 or 32
//! lower-case digits; a trace's id of 64 bits stands in the right half. The
//! sampling state may be left to the receiver, and may come without ids.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, TraceFlags, TraceId, TraceState};

use crate::propagation::caller::{Caller, Found};
use crate::propagation::header::once;
use crate::propagation::ids::{bytes_of, span_id, trace_id};

static B3: HeaderName = HeaderName::from_static("b3");
static TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
static SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
static PARENT_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
static SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
static FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Whether a trace is sampled, as B3 says it.
#[derive(Clone, Copy)]
enum Sampling {
    /// No state: the receiver decides.
    Defer,
    Deny,
    Accept,
    /// Accepted, and to be kept at any cost.
    Debug,
}

/// Reads the single header, or else the five.
pub(crate) fn extract(headers: &HeaderMap) -> Option<Found> {
    extract_single(headers).or_else(|| extract_multi(headers))
}

/// Reads `{trace}-{span}-{state}-{parent}`, of which the last two may be
/// missing, or the state alone.
fn extract_single(headers: &HeaderMap) -> Option<Found> {
    let value = once(headers, &B3).ok()??;
    let parts: Vec<_> = value.splitn(5, |byte| *byte == b'-').collect();
    match parts[..] {
        [state] => Sampling::of_char(state)?.alone(),
        [trace, span] => Sampling::Defer.of(trace, span),
        [trace, span, state] => Sampling::of_char(state)?.of(trace, span),
        [trace, span, state, parent] => {
            span_id(parent)?;
            Sampling::of_char(state)?.of(trace, span)
        }
        _ => None,
    }
}

fn extract_multi(headers: &HeaderMap) -> Option<Found> {
    let trace = once(headers, &TRACE_ID).ok()?;
    let span = once(headers, &SPAN_ID).ok()?;
    let sampled = once(headers, &SAMPLED).ok()?;
    let flags = once(headers, &FLAGS).ok()?;
    if let Some(parent) = once(headers, &PARENT_SPAN_ID).ok()? {
        span_id(parent)?;
    }
    let sampling = match (flags, sampled) {
        // Debug implies acceptance; all other values of the flags say nothing.
        (Some(b"1"), _) => Sampling::Debug,
        (_, None) => Sampling::Defer,
        // Words are from before there was a specification, which lets them be read.
        (_, Some(b"1" | b"true")) => Sampling::Accept,
        (_, Some(b"0" | b"false")) => Sampling::Deny,
        (_, Some(_)) => return None,
    };
    match (trace, span) {
        (Some(trace), Some(span)) => sampling.of(trace, span),
        (None, None) => sampling.alone(),
        _ => None,
    }
}

impl Sampling {
    fn of_char(state: &[u8]) -> Option<Self> {
        match state {
            b"0" => Some(Self::Deny),
            b"1" => Some(Self::Accept),
            b"d" => Some(Self::Debug),
            _ => None,
        }
    }

    fn flags(self) -> TraceFlags {
        match self {
            Self::Defer | Self::Deny => TraceFlags::NOT_SAMPLED,
            Self::Accept | Self::Debug => TraceFlags::SAMPLED,
        }
    }

    /// The caller that it makes of the span named with it.
    fn of(self, trace: &[u8], span: &[u8]) -> Option<Found> {
        let (trace, span) = (wide_trace_id(trace)?, span_id(span)?);
        let context = SpanContext::new(trace, span, self.flags(), true, TraceState::NONE);
        Some(Found {
            caller: match self {
                Self::Defer => Caller::Deferring(context),
                Self::Deny | Self::Accept | Self::Debug => Caller::Span(context),
            },
            debug: matches!(self, Self::Debug),
        })
    }

    /// What it says where no span is named.
    fn alone(self) -> Option<Found> {
        match self {
            Self::Defer => None,
            Self::Deny | Self::Accept | Self::Debug => Some(Found {
                caller: Caller::Decision(self.flags()),
                debug: matches!(self, Self::Debug),
            }),
        }
    }
}

/// Reads a trace's id of 128 or 64 bits.
fn wide_trace_id(digits: &[u8]) -> Option<TraceId> {
    match bytes_of::<8>(digits) {
        None => trace_id(digits),
        Some(low) => {
            let id = TraceId::from(u128::from(u64::from_be_bytes(low)));
            (id != TraceId::INVALID).then_some(id)
        }
    }
}

/// Removes the headers of both encodings: a receiver of one reads the other too.
pub(crate) fn clear(headers: &mut HeaderMap) {
    for name in [&B3, &TRACE_ID, &SPAN_ID, &PARENT_SPAN_ID, &SAMPLED, &FLAGS] {
        headers.remove(name);
    }
}

/// Writes the single header.
pub(crate) fn inject_single(context: &SpanContext, debug: bool, headers: &mut HeaderMap) {
    if !context.is_valid() {
        return;
    }
    let state = match (debug, context.is_sampled()) {
        (true, _) => 'd',
        (false, true) => '1',
        (false, false) => '0',
    };
    let text = format!("{}-{}-{state}", context.trace_id(), context.span_id());
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(&B3, value);
    }
}

/// Writes the headers that begin with `x-b3-`; that of the parent is for those
/// who share a span with their caller, which OpenTelemetry's do not.
pub(crate) fn inject_multi(context: &SpanContext, debug: bool, headers: &mut HeaderMap) {
    if !context.is_valid() {
        return;
    }
    let ids = [
        (&TRACE_ID, context.trace_id().to_string()),
        (&SPAN_ID, context.span_id().to_string()),
    ];
    for (name, id) in ids {
        if let Ok(value) = HeaderValue::try_from(id) {
            headers.insert(name, value);
        }
    }
    // Debug implies acceptance, which is then not sent.
    let (name, value) = match (debug, context.is_sampled()) {
        (true, _) => (&FLAGS, "1"),
        (false, true) => (&SAMPLED, "1"),
        (false, false) => (&SAMPLED, "0"),
    };
    headers.insert(name, HeaderValue::from_static(value));
}
