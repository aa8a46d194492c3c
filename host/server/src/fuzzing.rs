//! What fuzzing calls: one function for each target, bytes in, a panic where
//! something does not hold that always must.
//!
//! Not part of the library's interface. The targets in `fuzz/` and the tests
//! below call the same functions, so that what was found once is tried by every
//! `cargo test`.

pub(crate) mod uploads;

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use opentelemetry::Value;
use opentelemetry::trace::SpanContext;

use crate::config::trusted_proxies::{ProxyHeaders, TrustedProxies};
pub use crate::fuzzing::uploads::admin_upload;
use crate::guest_api;
use crate::request::info::{RequestInfo, request_attributes};
use crate::request::peer::{Peer, Scheme};
use fanlight_telemetry::config::known_methods::KnownMethods;
use fanlight_telemetry::metrics::guest;
use fanlight_telemetry::propagation::trace_context::extract;
use fanlight_telemetry::propagation::{
    self, Caller, Propagators, baggage, format_traceparent, trace_state,
};

/// Each line is a `traceparent` header. One that is taken is written back the
/// same, but for the flags that version 00 does not have.
pub fn traceparent(data: &[u8]) {
    let headers = headers("traceparent", data);
    let Some(context) = extract(&headers) else {
        return;
    };
    assert!(context.is_valid() && context.is_remote());
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        unreachable!("taken from none or from several");
    };
    let value = value.as_bytes();
    let Some(written) = format_traceparent(&context) else {
        unreachable!("{context:?} cannot be written");
    };
    let written = written.as_bytes();
    assert_eq!(written.len(), 55);
    // The version is the host's own; the two ids are the caller's.
    assert_eq!(written[..3], *b"00-");
    assert_eq!(written[3..53], value[3..53]);
    let flags = |text: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(&text[53..55]), 16);
    let known = if value.starts_with(b"00") { 0x03 } else { 0x01 };
    assert_eq!(flags(written), flags(value).map(|flags| flags & known));
    assert!(!value.starts_with(b"00") || value.len() == 55);
    assert!(!value.starts_with(b"ff"));
    // What is written is read as what it was.
    let mut again = HeaderMap::new();
    again.insert("traceparent", format_header(written));
    assert_eq!(extract(&again), Some(context));
}

/// Each line is a `tracestate` header, and the whole what a guest hands on.
/// What is taken obeys the grammar, is within the limits, and reads the same
/// when it is passed on.
pub fn tracestate(data: &[u8]) {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut headers = headers("tracestate", data);
    headers.insert("traceparent", HeaderValue::from_static(parent));
    let Some(context) = extract(&headers) else {
        unreachable!("a bad tracestate costs the tracestate alone");
    };
    check_tracestate(&trace_state::header(context.trace_state()));
    if let Ok(text) = std::str::from_utf8(data) {
        check_tracestate(&trace_state::header(&propagation::tracestate([text])));
    }
}

fn check_tracestate(taken: &str) {
    if taken.is_empty() {
        return;
    }
    let members: Vec<_> = taken.split(',').collect();
    assert!(members.len() <= 32 && taken.len() <= 1024, "{taken:?}");
    for member in members {
        let Some((key, value)) = member.split_once('=') else {
            unreachable!("{member:?} is no pair");
        };
        assert!(is_tracestate_key(key), "{key:?}");
        assert!(is_tracestate_value(value), "{value:?}");
    }
    assert_eq!(
        trace_state::header(&propagation::tracestate([taken])),
        taken
    );
}

/// Each line is a `baggage` header. What is taken is within the limits, and
/// reads the same when it is passed on.
pub fn baggage(data: &[u8]) {
    let propagators = propagators("baggage");
    let taken = propagators.extract(&headers("baggage", data)).carried;
    let members = taken.baggage.members();
    assert!(members.len() <= baggage::MAX_MEMBERS);
    let mut keys: Vec<_> = members.iter().map(|member| &member.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), members.len(), "a key is there twice");
    let mut again = HeaderMap::new();
    propagators.inject(&SpanContext::NONE, &taken, &mut again);
    match again.get("baggage") {
        None => assert!(members.is_empty()),
        Some(written) => {
            assert!(written.len() <= baggage::MAX_BYTES);
            assert_eq!(propagators.extract(&again).carried, taken);
        }
    }
}

/// Each line is a header, `name: value`. Both encodings of B3 find the same
/// caller in headers that the host wrote from it.
pub fn propagators_of_others(data: &[u8]) {
    let given = named_headers(data);
    for list in ["b3", "b3multi", "b3,tracecontext,baggage"] {
        let propagators = propagators(list);
        let taken = propagators.extract(&given);
        assert!(taken.carried.baggage.members().len() <= baggage::MAX_MEMBERS);
        let (Caller::Span(caller) | Caller::Deferring(caller)) = &taken.caller else {
            continue;
        };
        assert!(caller.is_valid() && caller.is_remote());
        let mut written = given.clone();
        propagators.inject(caller, &taken.carried, &mut written);
        let again = propagators.extract(&written);
        let Caller::Span(again) = again.caller else {
            unreachable!("{list}: {written:?} names nobody");
        };
        assert_eq!(again.trace_id(), caller.trace_id());
        assert_eq!(again.span_id(), caller.span_id());
        assert_eq!(again.is_sampled(), caller.is_sampled());
        assert!(caller.is_sampled() || !taken.carried.debug);
    }
}

/// Each line is a header, `name: value`, of a request by a trusted proxy. The client
/// is an address, the server a host, and without a trusted proxy neither is read. A
/// family that the configuration does not name has no effect; where it names none
/// and both are present, a value counts only if both have it.
pub fn forwarded(data: &[u8]) {
    const LIMIT: usize = 1024;
    let given = named_headers(data);
    let is_usual = |name: &HeaderName| name.as_str().starts_with("x-forwarded-");
    let is_standard = |name: &HeaderName| *name == header::FORWARDED;
    let with = |is_kept: &dyn Fn(&HeaderName) -> bool| {
        let kept = given.iter().filter(|(name, _)| is_kept(name));
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect::<HeaderMap>()
    };
    let peer = Peer {
        address: SocketAddr::from(([10, 0, 0, 1], 4711)),
        scheme: Scheme::Http,
    };
    let told_of = |headers: &HeaderMap, networks: &[&str], family| {
        let mut request = Request::new(());
        *request.headers_mut() = headers.clone();
        let networks = networks.iter().filter_map(|text| text.parse().ok());
        let trusted = TrustedProxies::new(networks).writing(family);
        let facts = RequestInfo::of(&request, peer, &KnownMethods::default(), &trusted);
        request_attributes(&request, &facts, peer, LIMIT)
    };
    let told = |networks: &[&str]| told_of(&given, networks, ProxyHeaders::Auto);
    for attribute in told(&["10.0.0.0/8"]) {
        match (attribute.key.as_str(), &attribute.value) {
            ("client.address", Value::String(text)) => {
                let Ok(address) = text.as_str().parse::<IpAddr>() else {
                    unreachable!("{text:?} is no address");
                };
                assert_eq!(address, address.to_canonical());
            }
            ("client.port" | "server.port", Value::I64(port)) => {
                assert!((0..=65_535).contains(port), "{port}");
            }
            (_, Value::String(text)) => assert!(text.as_str().len() <= LIMIT),
            (key, value) => assert_eq!((key, value), ("network.peer.port", &4711.into())),
        }
    }
    let client = |attributes: Vec<opentelemetry::KeyValue>| {
        let mut addresses = attributes
            .into_iter()
            .filter(|attribute| attribute.key.as_str() == "client.address");
        addresses.next().map(|attribute| attribute.value)
    };
    let peers = Some(Value::from("10.0.0.1"));
    assert_eq!(client(told(&[])), peers);
    assert_eq!(client(told(&["192.0.2.0/24"])), peers);
    let by_family = |headers: &HeaderMap, family| told_of(headers, &["10.0.0.0/8"], family);
    let standard = by_family(&given, ProxyHeaders::Forwarded);
    let usual = by_family(&given, ProxyHeaders::XForwarded);
    let (no_usual, no_standard) = (with(&|it| !is_usual(it)), with(&|it| !is_standard(it)));
    assert_eq!(standard, by_family(&no_usual, ProxyHeaders::Auto));
    assert_eq!(usual, by_family(&no_standard, ProxyHeaders::Auto));
    if given.keys().any(is_usual) && given.keys().any(is_standard) {
        let connection = told(&[]);
        for attribute in told(&["10.0.0.0/8"]) {
            let (key, value) = (attribute.key.as_str(), &attribute.value);
            let says = |list: &[opentelemetry::KeyValue]| {
                list.iter().any(|it| {
                    it.key.as_str() == key
                        && (it.value.as_str()).eq_ignore_ascii_case(&value.as_str())
                })
            };
            let both = says(&standard) && says(&usual);
            assert!(both || says(&connection), "{key}={value}");
        }
    }
}

/// The attributes that a guest sends: no key twice, the limits hold, texts are
/// cut at a character's border, what is lost is counted.
pub fn attributes(data: &[u8]) {
    // Bytes that make no attributes have nothing to say.
    let _ = guest_api::fuzzing::attributes(data);
}

/// A value that a guest sends as JSON: what is kept of it is short, flat enough
/// and of the type that it was.
pub fn otel_value(data: &[u8]) {
    let _ = guest_api::wasi_otel::fuzzing::value(data);
}

/// Exponential histograms that guests export: joining them loses no count and
/// takes few buckets.
pub fn exponential_histograms(data: &[u8]) {
    let _ = guest::fuzzing::exponential_histograms(data);
}

/// One header of this name for each line that can be one.
fn headers(name: &'static str, data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    headers
}

/// A header for each line that can be one.
fn named_headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..at]);
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

fn propagators(list: &str) -> Propagators {
    let mut warnings = Vec::new();
    let propagators = Propagators::parse(Some(list), &mut warnings);
    assert!(warnings.is_empty(), "{warnings:?}");
    propagators
}

fn format_header(bytes: &[u8]) -> HeaderValue {
    match HeaderValue::from_bytes(bytes) {
        Ok(value) => value,
        Err(error) => unreachable!("{bytes:?}: {error}"),
    }
}

/// W3C Trace Context Level 2 §3.3.1.3.1, which takes what Level 1 takes and more.
fn is_tracestate_key(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let allowed = |byte: u8| plain(byte) || b"_-*/@".contains(&byte);
    key.len() <= 256 && key.bytes().next().is_some_and(plain) && key.bytes().all(allowed)
}

/// W3C Trace Context §3.3.1.3.2.
fn is_tracestate_value(value: &str) -> bool {
    let allowed = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(allowed) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Runs a target over the files that fuzzing has kept for it.
    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../fuzz/corpus")
            .join(target);
        let mut files = 0;
        for entry in std::fs::read_dir(&corpus).unwrap() {
            let path = entry.unwrap().path();
            // Shown where the test fails: the last one is to blame.
            println!("{}", path.display());
            run(&std::fs::read(path).unwrap());
            files += 1;
        }
        assert!((1..200).contains(&files), "{files} in {}", corpus.display());
    }

    #[test]
    fn the_corpus_of_traceparent_holds() {
        replay("traceparent", super::traceparent);
    }

    #[test]
    fn the_corpus_of_tracestate_holds() {
        replay("tracestate", super::tracestate);
    }

    #[test]
    fn the_corpus_of_baggage_holds() {
        replay("baggage", super::baggage);
    }

    #[test]
    fn the_corpus_of_propagators_of_others_holds() {
        replay("propagators_of_others", super::propagators_of_others);
    }

    #[test]
    fn the_corpus_of_forwarded_holds() {
        replay("forwarded", super::forwarded);
    }

    #[test]
    fn the_corpus_of_attributes_holds() {
        replay("attributes", super::attributes);
    }

    #[test]
    fn the_corpus_of_otel_value_holds() {
        replay("otel_value", super::otel_value);
    }

    #[test]
    fn the_corpus_of_exponential_histograms_holds() {
        replay("exponential_histograms", super::exponential_histograms);
    }

    #[test]
    fn the_corpus_of_admin_upload_holds() {
        replay("admin_upload", super::admin_upload);
    }
}
