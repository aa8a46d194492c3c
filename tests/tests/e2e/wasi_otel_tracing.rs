//! Spans by the second door, `wasi:otel/tracing`.

use fanlight_runner::span::{Kind, Status};
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::{CollectedPoint, CollectedSpan};
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::WASI_OTEL;
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;
use std::time::Duration;

use crate::contract::{REMOTE, Trace};

/// The example's own point in time, in nanoseconds since 1970.
const FIXED: u64 = 1_700_000_000_000_000_000;

pub(crate) async fn wasi_otel_with(
    change: impl FnOnce(TestHost) -> TestHost,
) -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = change(TestHost::serving(WASI_OTEL)).exporting_to(&collector);
    let host = host.start().await;
    (collector, host)
}

pub(crate) async fn wasi_otel() -> (Collector, RunningHost) {
    wasi_otel_with(|host| host).await
}

/// Waits until the counter of what was dropped says so much of `item`.
pub(crate) async fn demand_dropped(collector: &Collector, item: &str, count: f64) {
    let is_it = |point: &CollectedPoint| {
        point.attributes.get("item") == Some(&json!(item)) && point.value == count
    };
    let enough = |points: &[CollectedPoint]| points.iter().any(is_it);
    collector.points("fanlight.telemetry.dropped", enough).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_guest_makes_nest_below_the_server_span() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/nested"), 5).await;
    trace.demand_parents([("a", ""), ("b", "a"), ("c", "b"), ("d", "a")]);
    let c = trace.named("c");
    assert_eq!(c.span_id, "00000000000000c1");
    assert_eq!(
        (c.start_unix_nanos, c.end_unix_nanos),
        (FIXED, FIXED + 1_000_000)
    );
    assert_eq!(c.scope, ("by-hand".to_owned(), "1.2".to_owned()));
    // They are the component's: its service, not one of their own.
    assert_eq!(c.resource, trace.server().resource);
    assert_eq!(c.resource["service.name"], json!("under-test"));
    let unfinished = trace.server().attribute("fanlight.spans.unfinished");
    assert_eq!(unfinished, json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_both_doors_nest_in_each_other() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/mixed"), 10).await;
    trace.demand_parents([
        ("host_1", ""),
        ("made_2", "host_1"),
        ("host_3", "made_2"),
        ("made_4", "host_3"),
        ("host_5", "made_4"),
        ("host_4b", "host_3"),
        ("host_3b", "made_2"),
        ("made_2b", "host_1"),
        ("made_1b", ""),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_leaves_the_current_ones_wherever_it_stands() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/out-of-order"), 5).await;
    trace.demand_parents([
        ("outer", ""),
        ("inner", "outer"),
        ("below_inner", "inner"),
        ("below_server", ""),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_keeps_all_that_was_said_of_it() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/everything"), 2).await;
    trace.demand_parents([("everything", "")]);
    let span = trace.named("everything");
    assert_eq!(span.kind, Kind::Client);
    assert_eq!(span.trace_state, "b=2,a=1");
    assert_eq!(span.start_unix_nanos, FIXED + 10_000_000);
    assert_eq!(span.end_unix_nanos, FIXED + 25_000_000);
    assert_eq!(json!(span.attributes), json!({"k": "v"}));
    assert_eq!(span.event_times, [FIXED + 15_000_000]);
    assert_eq!(json!(span.event("happened").attributes), json!({"n": 7}));
    assert_eq!(span.status, Status::Error);
    assert_eq!(span.status_message, "it broke");
    assert_eq!(span.dropped, (1, 2, 3));
    assert_eq!(json!(span.scope_attributes), json!({"team": "shop"}));
    // The other one has no valid context.
    let [link] = &span.links[..] else {
        panic!("{:#?}", span.links)
    };
    assert_eq!((&*link.trace_id, &*link.span_id), REMOTE);
    assert_eq!(link.trace_state, "vendor=value");
    assert_eq!(json!(link.attributes), json!({"why": "because"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_have_the_types_of_their_json() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/attributes"), 2).await;
    let expected = json!({
        "string": "a \"text\" é",
        "true": true,
        "integer": -42,
        "float": 2.5,
        "whole_float": 2.0,
        "large": "18446744073709551615",
        "strings": ["a", "b"],
        "booleans": [true, false],
        "integers": [1, 2, 3],
        "floats": [1.0, 2.5],
        "empty": [],
        "mixed": "[1,\"a\"]",
        "object": "{\"a\":1}",
        "null": "null",
        "bytes": "AQID",
        "no_json": "plain words",
        "twice": 2,
    });
    assert_eq!(json!(trace.named("typed").attributes), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_names_of_the_current_context_tell_the_innermost_of_both_doors() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/contexts"), 3).await;
    let made = "00000000000000c0";
    let (server, inner) = (&*trace.server().span_id, &*trace.named("host").span_id);
    let expected: String = [server, made, inner, made, server]
        .map(|id| format!("{id} {id}\n"))
        .concat();
    assert_eq!(trace.text(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_is_told_of_at_its_end_alone_is_exported() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/end-only"), 2).await;
    trace.demand_parents([("late_news", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_ends_of_a_span_the_first_counts() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/twice"), 3).await;
    // The late start made nothing current.
    trace.demand_parents([("first", ""), ("after", "")]);
    host.stop().await;
    assert_eq!(collector.spans().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_trace_that_is_not_sampled_nothing_is_whatever_the_guest_says() {
    let (collector, host) = wasi_otel().await;
    let parent = format!("00-{}-{}-00", REMOTE.0, REMOTE.1);
    for target in ["/nested", "/mixed", "/unfinished", "/everything"] {
        let answer = host.get(target).header("traceparent", &parent).send().await;
        assert_eq!(answer.status, 200, "{target}");
    }
    host.stop().await;
    assert_eq!(collector.spans().len(), 0, "{:#?}", collector.spans());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_may_leave_a_span_out_or_begin_a_trace_of_its_own() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/not-sampled"), 2).await;
    trace.demand_parents([("loud", "")]);
    Trace::of(&collector, host.get("/own-trace"), 1).await;
    let own = collector.trace("4bf92f3577b34da6a3ce929d0e0e4736", 2).await;
    let apart = own.iter().find(|span| span.name == "apart").unwrap();
    let below = own.iter().find(|span| span.name == "below_apart").unwrap();
    assert_eq!(apart.parent_span_id, None);
    assert_eq!(below.parent_span_id.as_ref(), Some(&apart.span_id));
    host.stop().await;
    assert_eq!(collector.spans().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_cannot_speak_as_the_server_span_or_by_the_hosts_scope() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/forged"), 2).await;
    assert_eq!(trace.server().name, "GET");
    assert_eq!(trace.server().attribute("http.route"), json!(null));
    let honest = trace.named("honest");
    assert_eq!(honest.scope, ("fanlight.guest".to_owned(), String::new()));
    trace.demand_parents([("honest", "")]);
    // Five of them, each with a start and an end.
    demand_dropped(&collector, "span", 10.0).await;
    host.stop().await;
    assert_eq!(collector.spans().len(), 2);
}

fn demand_unfinished(spans: &[CollectedSpan], error_type: Option<&str>) {
    let server = spans.iter().find(|span| span.kind == Kind::Server).unwrap();
    let between = spans.iter().find(|span| span.name == "between").unwrap();
    let [first, second] = ["0000000000000051", "0000000000000052"].map(|id| {
        let found = spans.iter().find(|span| span.span_id == id);
        assert!(found.is_some(), "no {id} in {spans:#?}");
        found.unwrap()
    });
    assert_eq!(first.parent_span_id.as_ref(), Some(&server.span_id));
    assert_eq!(between.parent_span_id.as_ref(), Some(&first.span_id));
    assert_eq!(second.parent_span_id.as_ref(), Some(&between.span_id));
    for span in [first, second] {
        assert_eq!(span.name, "unfinished");
        assert_eq!(span.scope.0, "fanlight.guest");
        assert_eq!(span.attribute("fanlight.span.unfinished"), json!(true));
        assert_eq!(span.attribute("error.type"), json!(error_type));
        let expected = match error_type {
            Some(_) => Status::Error,
            None => Status::Unset,
        };
        assert_eq!(span.status, expected);
        assert!(server.start_unix_nanos <= span.start_unix_nanos);
        assert!(span.start_unix_nanos <= span.end_unix_nanos);
    }
    let unfinished = server.attribute("fanlight.spans.unfinished");
    assert_eq!(unfinished, json!(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_whose_end_never_comes_is_unfinished_for_the_reason_of_the_end() {
    let (collector, host) = wasi_otel_with(|host| {
        host.requests(|limits| limits.request_timeout = Duration::from_millis(300))
    })
    .await;
    for (target, status, error_type) in [
        ("/unfinished", 200, None),
        ("/unfinished-trap", 500, Some("trap")),
        ("/unfinished-sleep", 504, Some("timeout")),
    ] {
        let answer = host.get(target).send().await;
        assert_eq!(answer.status, status, "{target}");
        let spans = collector.trace(&trace_of(&answer).trace_id, 4).await;
        demand_unfinished(&spans, error_type);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_guest_makes_are_in_the_budget_and_counted_once() {
    let (collector, host) = wasi_otel_with(|host| host.guests(|limits| limits.spans = 10)).await;
    let trace = Trace::of(&collector, host.get("/many?n=15"), 11).await;
    assert_eq!(trace.server().attribute("fanlight.spans.dropped"), json!(5));
    demand_dropped(&collector, "span", 5.0).await;
    // Two budgets would let all of these through.
    let (collector, host) = wasi_otel_with(|host| host.guests(|limits| limits.spans = 4)).await;
    let trace = Trace::of(&collector, host.get("/mixed"), 5).await;
    assert_eq!(trace.server().attribute("fanlight.spans.dropped"), json!(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_cut_and_what_is_too_much_is_counted() {
    let (collector, host) = wasi_otel().await;
    let trace = Trace::of(&collector, host.get("/long?bytes=1000000"), 3).await;
    let flood = trace.named("flood");
    assert_eq!((flood.attributes.len(), flood.dropped.0), (128, 872));
    let long = trace.named(&"x".repeat(16 * 1024));
    assert_eq!(long.attribute("long"), json!("x".repeat(16 * 1024)));
    assert_eq!(long.attribute(&"x".repeat(16 * 1024)), json!(1));
    // And all of it together has its bound.
    let (collector, host) =
        wasi_otel_with(|host| host.guests(|limits| limits.telemetry_bytes = 2_000)).await;
    let trace = Trace::of(&collector, host.get("/long?bytes=1000000"), 2).await;
    assert_eq!(trace.server().attribute("fanlight.spans.dropped"), json!(1));
    let flood = trace.named("flood");
    let kept = flood.attributes.len();
    assert!(0 < kept && kept < 30, "{kept}");
    assert_eq!(usize::try_from(flood.dropped.0), Ok(1_000 - kept));
}
