//! The headers `traceparent`, `tracestate` and `traceresponse`, strictly.
//!
//! The stock propagator takes malformed headers for good ones. Here a header
//! that breaks a rule of the W3C Trace Context recommendation means a new
//! root, never a half-read parent. Knows headers, nothing of spans.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::propagation::ids::{bytes_of, hex, span_id, trace_id};
use crate::propagation::once;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// W3C Trace Context Level 2 §3.2.2.5.2: the right half of the trace's id is
/// random. The service that begins a trace sets it, and all others pass it on.
pub const RANDOM: TraceFlags = TraceFlags::new(0x02);
/// The flags of version 00; all others are sent as zeros.
const KNOWN_FLAGS: u8 = 0x03;

/// W3C Trace Context §3.3.1.1: at most 32 members; more discard the whole.
const MAX_TRACESTATE_MEMBERS: usize = 32;
/// The longest state that is handed on. W3C Trace Context §3.3.1.5 wants 512
/// characters kept; a host keeps it with every span of a request.
const MAX_TRACESTATE_BYTES: usize = 1024;
/// Members over this length are the first to go, by the same section.
const LONG_MEMBER_BYTES: usize = 128;

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
    let state = Some(context.trace_state().header()).filter(|state| !state.is_empty());
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

/// Reads a `tracestate` that may be spread over several texts. A member that
/// cannot be kept is left out, more than 32 discard the whole, and what is too
/// long loses members. Keys may repeat, as level 2 lets them.
pub fn tracestate<'a>(texts: impl IntoIterator<Item = &'a str>) -> TraceState {
    let mut members = Vec::with_capacity(4);
    let mut count = 0;
    for member in texts.into_iter().flat_map(|text| text.split(',')) {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        count += 1;
        if count > MAX_TRACESTATE_MEMBERS {
            return TraceState::NONE;
        }
        if let Some((key, value)) = member.split_once('=')
            && can_be_kept(key, value)
        {
            members.push((key, value));
        }
    }
    shorten(&mut members);
    TraceState::from_key_value(members).unwrap_or(TraceState::NONE)
}

/// Whether the SDK's type holds this member. Of the keys with an `@` it holds
/// those of level 1 alone, which is narrower than level 2.
fn can_be_kept(key: &str, value: &str) -> bool {
    !key.is_empty()
        && is_tracestate_value(value)
        && TraceState::from_key_value([(key, value)]).is_ok()
}

/// Whether these are `chr`s: the SDK looks for commas and equals signs alone,
/// lets a tab pass from a header and everything from a guest.
fn is_tracestate_value(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Drops members until the rest is short enough: long ones first, from the end.
fn shorten(members: &mut Vec<(&str, &str)>) {
    // Each has its `=`, and a comma before the next.
    let bytes = |(key, value): &(&str, &str)| key.len() + value.len() + 2;
    let mut total: usize = members.iter().map(bytes).sum();
    while total > MAX_TRACESTATE_BYTES + 1 {
        let long = members
            .iter()
            .rposition(|member| bytes(member) > LONG_MEMBER_BYTES + 1);
        let gone = members.remove(long.unwrap_or(members.len() - 1));
        total -= bytes(&gone);
    }
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
            context.trace_state().header()
        };
        assert_eq!(state(&["a=1, b=2", "c=3"]), "a=1,b=2,c=3");
        assert_eq!(state(&["a=1,,\t", ""]), "a=1");
        assert_eq!(state(&["a=1,b="]), "a=1");
        assert_eq!(state(&["a=1,b", "c=3"]), "a=1,c=3");
        assert_eq!(state(&["A=1"]), "");
        assert_eq!(state(&["foo=1,foo=1"]), "foo=1,foo=1");
        assert_eq!(state(&["a=1,b=x=y,c=2"]), "a=1,c=2");
        assert_eq!(state(&["foo@@bar=1,bar=2"]), "bar=2");
        assert_eq!(state(&["foo@bar@baz=1,bar=2"]), "bar=2");
        let long = format!("{}@bar=1", "t".repeat(252));
        assert_eq!(state(&[&long]), long);
        assert_eq!(state(&["a=x\ty"]), "");
        // A guest's is no header yet.
        assert_eq!(tracestate(["a=x\r\nb: y"]), TraceState::NONE);
        assert_eq!(tracestate(["a=é"]), TraceState::NONE);
        let many = |n: usize| {
            (0..n)
                .map(|i| format!("k{i}=v"))
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(state(&[&many(32)]), many(32));
        assert_eq!(state(&[&many(33)]), "");
    }

    #[test]
    fn a_long_tracestate_loses_long_members_first_and_then_the_last() {
        let member = |key: &str, bytes: usize| format!("{key}={}", "v".repeat(bytes - 2));
        let keys = ["a", "b", "c", "d"];
        let mut members: Vec<_> = keys.iter().map(|key| member(key, 250)).collect();
        members.push(member("e", 20));
        let exact = members.join(",");
        assert_eq!(exact.len(), MAX_TRACESTATE_BYTES);
        assert_eq!(tracestate([exact.as_str()]).header(), exact);
        members[4].push('v');
        let over = members.join(",");
        members.remove(3);
        assert_eq!(tracestate([over.as_str()]).header(), members.join(","));
        let many: Vec<_> = (0..20).map(|n| member(&format!("k{n}"), 100)).collect();
        let kept = tracestate([many.join(",").as_str()]).header();
        assert!(many.join(",").starts_with(&kept), "{kept}");
        assert!((900..=MAX_TRACESTATE_BYTES).contains(&kept.len()));
    }
}
