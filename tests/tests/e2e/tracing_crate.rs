//! Components that speak by the crate `tracing`: a library's spans, and each
//! thing that the layer of the SDK passes on.

use std::time::Duration;

use fanlight_runner::jaeger;
use fanlight_runner::span::{Kind, Span, Status};
use fanlight_tests::PATIENCE;
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedSpan;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::TRACING;
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::jaeger::Jaeger;
use fanlight_tests::skipped::skip_outside_ci;
use serde_json::json;
use tokio::time::Instant;

use crate::contract::{Trace, demand_guards_end_their_spans, demand_within};

/// `{user(id:1){name friends{name}}}`: the resolvers of `user` and of `friends`
/// wait for 20 ms each.
const QUERY: &str = "/graphql?query=%7Buser(id:1)%7Bname%20friends%7Bname%7D%7D%7D";
/// The spans of its trace, that of the host included.
const QUERY_SPANS: usize = 9;

pub(crate) async fn serving() -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = TestHost::serving(TRACING).exporting_to(&collector);
    let host = host.start().await;
    (collector, host)
}

/// The span of `async-graphql` that resolves what is at a path.
fn field<'a>(spans: impl IntoIterator<Item = &'a Span>, path: &str) -> &'a Span {
    let mut spans = spans.into_iter();
    let found = spans.find(|span| span.name == "field" && span.attributes["path"] == path);
    found.unwrap()
}

/// Demands that each span has the one before it as its parent.
fn demand_chain(chain: &[&Span]) {
    for pair in chain.windows(2) {
        let (parent, child) = (pair[0], pair[1]);
        let found = child.parent_span_id.as_ref();
        assert_eq!(
            found,
            Some(&parent.span_id),
            "{} {}",
            parent.name,
            child.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_knows_nothing_of_the_host_gives_nested_spans_over_awaits() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get(QUERY), QUERY_SPANS).await;
    let answer = json!({"data": {"user": {
        "name": "Grace",
        "friends": [{"name": "Barbara"}, {"name": "Ada"}],
    }}});
    assert_eq!(trace.answer.json().unwrap(), answer);
    trace.demand_parents([
        ("request", ""),
        ("parse", "request"),
        ("validation", "request"),
        ("execute", "request"),
    ]);
    let at = |path| trace.only(path, |span| span.attribute("path") == json!(path));
    let (user, friends) = (at("user"), at("user.friends"));
    demand_chain(&[trace.named("execute"), user, friends]);
    demand_within(trace.named("execute"), user);
    demand_within(user, friends);
    assert_eq!(user.attribute("parent_type"), json!("Query"));
    assert_eq!(friends.attribute("return_type"), json!("[User!]!"));
    // What the library told later, of the span that was the current one.
    let source = trace.named("parse").attribute("source");
    assert!(source.as_str().unwrap().contains("friends"), "{source}");
    assert_eq!(user.scope.0, "async_graphql::graphql");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_librarys_spans_are_in_a_real_jaeger_one_below_the_other() {
    let Some(jaeger) = Jaeger::start().await.unwrap() else {
        let name = "a_librarys_spans_are_in_a_real_jaeger_one_below_the_other";
        return skip_outside_ci(name, "FANLIGHT_TEST_JAEGER names no Jaeger");
    };
    let endpoint = jaeger.otlp_grpc();
    let host = TestHost::serving(TRACING)
        .exporting(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)])
        .start()
        .await;
    let answer = host.get(QUERY).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let query = jaeger::Jaeger::new(jaeger.query_url().parse().unwrap());
    let id = trace_of(&answer).trace_id;
    let deadline = Instant::now() + PATIENCE;
    let trace = query.trace_of(&id, QUERY_SPANS, deadline).await.unwrap();
    let spans = trace.expect("the trace arrives").spans;
    assert_eq!(spans.len(), QUERY_SPANS, "{spans:#?}");
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let server = spans.iter().find(|span| span.kind == Kind::Server).unwrap();
    let (user, friends) = (field(&spans, "user"), field(&spans, "user.friends"));
    demand_chain(&[server, named("request"), named("execute"), user, friends]);
    // It was open while its resolver slept: at least that long, and no less.
    let lasted = friends.end_unix_nanos - friends.start_unix_nanos;
    assert!(Duration::from_nanos(lasted) >= Duration::from_millis(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_typed_attributes_or_say_what_the_span_is() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/fields"), 2).await;
    let span = trace.named("GET /users");
    let mut attributes = span.attributes.clone();
    let file = attributes.remove("code.file.path").unwrap();
    assert!(file.as_str().unwrap().ends_with("src/spans.rs"), "{file}");
    assert!(attributes.remove("code.line.number").unwrap().is_number());
    let expected = json!({
        "text": "b",
        "number": -7,
        "large": "18446744073709551615",
        "fraction": 0.5,
        "truth": true,
        "debugged": "reentrant",
        "error": "invalid digit found in string",
        "later": 3,
    });
    assert_eq!(json!(attributes), expected);
    assert_eq!(span.kind, Kind::Client);
    let status = (span.status, &*span.status_message);
    assert_eq!(status, (Status::Error, "refused"));
    assert_eq!(span.scope.0, "users");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_hangs_where_it_says_and_links_what_it_follows() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/parents"), 7).await;
    trace.demand_parents([
        ("parent", ""),
        ("current", ""),
        ("child", "parent"),
        ("of_none", "current"),
        ("of_disabled", "current"),
        ("follower", "current"),
    ]);
    let current = trace.named("current");
    current.event("event of disabled");
    let logs = collector.logs(&trace.server().trace_id, 1).await;
    assert_eq!(logs[0].span_id, current.span_id);
    let links = &trace.named("follower").links;
    let links: Vec<_> = links.iter().map(|link| &link.span_id).collect();
    let followed = ["child", "of_none"].map(|name| &trace.named(name).span_id);
    assert_eq!(links, followed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instrumented_future_is_within_its_span_after_it_waited() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/instrumented"), 4).await;
    trace.demand_parents([("load", ""), ("query", "load"), ("decode", "query")]);
    let load = trace.named("load");
    assert_eq!(load.attribute("id"), json!(7));
    assert_eq!(load.attribute("found"), json!(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_is_left_first_leaves_the_later_one_the_current_one() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/order"), 5).await;
    trace.demand_parents([("a", ""), ("b", ""), ("under_b", "b"), ("under_server", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn futures_joined_by_whomever_keep_their_spans_apart() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/joined"), 15).await;
    for branch in ["a", "b", "c", "d"] {
        let (task, child) = (format!("branch_{branch}"), format!("{branch}_child"));
        trace.demand_parents([(&*task, ""), (branch, &*task), (&*child, branch)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn futures_that_share_a_span_keep_what_they_hold_within_it_apart() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/shared"), 9).await;
    trace.demand_parents([
        ("shared", ""),
        ("a", "shared"),
        ("a_child", "a"),
        ("b", "shared"),
        ("b_child", "b"),
        ("lent", ""),
        ("c", "lent"),
        ("c_child", "c"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_ends_its_span_although_the_one_around_it_was_left_before() {
    let (collector, host) = serving().await;
    demand_guards_end_their_spans(&collector, host.get("/outlived")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_tracing_and_of_the_sdk_hang_in_one_tree() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/mixed"), 7).await;
    trace.demand_parents([
        ("tracing_1", ""),
        ("sdk_1", "tracing_1"),
        ("tracing_2", "sdk_1"),
        ("sdk_2", "tracing_2"),
        ("late", "sdk_1"),
        ("after", ""),
    ]);
    let logs = collector.logs(&trace.server().trace_id, 1).await;
    assert_eq!(logs[0].span_id, trace.named("sdk_2").span_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_dropped_ends_its_span_and_what_it_held() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/dropped"), 4).await;
    trace.demand_parents([("slow", ""), ("held", "slow"), ("after", "")]);
    let after = trace.named("after");
    for name in ["slow", "held"] {
        let span = trace.named(name);
        assert_eq!(
            span.attribute("fanlight.span.unfinished"),
            json!(null),
            "{name}"
        );
        assert!(span.end_unix_nanos <= after.start_unix_nanos, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_log_records_and_events_of_the_span_they_happen_in() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/events"), 3).await;
    let names = |span: &CollectedSpan| {
        let names = span.events.iter().map(|event| event.name.clone());
        names.collect::<Vec<_>>()
    };
    let (eventful, sdk) = (trace.named("eventful"), trace.named("of_the_sdk"));
    let [asked, unnamed, by_name] = &names(eventful)[..] else {
        panic!("{:#?}", eventful.events)
    };
    assert_eq!((&**asked, &**by_name), ("asked", "by name"));
    assert!(unnamed.starts_with("event "), "{unnamed}");
    assert_eq!(names(sdk), ["within the sdk's"]);
    let expected = json!({
        "attempt": 1,
        "cached": false,
        "level": "INFO",
        "target": "example_tracing::events",
    });
    assert_eq!(json!(eventful.event("asked").attributes), expected);

    let logs = collector.logs(&trace.server().trace_id, 5).await;
    let server = &trace.server().span_id;
    for (body, severity, span_id, scope) in [
        ("within none", 9, server, "example_tracing::events"),
        ("asked", 9, &eventful.span_id, "example_tracing::events"),
        (unnamed, 13, &eventful.span_id, "library"),
        (
            "within the sdk's",
            9,
            &sdk.span_id,
            "example_tracing::events",
        ),
        ("by name", 9, &eventful.span_id, "example_tracing::events"),
    ] {
        let log = logs.iter().find(|log| log.body == body).unwrap();
        assert_eq!((log.severity, &log.span_id), (severity, span_id), "{body}");
        assert_eq!(log.scope, scope, "{body}");
        if body == "asked" {
            let expected = json!({"attempt": 1, "cached": false});
            assert_eq!(json!(log.attributes), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_one_of_both_where_the_component_says_so() {
    let (collector, host) = serving().await;
    let of_spans = Trace::of(&collector, host.get("/events?events=spans"), 3).await;
    assert_eq!(of_spans.named("eventful").events.len(), 3);
    let records = Trace::of(&collector, host.get("/events?events=logs"), 3).await;
    assert_eq!(records.named("eventful").events, []);
    collector.logs(&records.server().trace_id, 5).await;
    // Records leave in order: those of the first request would be here by now.
    let logs = collector.logs(&of_spans.server().trace_id, 1).await;
    // There is no span that it could be an event of.
    assert_eq!(logs[0].body, json!("within none"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_an_exception_with_its_sources_and_the_spans_status() {
    const MESSAGE: &str = "no number: invalid digit found in string";
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/errors"), 4).await;
    let failing = trace.named("failing");
    let exception = &failing.event("exception").attributes;
    assert_eq!(exception["exception.message"], json!(MESSAGE));
    assert_eq!(exception["message"], json!("it failed"));
    assert_eq!(exception["attempt"], json!(2));
    let stack = exception["exception.stacktrace"].as_str().unwrap();
    assert!(stack.contains("example_tracing::events::errors"), "{stack}");
    let status = |name| {
        let span = trace.named(name);
        (span.status, span.status_message.clone())
    };
    let error = |message: &str| (Status::Error, message.to_owned());
    assert_eq!(status("failing"), error(MESSAGE));
    assert_eq!(status("fails"), error("no number"));
    assert_eq!(status("only_told"), error("no error value"));
    trace.named("fails").event("exception");
    trace.named("only_told").event("no error value");
    // The host says how the request turned out.
    let server = trace.server();
    assert_eq!(server.status, Status::Unset);
    let exception = &server.event("exception").attributes;
    assert_eq!(exception["exception.message"], json!(MESSAGE));

    let logs = collector.logs(&server.trace_id, 4).await;
    assert!(logs.iter().all(|log| log.severity == 17), "{logs:#?}");
    assert_eq!(logs[0].attributes["exception.message"], json!(MESSAGE));
    assert_eq!(logs[1].body, json!("no number"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_not_recorded_costs_the_component_no_attribute() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let (collector, host) = serving().await;
    let ask = |flags| {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-{flags}");
        host.get("/cost").header("traceparent", &parent)
    };
    let unsampled = ask("00").send().await;
    assert_eq!(unsampled.body, "tracing 0 sdk 0 events 1\n");
    let logs = collector.logs(TRACE, 1).await;
    assert_eq!(logs[0].body, json!("log records are not sampled"));
    // Spans leave in order: those of the first request would be here by now.
    let sampled = Trace::of(&collector, ask("01"), 4).await;
    assert_eq!(sampled.text(), "tracing 1 sdk 4 events 1\n");
    sampled.demand_parents([
        ("of_tracing", ""),
        ("of_the_sdk", "of_tracing"),
        ("built", "of_the_sdk"),
    ]);
    assert_eq!(sampled.named("of_tracing").attribute("value"), json!(7));
    assert_eq!(sampled.server().attribute("app.value"), json!(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_spans_that_are_not_recorded_does_not_reach_the_host() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let collector = Collector::start().await;
    let host = TestHost::serving(TRACING).exporting_to(&collector);
    // What crosses takes from this, whatever becomes of it.
    let host = host.guests(|limits| limits.telemetry_bytes = 4 * 1_024);
    let host = host.start().await;
    let unsampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    let ask = host.get("/say-much").header("traceparent", &unsampled);
    assert_eq!(ask.send().await.status, 200);
    let logs = collector.logs(TRACE, 1).await;
    assert_eq!(logs[0].body, json!("there is room left"));
}
