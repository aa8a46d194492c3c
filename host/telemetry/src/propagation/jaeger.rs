//! The headers of Jaeger's own clients: `uber-trace-id`, and one that begins
//! with `uberctx-` for each key of baggage.
//!
//! As <https://www.jaegertracing.io/sdk-migration/#propagation-format> has them.
//! Ids may lack their leading zeros, the colons may be percent-encoded, and the
//! parent's id has no effect.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::{Caller, Found, PropagatedContext};
use crate::propagation::baggage::{Baggage, Member};
use crate::propagation::once;

static UBER_TRACE_ID: HeaderName = HeaderName::from_static("uber-trace-id");
/// What the name of a header with baggage begins with.
const UBERCTX: &str = "uberctx-";
const SAMPLED: u8 = 0x01;
/// Implies the other.
const DEBUG: u8 = 0x02;
/// What stands for itself in a URL: RFC 3986 §2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Reads `{trace}:{span}:{parent}:{flags}`.
pub(crate) fn extract(headers: &HeaderMap) -> Option<Found> {
    let value = once(headers, &UBER_TRACE_ID).ok()??;
    let value: Cow<'_, [u8]> = percent_decode(value).into();
    let parts: Vec<_> = value.splitn(5, |byte| *byte == b':').collect();
    let [trace, span, parent, flags] = parts[..] else {
        return None;
    };
    let trace = TraceId::from(number(trace, 32)?);
    let span = SpanId::from(u64::try_from(number(span, 16)?).ok()?);
    number(parent, 16)?;
    let flags = u8::try_from(number(flags, 2)?).ok()?;
    if trace == TraceId::INVALID || span == SpanId::INVALID {
        return None;
    }
    let sampled = if flags & (SAMPLED | DEBUG) == 0 {
        TraceFlags::NOT_SAMPLED
    } else {
        TraceFlags::SAMPLED
    };
    let context = SpanContext::new(trace, span, sampled, true, TraceState::NONE);
    Some(Found {
        caller: Caller::Span(context),
        debug: flags & DEBUG != 0,
    })
}

/// Reads a number of one to `most` hexadecimal digits of either case.
fn number(digits: &[u8], most: usize) -> Option<u128> {
    // The standard library takes a sign as well.
    if digits.len() > most || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Adds what the headers of baggage hold. Names of headers have no case, so
/// the keys are lower-case.
pub(crate) fn extract_baggage(headers: &HeaderMap, baggage: &mut Baggage) {
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(UBERCTX) else {
            continue;
        };
        if key.is_empty() {
            continue;
        }
        // Encoded as in a query, where a plus is a space.
        let value: Vec<u8> = value
            .as_bytes()
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        baggage.insert(Member {
            key: key.to_owned(),
            value: percent_decode(&value).decode_utf8_lossy().into_owned(),
            properties: Vec::new(),
        });
    }
}

/// Writes all of it anew, whatever was there.
pub(crate) fn inject(context: &SpanContext, carried: &PropagatedContext, headers: &mut HeaderMap) {
    headers.remove(&UBER_TRACE_ID);
    let stale: Vec<_> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(UBERCTX))
        .cloned()
        .collect();
    for name in stale {
        headers.remove(name);
    }
    for member in carried.baggage.members() {
        let name = HeaderName::try_from(format!("{UBERCTX}{}", member.key));
        let value = utf8_percent_encode(&member.value, ENCODED).to_string();
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            // Keys of baggage have a case and headers have none. Of those that
            // become one name the first goes out, not whichever comes last.
            headers.entry(name).or_insert(value);
        }
    }
    if !context.is_valid() {
        return;
    }
    let flags = match (carried.debug, context.is_sampled()) {
        (true, _) => SAMPLED | DEBUG,
        (false, true) => SAMPLED,
        (false, false) => 0,
    };
    // The parent's id is deprecated, and zero is its value then.
    let text = format!("{}:{}:0:{flags}", context.trace_id(), context.span_id());
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(&UBER_TRACE_ID, value);
    }
}
