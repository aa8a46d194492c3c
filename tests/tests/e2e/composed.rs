//! Components made of two that were joined when they were built: one trace.

use fanlight_runner::span::Status;
use fanlight_tests::client::trace_of;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{COMPOSED, FAULTS, Fixture, GUARDED, GUARDED_FAULTS, HELLO};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::{PATIENCE, eventually_async};
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::contract::{Trace, demand_within};

/// A server with room for so many instances, where requests wait long for it.
async fn with_room_for(instances: u32, fixture: Fixture) -> RunningHost {
    let host = TestHost::serving(fixture).requests(|limits| {
        limits.max_instances = instances.try_into().unwrap();
        // Nobody's place becomes free by a timeout.
        limits.request_timeout = 10 * PATIENCE;
        limits.queue_timeout = limits.request_timeout;
    });
    // Metrics are made, to be read at the admin port.
    let vars = ["OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"].map(|name| (name, "none"));
    host.exporting(&vars).start().await
}

/// Sends so many requests at once that sleep, and demands that all are answered.
async fn demand_sleepers(host: &RunningHost, count: usize) {
    let mut sleepers = JoinSet::new();
    for _ in 0..count {
        let ask = host.get("/sleep?ms=100").header("x-key", "1");
        sleepers.spawn(ask.send());
    }
    for answer in sleepers.join_all().await {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, "slept\n");
    }
}

/// Waits until the server's metrics have this line.
async fn is_told(host: &RunningHost, line: &str) {
    eventually_async(line, async || {
        let metrics = host.ask_admin(Method::GET, "/metrics").send().await;
        String::from_utf8_lossy(&metrics.body)
            .lines()
            .any(|it| it == line)
            .then_some(())
    })
    .await;
}

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

#[tokio::test(flavor = "multi_thread")]
async fn joined_components_take_a_place_for_each_of_them() {
    let host = with_room_for(5, GUARDED_FAULTS).await;
    // Two at a time: a third would find no memory.
    demand_sleepers(&host, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_between_components_that_take_more_and_fewer_places_loses_none() {
    let host = with_room_for(3, FAULTS).await;
    let [one, two] = [FAULTS, GUARDED_FAULTS].map(|it| std::fs::read(it.path()).unwrap());
    for bytes in [two.clone(), one.clone(), two, one] {
        let ((), swapped) = tokio::join!(demand_sleepers(&host, 8), host.put(bytes));
        assert_eq!(swapped.status, 200, "{swapped:?}");
        demand_sleepers(&host, 8).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_over_a_swap_waits_for_the_places_of_what_is_served_then() {
    let host = with_room_for(3, GUARDED_FAULTS).await;
    let ask = |target: &str| host.get(target).header("x-key", "1").send();
    let asleep = tokio::spawn(ask("/sleep?ms=600000"));
    is_told(&host, "fanlight_instances_live 2").await;
    let waiting = tokio::spawn(ask("/sleep?ms=1"));
    is_told(&host, "fanlight_instances_waiting 1").await;
    let swapped = host.put(std::fs::read(FAULTS.path()).unwrap()).await;
    assert_eq!(swapped.status, 200, "{swapped:?}");
    // Of the three places the one is enough now that was free all the time.
    let answer = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(answer.unwrap().body, "slept\n");
    assert!(!asleep.is_finished());
    asleep.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_takes_more_room_than_there_is_is_not_served() {
    let host = with_room_for(1, FAULTS).await;
    let refused = host.put(std::fs::read(GUARDED.path()).unwrap()).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let problem = refused.json().unwrap();
    assert_eq!(problem["error_type"], json!("too_many_parts"));
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(
        detail,
        "one instance of it takes the room of 2, and there are 1 (--max-instances)"
    );
    demand_sleepers(&host, 2).await;
}

/// A component by hand whose module has several memories and tables.
const SEVERAL: &str = r#"(component
    (core module $module (memory 1) (memory 1) (memory 1) (table 1 funcref) (table 1 funcref))
    (core instance (instantiate $module)))"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_module_may_have_several_memories_and_tables() {
    let host = with_room_for(3, HELLO).await;
    let bytes = wat::parse_str(SEVERAL).unwrap();
    let refused = host.put(bytes).await;
    // It could run, but for the handler that it lacks.
    assert_eq!(refused.json().unwrap()["error_type"], json!("exports"));
}
