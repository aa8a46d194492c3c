//! What comes in where several formats are read.

use super::*;
use crate::propagation::tests::incoming::demand;

#[test]
fn the_last_format_that_finds_a_caller_counts() {
    let w3c = "traceparent: 00-$T-$S-03";
    let b3 = "b3: $L-$S-0";
    let bad = "b3: $L-$S-2";
    let all = |lines: &[&str]| lines.join(" | ");
    demand(
        "tracecontext,b3",
        &[
            (all(&[w3c]), "$T-$S 03"),
            (all(&[w3c, b3]), "$W-$S 00"),
            (all(&[w3c, bad]), "$T-$S 03"),
            // A decision alone is less than a span.
            (all(&[w3c, "b3: 0"]), "$T-$S 03"),
            (all(&["b3: 0"]), "nobody 00"),
        ],
    );
    demand(
        "b3,tracecontext",
        &[
            (all(&[w3c, b3]), "$T-$S 03"),
            (all(&[w3c, "b3: $L-$S-d"]), "$T-$S 03 debug"),
            // Debug implies sampling, and the format that counts says otherwise.
            (
                all(&["traceparent: 00-$T-$S-00", "b3: $L-$S-d"]),
                "$T-$S 00",
            ),
            (all(&["traceparent: 00-$T-$S", b3]), "$W-$S 00"),
        ],
    );
    demand("none", &[(all(&[w3c, b3, "b3: 0"]), "nobody")]);
    demand("baggage", &[(all(&[w3c, "baggage: a=1"]), "nobody")]);
}

#[test]
fn a_later_format_takes_nothing_away_that_it_has_no_word_for() {
    let other = "05e3ac9a4f6e3b90";
    let cases: Vec<_> = [
        // Nothing said of sampling: the decision stands.
        ("traceparent: 00-$T-$S-00 | b3: $T-$S", "$T-$S 00"),
        ("traceparent: 00-$T-$S-02 | b3: $T-$S", "$T-$S 02"),
        ("traceparent: 00-$T-$S-03 | b3: $T-$S", "$T-$S 03"),
        ("traceparent: 00-$T-$S-00 | b3: $T-$O", "$T-$S 00"),
        (
            "traceparent: 00-$T-$S-00 | x-b3-traceid: $T | x-b3-spanid: $S",
            "$T-$S 00",
        ),
        // Of another trace there is none.
        ("traceparent: 00-$T-$S-00 | b3: $L-$S", "$W-$S ?"),
        // The last word on sampling, and the first on the rest.
        ("traceparent: 00-$T-$S-03 | b3: $T-$S-0", "$T-$S 02"),
        ("traceparent: 00-$T-$S-02 | b3: $T-$S-1", "$T-$S 03"),
        ("traceparent: 00-$T-$S-02 | b3: $T-$S-d", "$T-$S 03 debug"),
        ("traceparent: 00-$T-$S-01 | b3: $T-$S-1", "$T-$S 01"),
        ("traceparent: 00-$T-$S-03 | b3: $T-$O-1", "$T-$O 01"),
    ]
    .map(|(lines, expected)| (lines.replace("$O", other), expected.replace("$O", other)))
    .into();
    let cases: Vec<_> = cases.iter().map(|(a, b)| (a, b.as_str())).collect();
    demand("tracecontext,b3", &cases);
    demand(
        "b3,tracecontext",
        &[
            ("b3: $T-$S | traceparent: 00-$T-$S-00", "$T-$S 00"),
            ("b3: $T-$S-1 | traceparent: 00-$T-$S-02", "$T-$S 02"),
        ],
    );
    for (list, b3, state) in [
        ("tracecontext,b3", "b3: $T-$S-1", "a=1"),
        ("tracecontext,b3", "b3: $T-$S", "a=1"),
        ("b3,tracecontext", "b3: $T-$S-1", "a=1"),
        // Another span's, and another trace's.
        ("tracecontext,b3", "b3: $T-05e3ac9a4f6e3b90-1", ""),
        ("tracecontext,b3", "b3: $L-$S-1", ""),
    ] {
        let lines = format!("traceparent: 00-$T-$S-01 | tracestate: a=1 | {b3}");
        match propagators(list).extract(&headers(&lines)).caller {
            Caller::Span(span) => assert_eq!(span.trace_state().header(), state, "{list}: {b3}"),
            other => panic!("{list}: {b3}: {other:?}"),
        }
    }
}
