//! Components made of two that were joined when they were built: one trace.

use fanlight_runner::span::Status;
use fanlight_tests::client::trace_of;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{COMPOSED, Fixture, GUARDED};
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;

use crate::contract::{Trace, demand_within};

async fn serving(fixture: Fixture) -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = TestHost::serving(fixture).exporting_to(&collector);
    let host = host.start().await;
    (collector, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_the_inner_component_hang_below_the_outer_ones_current_span() {
    let (collector, host) = serving(COMPOSED).await;
    let trace = Trace::of(&collector, host.get("/price?item=pen"), 6).await;
    assert_eq!(trace.text(), "pen: 320 cents\n");
    trace.demand_parents([
        ("not_entered", ""),
        ("ask_price", ""),
        ("find_price", "ask_price"),
        ("read_list", "find_price"),
        ("print", ""),
    ]);
    demand_within(trace.named("ask_price"), trace.named("find_price"));
    let found = json!({"item": "pen", "found": true});
    assert_eq!(json!(trace.named("find_price").attributes), found);
    let logs = collector.logs(&trace.server().trace_id, 1).await;
    assert_eq!(logs[0].body, json!("looked for pen"));
    assert_eq!(logs[0].span_id, trace.named("find_price").span_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_of_the_inner_component_ends_the_spans_of_both() {
    let (collector, host) = serving(COMPOSED).await;
    let answer = host.get("/price?item=curse").send().await;
    assert_eq!(answer.status, 500);
    let spans = collector.trace(&trace_of(&answer).trace_id, 5).await;
    let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let server = named("GET /price");
    for (name, parent) in [
        ("not_entered", "GET /price"),
        ("ask_price", "GET /price"),
        ("find_price", "ask_price"),
        ("read_list", "find_price"),
    ] {
        let (span, parent) = (named(name), &named(parent).span_id);
        assert_eq!(span.parent_span_id.as_ref(), Some(parent), "{name}");
        assert_eq!(
            span.attribute("fanlight.span.unfinished"),
            json!(true),
            "{name}"
        );
        assert_eq!(span.attribute("error.type"), json!("trap"), "{name}");
        assert_eq!(span.status, Status::Error, "{name}");
    }
    assert_eq!(server.attribute("fanlight.spans.unfinished"), json!(4));
    assert_eq!(server.attribute("error.type"), json!("trap"));
    let exception = &server.event("exception").attributes;
    let text = |key: &str| exception[key].as_str().unwrap().to_owned();
    let message = text("exception.message");
    assert!(
        message.contains("the list of prices is cursed"),
        "{message}"
    );
    let stack = text("exception.stacktrace");
    // By the modules alone: which functions have a frame is for the optimizer.
    let (inner, outer) = ("example_inner.wasm!", "example_outer.wasm!");
    let first_of_outer = stack.find(outer);
    assert!(first_of_outer.is_some(), "{stack}");
    assert!(
        stack
            .rfind(inner)
            .is_some_and(|last| Some(last) < first_of_outer),
        "{stack}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_before_another_one_has_its_work_below_its_span() {
    let (collector, host) = serving(GUARDED).await;
    let let_through = host.get("/hello?name=Ada").header("x-key", "7");
    let trace = Trace::of(&collector, let_through, 3).await;
    assert_eq!(trace.text(), "hello, Ada\n");
    trace.demand_parents([("authorize", ""), ("greet", "authorize")]);
    assert_eq!(trace.server().name, "GET /hello");

    let answer = host.get("/hello?name=Ada").send().await;
    assert_eq!(answer.status, 401);
    let spans = collector.trace(&trace_of(&answer).trace_id, 2).await;
    let authorize = spans.iter().find(|span| span.name == "authorize");
    assert_eq!(authorize.unwrap().attribute("app.key"), json!(false));
}
