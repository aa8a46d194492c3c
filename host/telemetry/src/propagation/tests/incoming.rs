//! What comes in by one format.

use opentelemetry::trace::SpanContext;

use super::*;

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
pub(crate) fn demand(list: &str, cases: &[(impl AsRef<str>, &str)]) {
    let propagators = propagators(list);
    for (lines, expected) in cases {
        let lines = lines.as_ref();
        let extracted = propagators.extract(&headers(lines));
        assert_eq!(said(&extracted), fill(expected), "{list}: {lines}");
    }
}

#[test]
fn traceparent_is_read_by_the_rules_of_the_w3c() {
    demand(
        "tracecontext",
        &[
            ("", "nobody"),
            ("traceparent: 00-$T-$S-00", "$T-$S 00"),
            ("traceparent: 00-$T-$S-01", "$T-$S 01"),
            // The trace's id is random: level 2.
            ("traceparent: 00-$T-$S-02", "$T-$S 02"),
            ("traceparent: 00-$T-$S-03", "$T-$S 03"),
            // Flags that nobody knows are not passed on.
            ("traceparent: 00-$T-$S-ff", "$T-$S 03"),
            ("traceparent: 00-$T-$S-08", "$T-$S 00"),
            // A later version, as far as it is known.
            ("traceparent: cc-$T-$S-ff", "$T-$S 01"),
            ("traceparent: 01-$T-$S-01-more", "$T-$S 01"),
            ("traceparent: 01-$T-$S-01-", "$T-$S 01"),
            ("traceparent: 01-$T-$S-01.more", "nobody"),
            ("traceparent: ff-$T-$S-01", "nobody"),
            ("traceparent: 0-$T-$S-01", "nobody"),
            ("traceparent: 0x-$T-$S-01", "nobody"),
            ("traceparent: 000-$T-$S-01", "nobody"),
            ("traceparent:", "nobody"),
            ("traceparent: 00-$T-$S", "nobody"),
            ("traceparent: 00-$T-$S-1", "nobody"),
            ("traceparent: 00-$T-$S-001", "nobody"),
            ("traceparent: 00-$T-$S-01-", "nobody"),
            ("traceparent: 00-$T-$S-01-more", "nobody"),
            ("traceparent: 00-$T-$S-0G", "nobody"),
            ("traceparent: 00-$T-$S-0F", "nobody"),
            ("traceparent: 00_$T_$S_01", "nobody"),
            ("traceparent: 00-$L-$S-01", "nobody"),
            (
                "traceparent: 00-0AF7651916CD43DD8448EB211C80319C-$S-01",
                "nobody",
            ),
            (
                "traceparent: 00-+af7651916cd43dd8448eb211c80319c-$S-01",
                "nobody",
            ),
            (
                "traceparent: 00-00000000000000000000000000000000-$S-01",
                "nobody",
            ),
            ("traceparent: 00-$T-0000000000000000-01", "nobody"),
            ("traceparent: 00-$T-B7AD6B7169203331-01", "nobody"),
            ("traceparent: 00-$T-$S-01, 00-$T-$S-01", "nobody"),
            // Twice, be it the same.
            (
                "traceparent: 00-$T-$S-01 | traceparent: 00-$T-$S-01",
                "nobody",
            ),
            // The formats that are not in the list are not looked at.
            ("b3: $T-$S-1 | uber-trace-id: $T:$S:0:1", "nobody"),
        ],
    );
}

#[test]
fn a_bad_member_of_tracestate_costs_itself_alone() {
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
        (vec!["foo@@bar=1", "b=2"], "foo@@bar=1,b=2"),
        (vec!["a=1", "a=2"], "a=1,a=2"),
        (vec!["a"], ""),
        (vec!["a="], ""),
        (vec!["=1"], ""),
        (vec!["a =1"], ""),
        (vec!["a=b=c"], ""),
        (vec!["A=1"], ""),
        (vec!["a.b=1"], ""),
        (vec!["@a=1"], ""),
        (vec!["a=1\t2"], ""),
        (vec!["a=1", "b"], "a=1"),
        (vec![long.as_str()], ""),
        (vec![key.as_str()], ""),
    ] {
        let mut headers = headers("traceparent: 00-$T-$S-01");
        for line in &lines {
            headers.append("tracestate", HeaderValue::from_str(line).unwrap());
        }
        match propagators("tracecontext").extract(&headers).caller {
            Caller::Span(span) => assert_eq!(
                trace_state::header(span.trace_state()),
                expected,
                "{lines:?}"
            ),
            other => panic!("{lines:?}: {other:?}"),
        }
    }
    let alone = headers("tracestate: a=1");
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
            ("b3: $T-$S-1", "$T-$S 01"),
            ("b3: $T-$S-0", "$T-$S 00"),
            ("b3: $T-$S-d", "$T-$S 01 debug"),
            ("b3: $T-$S-1-05e3ac9a4f6e3b90", "$T-$S 01"),
            ("b3: $L-$S-1", "$W-$S 01"),
            ("b3: $W-$S-1", "$W-$S 01"),
            // The decision is left to whoever reads it.
            ("b3: $T-$S", "$T-$S ?"),
            ("b3: 0", "nobody 00"),
            ("b3: 1", "nobody 01"),
            ("b3: d", "nobody 01 debug"),
            ("b3:", "nobody"),
            ("b3: 2", "nobody"),
            ("b3: D", "nobody"),
            ("b3: true", "nobody"),
            ("b3: $T", "nobody"),
            ("b3: $T-", "nobody"),
            ("b3: $T-$S-", "nobody"),
            ("b3: $T-$S-2", "nobody"),
            ("b3: $T-$S-01", "nobody"),
            ("b3: $T-$S-1-", "nobody"),
            ("b3: $T-$S-1-05e3ac9a", "nobody"),
            ("b3: $T-$S-1-05e3ac9a4f6e3b90-1", "nobody"),
            ("b3: $T-$S-05e3ac9a4f6e3b90", "nobody"),
            ("b3: 0AF7651916CD43DD8448EB211C80319C-$S-1", "nobody"),
            ("b3: af7651916cd43dd8448eb211c80319c-$S-1", "nobody"),
            ("b3: 0000000000000000-$S-1", "nobody"),
            ("b3: 00000000000000000000000000000000-$S-1", "nobody"),
            ("b3: $T-0000000000000000-1", "nobody"),
            ("b3: $T-$T-1", "nobody"),
            ("b3: $T-$S-1 | b3: $T-$S-1", "nobody"),
        ],
    );
}

#[test]
fn b3_is_read_from_its_five_headers() {
    let cases: &[(&str, &str)] = &[
        (
            "X-B3-TraceId: $T | X-B3-SpanId: $S | X-B3-Sampled: 1",
            "$T-$S 01",
        ),
        (
            "x-b3-traceid: $L | x-b3-spanid: $S | x-b3-sampled: 0",
            "$W-$S 00",
        ),
        ("x-b3-traceid: $T | x-b3-spanid: $S", "$T-$S ?"),
        // Words are older than the specification.
        (
            "x-b3-traceid: $T | x-b3-spanid: $S | x-b3-sampled: true",
            "$T-$S 01",
        ),
        (
            "x-b3-traceid: $T | x-b3-spanid: $S | x-b3-sampled: false",
            "$T-$S 00",
        ),
        (
            "x-b3-traceid: $T | x-b3-spanid: $S | x-b3-sampled: d",
            "nobody",
        ),
        (
            "x-b3-traceid: $T | x-b3-spanid: $S | x-b3-sampled:",
            "nobody",
        ),
        // Debug stands over a denial; other flags say nothing.
        (
            "x-b3-traceid: $T | x-b3-spanid: $S | x-b3-sampled: 0 | x-b3-flags: 1",
            "$T-$S 01 debug",
        ),
        (
            "x-b3-traceid: $T | x-b3-spanid: $S | x-b3-sampled: 0 | x-b3-flags: 0",
            "$T-$S 00",
        ),
        ("x-b3-sampled: 0", "nobody 00"),
        ("x-b3-sampled: 1", "nobody 01"),
        ("x-b3-flags: 1", "nobody 01 debug"),
        ("x-b3-traceid: $T | x-b3-sampled: 1", "nobody"),
        ("x-b3-spanid: $S | x-b3-sampled: 1", "nobody"),
        (
            "x-b3-traceid: $T | x-b3-spanid: $S | x-b3-parentspanid: 05e3ac9a4f6e3b90 | x-b3-sampled: 1",
            "$T-$S 01",
        ),
        (
            "x-b3-traceid: $T | x-b3-spanid: $S | x-b3-parentspanid: parent | x-b3-sampled: 1",
            "nobody",
        ),
        (
            "x-b3-traceid: $T | x-b3-traceid: $T | x-b3-spanid: $S | x-b3-sampled: 1",
            "nobody",
        ),
        (
            "x-b3-traceid: $T | x-b3-spanid: $S | x-b3-sampled: 1 | x-b3-sampled: 0",
            "nobody",
        ),
        // The single header comes first, where it is well-formed.
        (
            "b3: $T-$S-1 | x-b3-traceid: $L | x-b3-spanid: $S | x-b3-sampled: 0",
            "$T-$S 01",
        ),
        (
            "b3: nonsense | x-b3-traceid: $L | x-b3-spanid: $S | x-b3-sampled: 0",
            "$W-$S 00",
        ),
    ];
    demand("b3multi", cases);
    // Either name reads both encodings.
    demand("b3", cases);
}
