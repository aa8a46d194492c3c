//! The contract's metrics, logs, server span and bounds, door by door.

use fanlight_runner::client::Answer;
use fanlight_runner::span::Status;
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::{CollectedLog, CollectedPoint};
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::SHOWCASE;
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;

use crate::contract::{REMOTE, Trace, showcase, told};

async fn showcase_with(change: impl FnOnce(TestHost) -> TestHost) -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = change(TestHost::serving(SHOWCASE)).exporting_to(&collector);
    let host = host.start().await;
    (collector, host)
}

/// A good answer and the log records of its trace.
async fn logged(
    collector: &Collector,
    host: &RunningHost,
    target: &str,
    count: usize,
) -> (Answer, Vec<CollectedLog>) {
    let answer = host.get(target).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let logs = collector.logs(&trace_of(&answer).trace_id, count).await;
    (answer, logs)
}

/// Waits until the counter of what was dropped says so much of `item`.
async fn demand_dropped(collector: &Collector, item: &str, count: f64) {
    let is_it = |point: &CollectedPoint| {
        point.attributes.get("item") == Some(&json!(item)) && point.value == count
    };
    let enough = |points: &[CollectedPoint]| points.iter().any(is_it);
    collector.points("fanlight.telemetry.dropped", enough).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instruments_of_seven_kinds_add_up_across_requests() {
    let (collector, host) = showcase().await;
    for _ in 0..3 {
        let answer = host.get("/metrics").send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let guest = "fanlight.guest";
    for (name, kind, unit, value, scope) in [
        ("showcase.counter", "sum", "{thing}", 6.0, guest),
        ("showcase.counter_f64", "sum", "By", 1.5, guest),
        ("showcase.up_down_counter", "up-down", "", 6.0, guest),
        ("showcase.up_down_counter_f64", "up-down", "", 4.5, guest),
        ("showcase.histogram", "histogram", "ms", 1666.5, guest),
        ("showcase.gauge", "gauge", "", -7.0, "showcase-library"),
        ("showcase.gauge_f64", "gauge", "", 0.25, guest),
    ] {
        let all = |points: &[CollectedPoint]| points[0].value == value;
        let points = collector.points(name, all).await;
        let [point] = &points[..] else {
            panic!("{points:#?}")
        };
        assert_eq!((point.kind, &*point.unit), (kind, unit), "{name}");
        assert_eq!(point.scope, scope, "{name}");
        let attributes = json!({"color": "red", "size": 3});
        assert_eq!(json!(point.attributes), attributes, "{name}");
        let (count, bounds) = match kind {
            "histogram" => (12, vec![1.0, 10.0, 100.0]),
            _ => (0, Vec::new()),
        };
        assert_eq!((point.count, &point.bounds), (count, &bounds), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_value_without_a_handle_adds_to_the_same_instrument() {
    let (collector, host) = showcase().await;
    for target in ["/metrics", "/metrics-once"] {
        let answer = host.get(target).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for (name, value, count) in [
        ("showcase.counter", 4.0, 0),
        ("showcase.counter_f64", 1.0, 0),
        ("showcase.up_down_counter", 0.0, 0),
        ("showcase.up_down_counter_f64", 0.0, 0),
        ("showcase.histogram", 560.5, 5),
        ("showcase.gauge", -8.0, 0),
        ("showcase.gauge_f64", 0.75, 0),
    ] {
        let all = |points: &[CollectedPoint]| points[0].value == value;
        let points = collector.points(name, all).await;
        let [point] = &points[..] else {
            panic!("{points:#?}")
        };
        let attributes = json!({"color": "red", "size": 3});
        assert_eq!(json!(point.attributes), attributes, "{name}");
        assert_eq!(point.count, count, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instrument_that_cannot_be_had_is_an_error_value() {
    let (_collector, host) = showcase().await;
    let expected = "ok\n\
        conflicting instrument: counter-u64 with unit \"\" and default bounds\n\
        invalid instrument: a name begins with a letter\n\
        invalid instrument: the bounds of a histogram are finite and rise\n\
        conflicting instrument: counter-u64 with unit \"\" and default bounds\n\
        invalid instrument: the bounds of a histogram are finite and rise\n";
    // The first to open it made it: later requests are told the same.
    for _ in 0..2 {
        let answer = host.get("/metric-clash").send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instruments_over_the_hosts_bound_are_refused_by_an_error_value() {
    let (collector, host) =
        showcase_with(|host| host.guests(|limits| limits.instruments = 1)).await;
    let answer = host.get("/metrics").send().await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body, "the host allows no more instruments\n");
    // The one that there was room for counts all the same.
    let points = collector.points("showcase.counter", |_| true).await;
    assert_eq!(points[0].value, 2.0);
    demand_dropped(&collector, "instrument", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_records_say_all_they_can_within_the_current_span() {
    let (collector, host) = showcase().await;
    let (answer, mut logs) = logged(&collector, &host, "/logs", 7).await;
    // Records of two libraries come in any order.
    logs.sort_by_key(|log| log.severity);
    let spans = collector.trace(&trace_of(&answer).trace_id, 2).await;
    let logging = spans.iter().find(|span| span.name == "logging").unwrap();
    for (log, (body, severity, text)) in logs.iter().zip([
        (json!("a trace"), 1, "TRACE"),
        (json!("a debug 7"), 5, "DEBUG"),
        (json!("an info 7"), 9, "INFO"),
        (json!(["a", "list"]), 10, "INFO2"),
        (json!("a warning"), 13, "WARN"),
        (json!("an error"), 17, "ERROR"),
        (json!("a fatal one"), 21, "FATAL"),
    ]) {
        assert_eq!(log.body, body);
        assert_eq!((log.severity, log.severity_text.as_str()), (severity, text));
        assert_eq!(log.trace_id, logging.trace_id, "{body}");
        assert_eq!(log.span_id, logging.span_id, "{body}");
        let (attributes, event_name, scope) = match severity {
            9 => (
                json!({"number": 7, "list": ["a", "b"]}),
                "",
                "fanlight.guest",
            ),
            10 => (json!({"user.id": 42}), "showcase.event", "showcase-library"),
            _ => (json!({}), "", "fanlight.guest"),
        };
        assert_eq!(json!(log.attributes), attributes, "{body}");
        assert_eq!(log.event_name, event_name, "{body}");
        assert_eq!(log.scope, scope, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_lines_become_log_records_of_the_current_span() {
    let (collector, host) = showcase().await;
    let (answer, logs) = logged(&collector, &host, "/stdout", 4).await;
    let trace = trace_of(&answer);
    let spans = collector.trace(&trace.trace_id, 2).await;
    let printing = spans.iter().find(|span| span.name == "printing").unwrap();
    for (log, (body, stream, severity, span_id)) in logs.iter().zip([
        ("a line on stdout", "stdout", 9, &printing.span_id),
        ("a line on stderr", "stderr", 13, &printing.span_id),
        (
            "the first half and the second",
            "stdout",
            9,
            &printing.span_id,
        ),
        // Told when the guest has returned, and left its span.
        ("unfinished", "stdout", 9, &trace.span_id),
    ]) {
        assert_eq!(log.body, json!(body));
        let attributes = json!({"log.iostream": stream});
        assert_eq!(json!(log.attributes), attributes, "{body}");
        assert_eq!(log.severity, severity, "{body}");
        assert_eq!(&log.span_id, span_id, "{body}");
        assert_eq!(log.scope, "fanlight.guest");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_records_over_the_budget_are_counted_and_the_request_goes_on() {
    let (collector, host) =
        showcase_with(|host| host.guests(|limits| limits.log_records = 3)).await;
    let (_, logs) = logged(&collector, &host, "/logs", 3).await;
    assert_eq!(logs[2].body, json!("an info 7"));
    demand_dropped(&collector, "log_record", 4.0).await;
    // Printed lines are in the same budget, and each request has its own.
    let (answer, logs) = logged(&collector, &host, "/stdout", 3).await;
    assert_eq!(logs[2].body, json!("the first half and the second"));
    demand_dropped(&collector, "log_record", 5.0).await;
    host.stop().await;
    collector.logs(&trace_of(&answer).trace_id, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_over_the_budget_are_counted_and_the_request_goes_on() {
    let (collector, host) = showcase_with(|host| host.guests(|limits| limits.spans = 10)).await;
    let trace = Trace::of(&collector, host.get("/many-spans?n=15"), 11).await;
    assert_eq!(trace.text(), "done\n");
    let server = trace.server();
    assert_eq!(server.attribute("fanlight.spans.dropped"), json!(5));
    assert_eq!(server.status, Status::Unset);
    demand_dropped(&collector, "span", 5.0).await;
    // The next request has a budget of its own.
    let trace = Trace::of(&collector, host.get("/many-spans?n=10"), 11).await;
    let dropped = trace.server().attribute("fanlight.spans.dropped");
    assert_eq!(dropped, json!(null));
    host.stop().await;
    assert_eq!(collector.spans().len(), 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_record_where_the_parent_is_sampled_and_nowhere_else() {
    let (collector, host) = showcase().await;
    let from = |flags| {
        let parent = format!("00-{}-{}-{flags}", REMOTE.0, REMOTE.1);
        host.get("/is-recording").header("traceparent", &parent)
    };
    let unsampled = from("00").send().await;
    assert_eq!(unsampled.status, 200);
    assert_eq!(unsampled.body, "server false\nopen false\nended false\n");
    let named = trace_of(&unsampled);
    assert_eq!((named.trace_id.as_str(), named.sampled), (REMOTE.0, false));

    let sampled = Trace::of(&collector, from("01"), 2).await;
    assert_eq!(sampled.text(), "server true\nopen true\nended false\n");
    assert!(trace_of(&sampled.answer).sampled);
    sampled.demand_parents([("recording", "")]);
    let server = sampled.server();
    assert_eq!(server.trace_id, REMOTE.0);
    assert_eq!(server.parent_span_id.as_deref(), Some(REMOTE.1));
    // What was not sampled is not exported either, however long one waits.
    host.stop().await;
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_traces_go_nowhere_spans_do_not_record_and_the_rest_is_as_it_was() {
    for off in [
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_SDK_DISABLED", "true"),
    ] {
        let collector = Collector::start().await;
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc());
        let host = TestHost::serving(SHOWCASE).exporting(&[endpoint, off]);
        let host = host.start().await;
        let parent = format!("00-{}-{}-01", REMOTE.0, REMOTE.1);
        let asked = host.get("/is-recording").header("traceparent", &parent);
        let answer = asked.send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, "server false\nopen false\nended false\n");
        // The caller's decision is handed on, below a span that has an identity.
        let named = trace_of(&answer);
        assert_eq!((named.trace_id.as_str(), named.sampled), (REMOTE.0, true));
        let current = host.get("/current-context").send().await;
        let current = String::from_utf8_lossy(&current.body);
        let mut spans: Vec<_> = current.lines().collect();
        spans.dedup();
        assert_eq!(spans.len(), 2, "{current}");
        assert_eq!(host.get("/route").send().await.status, 200);
        host.stop().await;
        assert_eq!(collector.spans().len(), 0);
        // Metrics do not come from spans.
        let is_counted = collector.all_points().iter().any(|point| {
            point.name == "http.server.request.duration"
                && point.attributes.get("http.route") == Some(&json!("/route/{id}"))
        });
        assert_eq!(is_counted, off.0 == "OTEL_TRACES_EXPORTER");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_names_the_server_span() {
    let told = told("/route", 1).await;
    assert_eq!(told.server().name, "GET /route/{id}");
    assert_eq!(told.server().attribute("http.route"), json!("/route/{id}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_span_takes_attributes_an_exception_and_a_status() {
    let told = told("/server-span", 1).await;
    let server = told.server();
    assert_eq!(server.attribute("showcase.one"), json!("text"));
    assert_eq!(server.attribute("showcase.two"), json!(2));
    assert_eq!(server.attribute("showcase.list"), json!([1, 2]));
    let attributes = &server.event("exception").attributes;
    assert_eq!(attributes["exception.type"], json!("ValueError"));
    let message = &attributes["exception.message"];
    assert_eq!(message, &json!("on the server span"));
    let stack = attributes["exception.stacktrace"].as_str().unwrap();
    assert!(stack.contains("example_showcase::"), "{stack}");
    assert_eq!(server.status, Status::Error);
    assert_eq!(server.status_message, "said by the guest");
    // The answer itself was a good one.
    assert_eq!(server.attribute("http.response.status_code"), json!(200));
    assert_eq!(server.attribute("error.type"), json!(null));
}
