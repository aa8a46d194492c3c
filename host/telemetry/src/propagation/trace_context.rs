//! The headers `traceparent` and `traceresponse`, strictly, with the `tracestate` of the
//! first.
//!
//! The stock propagator takes malformed headers for good ones. Here a header
//! that breaks a rule of the W3C Trace Context recommendation means a new
//! root, never a half-read parent. Knows headers, nothing of spans.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::propagation::header::once;
use crate::propagation::ids::{bytes_of, hex, span_id, trace_id};
use crate::propagation::trace_state::{self, tracestate};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The flags of version 00; all others are sent as zeros.
const KNOWN_FLAGS: u8 = 0x03;

/// Extracts the caller's span context; none where the headers name no valid one.
pub fn extract(headers: &HeaderMap) -> Option<SpanContext> {
    let value = once(headers, &TRACEPARENT).ok()??;
    let (trace_id, span_id, flags) = parse_traceparent(value)?;
    let state = parse_tracestate(headers);
    Some(SpanContext::new(trace_id, span_id, flags, true, state))
}

/// Writes both headers anew, whatever was there.
pub(crate) fn inject(context: &SpanContext, headers: &mut HeaderMap) {
    headers.remove(&TRACEPARENT);
    headers.remove(&TRACESTATE);
    if !context.is_valid() {
        return;
    }
    let Some(parent) = format_traceparent(context) else {
        return;
    };
    headers.insert(&TRACEPARENT, parent);
    // Vendors should not send an empty one (§3.3.1).
    let state = trace_state::header(context.trace_state());
    let state = Some(state).filter(|state| !state.is_empty());
    if let Some(state) = state.and_then(|state| HeaderValue::try_from(state).ok()) {
        headers.insert(&TRACESTATE, state);
    }
}

/// Writes `version-trace-span-flags`, the form of `traceparent` and `traceresponse`.
pub fn format_traceparent(context: &SpanContext) -> Option<HeaderValue> {
    let mut text = [0_u8; 55];
    text[..3].copy_from_slice(b"00-");
    hex(&context.trace_id().to_bytes(), &mut text[3..35]);
    text[35] = b'-';
    hex(&context.span_id().to_bytes(), &mut text[36..52]);
    text[52] = b'-';
    let flags = context.trace_flags().to_u8() & KNOWN_FLAGS;
    hex(&[flags], &mut text[53..55]);
    HeaderValue::from_bytes(&text).ok()
}

/// Parses `00-<32 hex>-<16 hex>-<2 hex>`; later versions may carry more after a dash.
fn parse_traceparent(value: &[u8]) -> Option<(TraceId, SpanId, TraceFlags)> {
    if value.len() < 55 || value[2] != b'-' || value[35] != b'-' || value[52] != b'-' {
        return None;
    }
    let [version] = bytes_of::<1>(&value[..2])?;
    match version {
        0xff => return None,
        0 if value.len() != 55 => return None,
        _ if value.len() > 55 && value[55] != b'-' => return None,
        _ => {}
    }
    let trace_id = trace_id(&value[3..35])?;
    let span_id = span_id(&value[36..52])?;
    let [flags] = bytes_of::<1>(&value[53..55])?;
    // A later version's flags have meanings that are unknown here, except the first.
    let known = if version == 0 {
        flags & KNOWN_FLAGS
    } else {
        flags & 0x01
    };
    Some((trace_id, span_id, TraceFlags::new(known)))
}

/// Joins all `tracestate` headers.
fn parse_tracestate(headers: &HeaderMap) -> TraceState {
    let values = headers.get_all(&TRACESTATE).iter();
    // A byte that is no ASCII costs the member that holds it.
    let values: Vec<_> = values
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    tracestate(values.iter().map(AsRef::as_ref))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn a_well_formed_parent_is_taken_and_written_back_the_same() {
        let value = format!("00-{TRACE}-{SPAN}-01");
        let context = extract(&headers(&[("traceparent", &value)])).unwrap();
        assert!(context.is_remote() && context.is_sampled());
        assert_eq!(format_traceparent(&context).unwrap(), value.as_str());
    }

    #[test]
    fn tracestate_headers_are_joined_in_order_and_a_bad_member_costs_itself_alone() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let state = |values: &[&str]| {
            let mut pairs = vec![("traceparent", parent.as_str())];
            pairs.extend(values.iter().map(|value| ("tracestate", *value)));
            let context = extract(&headers(&pairs)).unwrap();
            trace_state::header(context.trace_state())
        };
        assert_eq!(state(&["a=1, b=2", "c=3"]), "a=1,b=2,c=3");
        assert_eq!(state(&["a=1,,\t", ""]), "a=1");
        assert_eq!(state(&["a=1,b="]), "a=1");
        assert_eq!(state(&["a=1,b", "c=3"]), "a=1,c=3");
        assert_eq!(state(&["A=1"]), "");
        assert_eq!(state(&["foo=1,foo=1"]), "foo=1,foo=1");
        assert_eq!(state(&["a=1,b=x=y,c=2"]), "a=1,c=2");
        assert_eq!(state(&["foo@@bar=1,bar=2"]), "foo@@bar=1,bar=2");
        let long = format!("{}@bar=1", "t".repeat(252));
        assert_eq!(state(&[&long]), long);
        assert_eq!(state(&["a=x\ty"]), "");
        let many = |n: usize| {
            (0..n)
                .map(|i| format!("k{i}=v"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(state(&[&many(32)]), many(32));
        assert_eq!(state(&[&many(33)]), "");
    }
}
