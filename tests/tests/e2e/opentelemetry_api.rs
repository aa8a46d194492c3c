//! Components that speak by the API of the crate `opentelemetry`, with the
//! providers of the SDK.

use fanlight_runner::span::{Kind, Status};
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedPoint;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::OPENTELEMETRY;
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;

use crate::contract::{REMOTE, Trace, demand_guards_end_their_spans, demand_within};

/// The example's own point in time, in nanoseconds since 1970.
const FIXED: u64 = 1_700_000_000_000_000_000;

async fn serving() -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = TestHost::serving(OPENTELEMETRY).exporting_to(&collector);
    let host = host.start().await;
    (collector, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_span_of_the_api_can_say_arrives() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/said"), 3).await;
    assert_eq!(trace.text(), "open true ended false\n");
    let (said, other) = (trace.named("said"), trace.named("other"));
    let expected = json!({
        "at": "start",
        "twice": 2,
        "truth": true,
        "fraction": 0.5,
        "list": ["a", "b"],
    });
    assert_eq!(json!(said.attributes), expected);
    assert_eq!(said.kind, Kind::Client);
    assert_eq!(
        (said.start_unix_nanos, said.end_unix_nanos),
        (FIXED, FIXED + 2_000_000_000)
    );
    let status = (said.status, &*said.status_message);
    assert_eq!(status, (Status::Error, "refused"));
    assert_eq!(said.scope, ("library".into(), "1.2.3".into()));
    let names: Vec<_> = said.events.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["early", "now", "later"]);
    assert_eq!(said.event("now").attributes["attempt"], json!(1));
    let (early, now, later) = (
        said.event_times[0],
        said.event_times[1],
        said.event_times[2],
    );
    assert_eq!((early, later), (FIXED, FIXED + 1_000_000_000));
    assert!(now > other.start_unix_nanos, "{said:#?}");
    let links: Vec<_> = said
        .links
        .iter()
        .map(|link| (&*link.span_id, json!(link.attributes)))
        .collect();
    let expected = [
        (&*other.span_id, json!({"reason": "at start"})),
        (&*other.span_id, json!({})),
    ];
    assert_eq!(links, expected);
    trace.demand_parents([("said", ""), ("other", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_error_gets_the_components_own_stack() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/errors"), 3).await;
    for name in ["direct", "in_context"] {
        let exception = &trace.named(name).event("exception").attributes;
        let message = &exception["exception.message"];
        assert_eq!(message, "invalid digit found in string", "{name}");
        let stack = exception["exception.stacktrace"].as_str().unwrap();
        assert!(
            stack.contains("example_opentelemetry::spans::errors"),
            "{name}: {stack}"
        );
        assert_eq!(trace.named(name).status, Status::Unset);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_hangs_below_its_contexts_span_or_else_below_the_current_one() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/remote"), 2).await;
    trace.demand_parents([("below_current", "")]);
    let remote = collector.span(|span| span.name == "below_remote").await;
    let parent = (&*remote.trace_id, remote.parent_span_id.as_deref());
    assert_eq!(parent, (REMOTE.0, Some(REMOTE.1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_the_api_and_of_the_sdk_hang_in_one_tree() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/in-span"), 7).await;
    trace.demand_parents([
        ("outer", ""),
        ("sdk", "outer"),
        ("inner", "sdk"),
        ("sdk_inner", "inner"),
        ("next", "outer"),
        ("after", ""),
    ]);
    assert_eq!(trace.named("outer").attribute("user.id"), json!(7));
    assert_eq!(trace.named("outer").scope.0, "library");
    let logs = collector.logs(&trace.server().trace_id, 3).await;
    for (body, span) in [
        ("printed within inner", trace.named("inner")),
        ("logged within sdk_inner", trace.named("sdk_inner")),
        ("logged within none", trace.server()),
    ] {
        let log = logs.iter().find(|log| log.body == body);
        assert_eq!(log.unwrap().span_id, span.span_id, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_is_kept_over_an_await_and_apart_from_the_other_ones() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/joined"), 8).await;
    trace.demand_parents([("outer", "")]);
    for branch in ["a", "b"] {
        let (held, child) = (format!("{branch}_held"), format!("{branch}_child"));
        trace.demand_parents([(branch, "outer"), (&*held, branch), (&*child, &*held)]);
        demand_within(trace.named("outer"), trace.named(branch));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn futures_that_share_a_context_keep_what_they_hold_within_it_apart() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/shared"), 6).await;
    trace.demand_parents([
        ("shared", ""),
        ("a", "shared"),
        ("a_child", "a"),
        ("b", "shared"),
        ("b_child", "b"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_ends_its_span_although_the_context_was_detached_before() {
    let (collector, host) = serving().await;
    demand_guards_end_their_spans(&collector, host.get("/outlived")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_the_host_has_no_room_for_takes_nothing_from_its_parent() {
    let collector = Collector::start().await;
    let host = TestHost::serving(OPENTELEMETRY).exporting_to(&collector);
    let host = host.guests(|limits| limits.spans = 1).start().await;
    let trace = Trace::of(&collector, host.get("/over-limit"), 2).await;
    trace.demand_parents([("parent", "")]);
    let logs = collector.logs(&trace.server().trace_id, 1).await;
    assert_eq!(logs[0].span_id, trace.named("parent").span_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn contexts_may_be_detached_in_any_order() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/order"), 5).await;
    trace.demand_parents([
        ("a", ""),
        ("b", "a"),
        ("under_b", "b"),
        ("under_server", ""),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_not_recorded_costs_no_span_and_is_passed_on() {
    let (collector, host) = serving().await;
    let ask = |flags| {
        let parent = format!("00-{}-{}-{flags}", REMOTE.0, REMOTE.1);
        host.get("/unrecorded").header("traceparent", &parent)
    };
    let unsampled = ask("00").send().await;
    let server = trace_of(&unsampled).span_id;
    let expected = format!(
        "recording false sampled false same trace true traceparent 00-{}-{server}-00\n",
        REMOTE.0
    );
    assert_eq!(unsampled.body, expected);
    // Spans leave in order: those of the first request would be here by now.
    let sampled = Trace::of(&collector, ask("01"), 3).await;
    sampled.demand_parents([("parent", ""), ("child", "parent")]);
    let current = &sampled.named("parent").span_id;
    let expected = format!(
        "recording true sampled true same trace true traceparent 00-{}-{current}-01\n",
        REMOTE.0
    );
    assert_eq!(sampled.text(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_is_not_recorded_is_where_the_current_one_is() {
    let (_collector, host) = serving().await;
    let unsampled = format!("00-{}-{}-00", REMOTE.0, REMOTE.1);
    let ask = host.get("/parentless").header("traceparent", &unsampled);
    assert_eq!(ask.send().await.body, "true true true\n");
}

/// The one point of a metric.
async fn point(collector: &Collector, name: &str) -> CollectedPoint {
    let mut points = collector.points(name, |points| !points.is_empty()).await;
    points.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn instruments_of_the_api_are_the_hosts() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/metrics"), 1).await;
    for (name, kind, value) in [
        ("api.counter", "sum", 2.0),
        ("api.counter_f64", "sum", 0.5),
        ("api.up_down", "up-down", 2.0),
        ("api.up_down_f64", "up-down", -0.5),
        ("api.gauge", "gauge", -7.0),
        ("api.gauge_u64", "gauge", 7.0),
        ("api.gauge_f64", "gauge", 0.25),
        ("api.histogram", "histogram", 5.5),
        ("api.histogram_u64", "histogram", 3.0),
    ] {
        let point = point(&collector, name).await;
        assert_eq!((point.kind, point.value), (kind, value), "{name}");
        assert_eq!(json!(point.attributes), json!({"color": "red"}), "{name}");
        assert_eq!(point.scope, "library", "{name}");
    }
    let counter = point(&collector, "api.counter").await;
    assert_eq!(counter.unit, "{thing}");
    let histogram = point(&collector, "api.histogram").await;
    assert_eq!((histogram.count, &*histogram.bounds), (2, &[1.0, 10.0][..]));
    let logs = collector.logs(&trace.server().trace_id, 1).await;
    let why = logs[0].body.as_str().unwrap();
    assert!(
        why.starts_with("instrument 0 is no letter measures nothing"),
        "{why}"
    );
}
