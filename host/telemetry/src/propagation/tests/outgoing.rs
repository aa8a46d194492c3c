//! What goes out.

use opentelemetry::trace::{SpanId, TraceFlags, TraceId, TraceState};

use super::*;

/// The headers that go out, sorted, one `name: value` each.
fn sent(
    list: &str,
    context: &SpanContext,
    carried: &PropagatedContext,
    guests: &str,
) -> Vec<String> {
    let mut map = headers(guests);
    propagators(list).inject(context, carried, &mut map);
    let mut lines: Vec<_> = map
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

fn context(flags: u8, state: &str) -> SpanContext {
    SpanContext::new(
        TraceId::from_hex(TRACE).unwrap(),
        SpanId::from_hex(SPAN).unwrap(),
        TraceFlags::new(flags),
        false,
        tracestate([state]),
    )
}

fn carried(baggage: &'static str, debug: bool) -> PropagatedContext {
    let mut carried = propagators("baggage")
        .extract(&headers(&format!("baggage: {baggage}")))
        .carried;
    carried.debug = debug;
    carried
}

/// What a guest might set itself, or pass on from its own request.
const GUESTS: &str = "traceparent: 00-$T-$S-00 | traceparent: 00-$T-$S-01 | tracestate: guest=1 \
    | baggage: guest=1 | b3: 0 | x-b3-traceid: $L | x-b3-spanid: $S | x-b3-parentspanid: $S \
    | x-b3-sampled: 0 | x-b3-flags: 1 | uber-trace-id: 1:1:0:0 | uberctx-guest: 1 | accept: */*";

/// Names of [`GUESTS`] that a list leaves alone.
fn untouched(list: &str, context: &SpanContext) -> Vec<String> {
    let given = headers(GUESTS);
    let mut map = given.clone();
    propagators(list).inject(context, &PropagatedContext::default(), &mut map);
    let values =
        |map: &HeaderMap, name: &HeaderName| map.get_all(name).iter().cloned().collect::<Vec<_>>();
    let names = given
        .keys()
        .filter(|name| values(&map, name) == values(&given, name));
    names.map(ToString::to_string).collect()
}

#[test]
fn what_goes_out_is_the_headers_of_the_formats_in_the_list() {
    let nothing = PropagatedContext::default();
    let cases: &[(&str, u8, &str, &[&str])] = &[
        ("tracecontext", 0x01, "", &["traceparent: 00-$T-$S-01"]),
        ("tracecontext", 0x00, "", &["traceparent: 00-$T-$S-00"]),
        ("tracecontext", 0x02, "", &["traceparent: 00-$T-$S-02"]),
        ("tracecontext", 0xff, "", &["traceparent: 00-$T-$S-03"]),
        (
            "tracecontext,baggage",
            0x03,
            "a=1,b=2",
            &["traceparent: 00-$T-$S-03", "tracestate: a=1,b=2"],
        ),
        (
            "tracecontext",
            0x01,
            "foo@@bar=1,b=2",
            &["traceparent: 00-$T-$S-01", "tracestate: foo@@bar=1,b=2"],
        ),
        ("b3", 0x03, "a=1", &["b3: $T-$S-1"]),
        ("b3", 0x02, "", &["b3: $T-$S-0"]),
        (
            "b3multi",
            0x01,
            "",
            &["x-b3-sampled: 1", "x-b3-spanid: $S", "x-b3-traceid: $T"],
        ),
        (
            "b3multi",
            0x00,
            "",
            &["x-b3-sampled: 0", "x-b3-spanid: $S", "x-b3-traceid: $T"],
        ),
        (
            "b3multi,b3",
            0x01,
            "",
            &[
                "b3: $T-$S-1",
                "x-b3-sampled: 1",
                "x-b3-spanid: $S",
                "x-b3-traceid: $T",
            ],
        ),
        (
            "b3,tracecontext",
            0x01,
            "",
            &["b3: $T-$S-1", "traceparent: 00-$T-$S-01"],
        ),
        ("none", 0x01, "a=1", &[]),
        ("baggage", 0x01, "a=1", &[]),
    ];
    for (list, flags, state, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|line| fill(line)).collect();
        let sent = sent(list, &context(*flags, state), &nothing, "");
        assert_eq!(sent, expected, "{list} {flags:02x} {state:?}");
    }
    // A context that names no span is not sent.
    for list in ["tracecontext", "b3", "b3multi"] {
        assert!(sent(list, &SpanContext::NONE, &nothing, GUESTS).len() < headers(GUESTS).len());
        assert!(
            sent(list, &SpanContext::NONE, &nothing, "").is_empty(),
            "{list}"
        );
    }
}

#[test]
fn the_debug_flag_and_the_baggage_go_on() {
    let carried = carried("a=1;p,User-Id=Am%C3%A9lie%20%2B", true);
    let cases: &[(&str, u8, &[&str])] = &[
        ("b3", 0x01, &["b3: $T-$S-d"]),
        (
            "b3multi",
            0x01,
            &["x-b3-flags: 1", "x-b3-spanid: $S", "x-b3-traceid: $T"],
        ),
        ("baggage", 0x01, &["baggage: a=1;p,User-Id=Am%C3%A9lie%20+"]),
        (
            "baggage,tracecontext",
            0x01,
            &[
                "baggage: a=1;p,User-Id=Am%C3%A9lie%20+",
                "traceparent: 00-$T-$S-01",
            ],
        ),
    ];
    for (list, flags, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|line| fill(line)).collect();
        assert_eq!(
            sent(list, &context(*flags, ""), &carried, ""),
            expected,
            "{list}"
        );
    }
}

#[test]
fn what_a_guest_has_set_is_replaced_where_it_is_the_formats_to_say() {
    let b3 = [
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-flags",
    ];
    for (list, gone) in [
        ("none", vec![]),
        ("tracecontext", vec!["traceparent", "tracestate"]),
        ("baggage", vec!["baggage"]),
        ("b3", b3.to_vec()),
        ("b3multi", b3.to_vec()),
    ] {
        // Another span than the guest's headers name, so that all of them differ.
        let own = SpanContext::new(
            TraceId::from(7),
            SpanId::from(7),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        );
        let given = headers(GUESTS);
        let kept = given.keys().map(HeaderName::as_str);
        let kept: Vec<_> = kept.filter(|name| !gone.contains(name)).collect();
        assert_eq!(untouched(list, &own), kept, "{list}");
    }
    // One of each is left, and no empty `tracestate`.
    let lines = sent(
        "tracecontext,baggage",
        &context(1, ""),
        &PropagatedContext::default(),
        GUESTS,
    );
    let ours = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!(
        (ours("traceparent"), ours("tracestate"), ours("baggage")),
        (1, 0, 0)
    );
}

#[test]
fn what_goes_out_comes_in_as_it_was() {
    for list in ["tracecontext", "b3", "b3multi"] {
        for sampled in [0x00, 0x01] {
            for debug in [false, true] {
                let own = context(sampled, "");
                let mut map = HeaderMap::new();
                let propagators = propagators(list);
                propagators.inject(&own, &carried("", debug), &mut map);
                let extracted = propagators.extract(&map);
                let Caller::Span(caller) = extracted.caller else {
                    panic!("{list}: {map:?}");
                };
                assert_eq!(caller.trace_id(), own.trace_id(), "{list}");
                assert_eq!(caller.span_id(), own.span_id(), "{list}");
                let is_debug = debug && list != "tracecontext";
                assert_eq!(extracted.carried.debug, is_debug, "{list}");
                assert_eq!(caller.is_sampled(), own.is_sampled() || is_debug, "{list}");
            }
        }
    }
}
