//! The formats, header by header: tables of what comes in and what goes out.
//!
//! In them `$T` and `$S` are the caller's trace and span, `$L` is a trace's id of
//! 64 bits, and `$W` the same with its zeros.

use http::HeaderValue;
use opentelemetry::trace::{SpanId, TraceId, TraceState};

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const LOW: &str = "8448eb211c80319c";
const WIDE: &str = "00000000000000008448eb211c80319c";

fn fill(text: &str) -> String {
    text.replace("$T", TRACE)
        .replace("$S", SPAN)
        .replace("$L", LOW)
        .replace("$W", WIDE)
}

fn propagators(list: &str) -> Propagators {
    let mut warnings = Vec::new();
    let propagators = Propagators::parse(Some(list), &mut warnings);
    assert!(warnings.is_empty(), "{warnings:?}");
    propagators
}

type Headers = [(&'static str, &'static str)];

fn headers(pairs: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, HeaderValue::from_str(&fill(value)).unwrap());
    }
    map
}

/// What was extracted, in a line: the caller, and whether its trace is debugged.
fn said(extracted: &Extracted) -> String {
    let span = |context: &SpanContext| {
        assert!(context.is_valid() && context.is_remote());
        format!("{}-{}", context.trace_id(), context.span_id())
    };
    let caller = match &extracted.caller {
        Caller::Unknown => "nobody".to_owned(),
        Caller::Decision(flags) => format!("nobody {flags:02x}"),
        Caller::Span(context) => format!("{} {:02x}", span(context), context.trace_flags()),
        Caller::Deferring(context) => format!("{} ?", span(context)),
    };
    let debug = if extracted.carried.debug {
        " debug"
    } else {
        ""
    };
    format!("{caller}{debug}")
}

#[track_caller]
fn demand(list: &str, cases: &[(&Headers, &str)]) {
    let propagators = propagators(list);
    for (pairs, expected) in cases {
        let extracted = propagators.extract(&headers(pairs));
        assert_eq!(said(&extracted), fill(expected), "{list}: {pairs:?}");
    }
}

#[test]
fn traceparent_is_read_by_the_rules_of_the_w3c() {
    demand(
        "tracecontext",
        &[
            (&[], "nobody"),
            (&[("traceparent", "00-$T-$S-00")], "$T-$S 00"),
            (&[("traceparent", "00-$T-$S-01")], "$T-$S 01"),
            // The trace's id is random: level 2.
            (&[("traceparent", "00-$T-$S-02")], "$T-$S 02"),
            (&[("traceparent", "00-$T-$S-03")], "$T-$S 03"),
            // Flags that nobody knows are not passed on.
            (&[("traceparent", "00-$T-$S-ff")], "$T-$S 03"),
            (&[("traceparent", "00-$T-$S-08")], "$T-$S 00"),
            // A later version, as far as it is known.
            (&[("traceparent", "cc-$T-$S-ff")], "$T-$S 01"),
            (&[("traceparent", "01-$T-$S-01-more")], "$T-$S 01"),
            (&[("traceparent", "01-$T-$S-01-")], "$T-$S 01"),
            (&[("traceparent", "01-$T-$S-01.more")], "nobody"),
            (&[("traceparent", "ff-$T-$S-01")], "nobody"),
            (&[("traceparent", "0-$T-$S-01")], "nobody"),
            (&[("traceparent", "0x-$T-$S-01")], "nobody"),
            (&[("traceparent", "000-$T-$S-01")], "nobody"),
            (&[("traceparent", "")], "nobody"),
            (&[("traceparent", "00-$T-$S")], "nobody"),
            (&[("traceparent", "00-$T-$S-1")], "nobody"),
            (&[("traceparent", "00-$T-$S-001")], "nobody"),
            (&[("traceparent", "00-$T-$S-01-")], "nobody"),
            (&[("traceparent", "00-$T-$S-01-more")], "nobody"),
            (&[("traceparent", "00-$T-$S-0G")], "nobody"),
            (&[("traceparent", "00-$T-$S-0F")], "nobody"),
            (&[("traceparent", "00_$T_$S_01")], "nobody"),
            (&[("traceparent", "00-$L-$S-01")], "nobody"),
            (
                &[("traceparent", "00-0AF7651916CD43DD8448EB211C80319C-$S-01")],
                "nobody",
            ),
            (
                &[("traceparent", "00-+af7651916cd43dd8448eb211c80319c-$S-01")],
                "nobody",
            ),
            (
                &[("traceparent", "00-00000000000000000000000000000000-$S-01")],
                "nobody",
            ),
            (&[("traceparent", "00-$T-0000000000000000-01")], "nobody"),
            (&[("traceparent", "00-$T-B7AD6B7169203331-01")], "nobody"),
            (&[("traceparent", "00-$T-$S-01, 00-$T-$S-01")], "nobody"),
            // Twice, be it the same.
            (
                &[
                    ("traceparent", "00-$T-$S-01"),
                    ("traceparent", "00-$T-$S-01"),
                ],
                "nobody",
            ),
            // The formats that are not in the list are not looked at.
            (
                &[("b3", "$T-$S-1"), ("uber-trace-id", "$T:$S:0:1")],
                "nobody",
            ),
        ],
    );
}

#[test]
fn tracestate_is_kept_whole_or_not_at_all() {
    let long = format!("a={}", "v".repeat(257));
    let key = format!("{}=v", "k".repeat(257));
    for (lines, expected) in [
        (vec!["a=1,b=2"], "a=1,b=2"),
        (vec!["a=1", "b=2"], "a=1,b=2"),
        (vec![" a=1 ,\tb=2\t"], "a=1,b=2"),
        (vec!["a=1,,b=2,", ""], "a=1,b=2"),
        (vec!["a= 1"], "a= 1"),
        (vec!["0a/b*c-d_e=!~"], "0a/b*c-d_e=!~"),
        (vec!["tenant@vendor=1"], "tenant@vendor=1"),
        (vec!["a=1", "a=2"], ""),
        (vec!["a"], ""),
        (vec!["a="], ""),
        (vec!["=1"], ""),
        (vec!["a =1"], ""),
        (vec!["a=b=c"], ""),
        (vec!["A=1"], ""),
        (vec!["a.b=1"], ""),
        (vec!["@a=1"], ""),
        (vec!["a=1\t2"], ""),
        (vec!["a=1", "b"], ""),
        (vec![long.as_str()], ""),
        (vec![key.as_str()], ""),
    ] {
        let mut headers = headers(&[("traceparent", "00-$T-$S-01")]);
        for line in &lines {
            headers.append("tracestate", HeaderValue::from_str(line).unwrap());
        }
        match propagators("tracecontext").extract(&headers).caller {
            Caller::Span(span) => assert_eq!(span.trace_state().header(), expected, "{lines:?}"),
            other => panic!("{lines:?}: {other:?}"),
        }
    }
    let alone = headers(&[("tracestate", "a=1")]);
    assert_eq!(
        propagators("tracecontext").extract(&alone).caller,
        Caller::Unknown
    );
}

#[test]
fn b3_is_read_from_its_single_header() {
    demand(
        "b3",
        &[
            (&[("b3", "$T-$S-1")], "$T-$S 01"),
            (&[("b3", "$T-$S-0")], "$T-$S 00"),
            (&[("b3", "$T-$S-d")], "$T-$S 01 debug"),
            (&[("b3", "$T-$S-1-05e3ac9a4f6e3b90")], "$T-$S 01"),
            (&[("b3", "$L-$S-1")], "$W-$S 01"),
            (&[("b3", "$W-$S-1")], "$W-$S 01"),
            // The decision is left to whoever reads it.
            (&[("b3", "$T-$S")], "$T-$S ?"),
            (&[("b3", "0")], "nobody 00"),
            (&[("b3", "1")], "nobody 01"),
            (&[("b3", "d")], "nobody 01 debug"),
            (&[("b3", "")], "nobody"),
            (&[("b3", "2")], "nobody"),
            (&[("b3", "D")], "nobody"),
            (&[("b3", "true")], "nobody"),
            (&[("b3", "$T")], "nobody"),
            (&[("b3", "$T-")], "nobody"),
            (&[("b3", "$T-$S-")], "nobody"),
            (&[("b3", "$T-$S-2")], "nobody"),
            (&[("b3", "$T-$S-01")], "nobody"),
            (&[("b3", "$T-$S-1-")], "nobody"),
            (&[("b3", "$T-$S-1-05e3ac9a")], "nobody"),
            (&[("b3", "$T-$S-1-05e3ac9a4f6e3b90-1")], "nobody"),
            (&[("b3", "$T-$S-05e3ac9a4f6e3b90")], "nobody"),
            (&[("b3", "0AF7651916CD43DD8448EB211C80319C-$S-1")], "nobody"),
            (&[("b3", "af7651916cd43dd8448eb211c80319c-$S-1")], "nobody"),
            (&[("b3", "0000000000000000-$S-1")], "nobody"),
            (&[("b3", "00000000000000000000000000000000-$S-1")], "nobody"),
            (&[("b3", "$T-0000000000000000-1")], "nobody"),
            (&[("b3", "$T-$T-1")], "nobody"),
            (&[("b3", "$T-$S-1"), ("b3", "$T-$S-1")], "nobody"),
        ],
    );
}

#[test]
fn b3_is_read_from_its_five_headers() {
    let cases: &[(&Headers, &str)] = &[
        (
            &[
                ("X-B3-TraceId", "$T"),
                ("X-B3-SpanId", "$S"),
                ("X-B3-Sampled", "1"),
            ],
            "$T-$S 01",
        ),
        (
            &[
                ("x-b3-traceid", "$L"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "0"),
            ],
            "$W-$S 00",
        ),
        (&[("x-b3-traceid", "$T"), ("x-b3-spanid", "$S")], "$T-$S ?"),
        // Words are older than the specification.
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "true"),
            ],
            "$T-$S 01",
        ),
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "false"),
            ],
            "$T-$S 00",
        ),
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "d"),
            ],
            "nobody",
        ),
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", ""),
            ],
            "nobody",
        ),
        // Debug stands over a denial; other flags say nothing.
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "0"),
                ("x-b3-flags", "1"),
            ],
            "$T-$S 01 debug",
        ),
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "0"),
                ("x-b3-flags", "0"),
            ],
            "$T-$S 00",
        ),
        (&[("x-b3-sampled", "0")], "nobody 00"),
        (&[("x-b3-sampled", "1")], "nobody 01"),
        (&[("x-b3-flags", "1")], "nobody 01 debug"),
        (&[("x-b3-traceid", "$T"), ("x-b3-sampled", "1")], "nobody"),
        (&[("x-b3-spanid", "$S"), ("x-b3-sampled", "1")], "nobody"),
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-parentspanid", "05e3ac9a4f6e3b90"),
                ("x-b3-sampled", "1"),
            ],
            "$T-$S 01",
        ),
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-parentspanid", "parent"),
                ("x-b3-sampled", "1"),
            ],
            "nobody",
        ),
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "1"),
            ],
            "nobody",
        ),
        (
            &[
                ("x-b3-traceid", "$T"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "1"),
                ("x-b3-sampled", "0"),
            ],
            "nobody",
        ),
        // The single header comes first, where it is well-formed.
        (
            &[
                ("b3", "$T-$S-1"),
                ("x-b3-traceid", "$L"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "0"),
            ],
            "$T-$S 01",
        ),
        (
            &[
                ("b3", "nonsense"),
                ("x-b3-traceid", "$L"),
                ("x-b3-spanid", "$S"),
                ("x-b3-sampled", "0"),
            ],
            "$W-$S 00",
        ),
    ];
    demand("b3multi", cases);
    // Either name reads both encodings.
    demand("b3", cases);
}

#[test]
fn jaegers_header_is_read_with_ids_of_any_length() {
    demand(
        "jaeger",
        &[
            (&[("uber-trace-id", "$T:$S:0:1")], "$T-$S 01"),
            (&[("Uber-Trace-Id", "$T:$S:0:0")], "$T-$S 00"),
            (&[("uber-trace-id", "$T:$S:0:3")], "$T-$S 01 debug"),
            // Debug implies sampling.
            (&[("uber-trace-id", "$T:$S:0:2")], "$T-$S 01 debug"),
            (&[("uber-trace-id", "$T:$S:0:01")], "$T-$S 01"),
            // Firehose, which has no meaning here.
            (&[("uber-trace-id", "$T:$S:0:09")], "$T-$S 01"),
            (&[("uber-trace-id", "$L:$S:0:1")], "$W-$S 01"),
            (
                &[("uber-trace-id", "1a:2b:3:1")],
                "0000000000000000000000000000001a-000000000000002b 01",
            ),
            (
                &[("uber-trace-id", "0AF7651916CD43DD8448EB211C80319C:$S:0:1")],
                "$T-$S 01",
            ),
            (&[("uber-trace-id", "$T%3A$S%3A0%3A1")], "$T-$S 01"),
            (&[("uber-trace-id", "$T%3a$S%3a0%3a1")], "$T-$S 01"),
            (&[("uber-trace-id", "$T:$S:$S:1")], "$T-$S 01"),
            (&[("uber-trace-id", "")], "nobody"),
            (&[("uber-trace-id", "$T:$S:0")], "nobody"),
            (&[("uber-trace-id", "$T:$S::1")], "nobody"),
            (&[("uber-trace-id", "$T:$S:0:1:1")], "nobody"),
            (&[("uber-trace-id", "$T:$S:0:")], "nobody"),
            (&[("uber-trace-id", "$T:$S:0:001")], "nobody"),
            (&[("uber-trace-id", "$T:$S:0:x")], "nobody"),
            (&[("uber-trace-id", "$T:$S:x:1")], "nobody"),
            (&[("uber-trace-id", "0:$S:0:1")], "nobody"),
            (&[("uber-trace-id", "$T:0:0:1")], "nobody"),
            (&[("uber-trace-id", "0$T:$S:0:1")], "nobody"),
            (&[("uber-trace-id", "$T:0$S:0:1")], "nobody"),
            (&[("uber-trace-id", "+1a:$S:0:1")], "nobody"),
            (&[("uber-trace-id", "$T-$S-0-1")], "nobody"),
            (
                &[
                    ("uber-trace-id", "$T:$S:0:1"),
                    ("uber-trace-id", "$T:$S:0:1"),
                ],
                "nobody",
            ),
        ],
    );
}

#[test]
fn the_last_format_that_finds_a_caller_counts() {
    let w3c = ("traceparent", "00-$T-$S-03");
    let b3 = ("b3", "$L-$S-0");
    let uber = ("uber-trace-id", "1a:2b:0:3");
    let uber_says = "0000000000000000000000000000001a-000000000000002b 01 debug";
    let bad = ("uber-trace-id", "1a:2b");
    demand(
        "tracecontext,b3,jaeger",
        &[
            (&[w3c], "$T-$S 03"),
            (&[w3c, b3], "$W-$S 00"),
            (&[w3c, b3, uber], uber_says),
            (&[w3c, b3, bad], "$W-$S 00"),
            (&[w3c, bad], "$T-$S 03"),
            // A decision alone is less than a span.
            (&[w3c, ("b3", "0")], "$T-$S 03"),
            (&[("b3", "0")], "nobody 00"),
        ],
    );
    demand(
        "jaeger,b3,tracecontext",
        &[
            (&[w3c, b3, uber], "$T-$S 03 debug"),
            // Debug implies sampling, and the one who counts says otherwise.
            (&[b3, uber], "$W-$S 00"),
            (&[("traceparent", "00-$T-$S"), b3], "$W-$S 00"),
        ],
    );
    demand("none", &[(&[w3c, b3, uber, ("b3", "0")], "nobody")]);
    demand("baggage", &[(&[w3c, ("baggage", "a=1")], "nobody")]);
}

#[test]
fn baggage_is_that_of_all_formats_in_the_list() {
    let all: &Headers = &[
        ("baggage", "a=1;p,b=x%20y"),
        ("uberctx-A", "2"),
        ("uberctx-b", "Am%C3%A9lie+%2B"),
        ("uberctx-c", "3"),
        ("uberctx-c", "4"),
        ("uberctx-", "5"),
    ];
    for (list, expected) in [
        ("tracecontext,baggage", "a=1;p,b=x%20y"),
        ("jaeger", "a=2,b=Am%C3%A9lie%20+,c=4"),
        ("baggage,jaeger", "a=2,b=Am%C3%A9lie%20+,c=4"),
        ("jaeger,baggage", "a=1;p,b=x%20y,c=4"),
        ("tracecontext,b3", ""),
    ] {
        let carried = propagators(list).extract(&headers(all)).carried;
        let mut out = HeaderMap::new();
        let context = SpanContext::NONE;
        propagators("baggage").inject(&context, &carried, &mut out);
        let written = out.get("baggage").map_or("", |it| it.to_str().unwrap());
        assert_eq!(written, expected, "{list}");
    }
}

/// The headers that go out, sorted, one `name: value` each.
fn sent(list: &str, context: &SpanContext, carried: &Carried, guests: &Headers) -> Vec<String> {
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

fn carried(baggage: &'static str, debug: bool) -> Carried {
    let mut carried = propagators("baggage")
        .extract(&headers(&[("baggage", baggage)]))
        .carried;
    carried.debug = debug;
    carried
}

/// What a guest might set itself, or pass on from its own request.
const GUESTS: &Headers = &[
    ("traceparent", "00-$T-$S-00"),
    ("traceparent", "00-$T-$S-01"),
    ("tracestate", "guest=1"),
    ("baggage", "guest=1"),
    ("b3", "0"),
    ("x-b3-traceid", "$L"),
    ("x-b3-spanid", "$S"),
    ("x-b3-parentspanid", "$S"),
    ("x-b3-sampled", "0"),
    ("x-b3-flags", "1"),
    ("uber-trace-id", "1:1:0:0"),
    ("uberctx-guest", "1"),
    ("accept", "*/*"),
];

/// Names of [`GUESTS`] that a list leaves alone.
fn untouched(list: &str, context: &SpanContext, carried: &Carried) -> Vec<&'static str> {
    let mut map = headers(GUESTS);
    propagators(list).inject(context, carried, &mut map);
    let given = headers(GUESTS);
    let mut names = Vec::new();
    for (name, _) in GUESTS {
        let values = |map: &HeaderMap| map.get_all(*name).iter().cloned().collect::<Vec<_>>();
        if values(&map) == values(&given) && !names.contains(name) {
            names.push(*name);
        }
    }
    names
}

#[test]
fn what_goes_out_is_the_headers_of_the_formats_in_the_list() {
    let nothing = Carried::default();
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
        ("jaeger", 0x01, "", &["uber-trace-id: $T:$S:0:1"]),
        ("jaeger", 0x02, "", &["uber-trace-id: $T:$S:0:0"]),
        (
            "jaeger,tracecontext",
            0x01,
            "",
            &["traceparent: 00-$T-$S-01", "uber-trace-id: $T:$S:0:1"],
        ),
        ("none", 0x01, "a=1", &[]),
        ("baggage", 0x01, "a=1", &[]),
    ];
    for (list, flags, state, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|line| fill(line)).collect();
        let sent = sent(list, &context(*flags, state), &nothing, &[]);
        assert_eq!(sent, expected, "{list} {flags:02x} {state:?}");
    }
    // A context that names no span is not sent.
    for list in ["tracecontext", "b3", "b3multi", "jaeger"] {
        assert!(sent(list, &SpanContext::NONE, &nothing, GUESTS).len() < GUESTS.len());
        assert!(
            sent(list, &SpanContext::NONE, &nothing, &[]).is_empty(),
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
        (
            "jaeger",
            0x01,
            &[
                "uber-trace-id: $T:$S:0:3",
                "uberctx-a: 1",
                "uberctx-user-id: Am%C3%A9lie%20%2B",
            ],
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
            sent(list, &context(*flags, ""), &carried, &[]),
            expected,
            "{list}"
        );
    }
}

#[test]
fn what_a_guest_has_set_is_replaced_where_it_is_the_formats_to_say() {
    let all: Vec<_> = {
        let mut names: Vec<_> = GUESTS.iter().map(|(name, _)| *name).collect();
        names.dedup();
        names
    };
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
        ("jaeger", vec!["uber-trace-id", "uberctx-guest"]),
    ] {
        // Another span than the guest's headers name, so that all of them differ.
        let own = SpanContext::new(
            TraceId::from(7),
            SpanId::from(7),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        );
        let expected: Vec<_> = all
            .iter()
            .filter(|name| !gone.contains(name))
            .copied()
            .collect();
        assert_eq!(
            untouched(list, &own, &Carried::default()),
            expected,
            "{list}"
        );
    }
    // One of each is left, and no empty `tracestate`.
    let lines = sent(
        "tracecontext,baggage",
        &context(1, ""),
        &Carried::default(),
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
    for list in ["tracecontext", "b3", "b3multi", "jaeger"] {
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

#[test]
fn the_list_is_read_in_order_each_name_once() {
    let read = |text: &str| {
        let mut warnings = Vec::new();
        let Propagators(list) = Propagators::parse(Some(text), &mut warnings);
        (list.to_vec(), warnings.len())
    };
    let default = vec![Propagator::TraceContext, Propagator::Baggage];
    for (text, expected, warnings) in [
        ("tracecontext,baggage", default.clone(), 0),
        ("", default.clone(), 0),
        (" , ", default.clone(), 0),
        ("none", vec![], 0),
        ("None", vec![], 0),
        (
            " jaeger ,B3,b3,tracecontext",
            vec![Propagator::Jaeger, Propagator::B3, Propagator::TraceContext],
            0,
        ),
        ("b3multi", vec![Propagator::B3Multi], 0),
        ("xray,b3", vec![Propagator::B3], 1),
        ("xray,ottrace", default.clone(), 2),
        ("none,b3", vec![Propagator::B3], 1),
        ("none,xray", vec![], 1),
    ] {
        assert_eq!(read(text), (expected, warnings), "{text:?}");
    }
    let mut warnings = Vec::new();
    assert_eq!(
        Propagators::parse(None, &mut warnings),
        Propagators::default()
    );
}
