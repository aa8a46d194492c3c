//! Whatever ends a component, nothing that it said before is lost: its open
//! spans are ended by the host with the cause, and what it counted, recorded,
//! logged and printed is told.

use std::time::Duration;

use fanlight_runner::span::Status;
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::{CollectedPoint, CollectedSpan};
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A bound that is to be reached.
const SHORT: Duration = Duration::from_millis(300);

async fn faults(change: impl FnOnce(TestHost) -> TestHost) -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = change(TestHost::serving(FAULTS)).exporting_to(&collector);
    (collector, host.start().await)
}

/// Demands all that the one request said, and that `cause` ended it.
async fn demand_all(collector: &Collector, cause: &str) {
    collector.span(|span| span.name == "inner").await;
    collector
        .span(|span| span.attribute("url.path") == json!("/loss"))
        .await;
    let spans = collector.spans();
    let named = |name: &str| -> &CollectedSpan {
        let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name} in {spans:#?}");
        found[0]
    };
    let server = named("GET");
    let mut above = server;
    for name in ["outer", "middle", "inner"] {
        let open = named(name);
        assert_eq!(open.parent_span_id.as_ref(), Some(&above.span_id), "{name}");
        assert_eq!(open.attribute("fanlight.span.unfinished"), json!(true));
        assert_eq!(open.attribute("error.type"), json!(cause), "{name}");
        assert_eq!(open.status, Status::Error, "{name}");
        assert!(open.end_unix_nanos >= open.start_unix_nanos, "{name}");
        above = open;
    }
    let finished = named("finished");
    let middle = named("middle");
    assert_eq!(finished.parent_span_id.as_ref(), Some(&middle.span_id));
    assert_eq!(finished.attribute("fanlight.span.unfinished"), json!(null));
    assert_eq!(finished.status, Status::Unset);
    let logs = collector.logs(&server.trace_id, 2).await;
    for (log, body) in logs.iter().zip(["recorded", "printed without an end"]) {
        assert_eq!(log.body, json!(body));
        assert_eq!(log.span_id, named("inner").span_id, "{body}");
    }
    let one = |points: &[CollectedPoint]| points[0].value == 1.0;
    collector.points("loss.counter", one).await;
    let seven = |points: &[CollectedPoint]| (points[0].count, points[0].value) == (1, 7.0);
    collector.points("loss.histogram", seven).await;
}

/// What the server span says of a request that was cut off by `cause`.
async fn demand_failure(collector: &Collector, cause: &str, blame: &str) {
    let server = collector
        .span(|span| span.attribute("url.path") == json!("/loss"))
        .await;
    assert_eq!(server.attribute("error.type"), json!(cause));
    assert_eq!(server.attribute("error.blame"), json!(blame));
    assert_eq!(server.attribute("fanlight.spans.unfinished"), json!(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_loses_nothing_whenever_it_comes() {
    for when in ["before-head", "after-head", "after-answer"] {
        let (collector, host) = faults(|host| host).await;
        let target = format!("/loss?how=trap&when={when}");
        // After the head there is no whole answer.
        let _ = host.get(&target).try_send().await;
        demand_all(&collector, "trap").await;
        if when != "after-answer" {
            demand_failure(&collector, "trap", "guest").await;
        }
        host.stop().await;
        demand_all(&collector, "trap").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_goes_on_after_an_answer_that_is_none_leaves_spans_that_tell_why() {
    let (collector, host) = faults(|host| host).await;
    for (what, cause) in [
        ("error-code", "configuration-error"),
        ("informational", "invalid_response"),
    ] {
        let target = format!("/none-and-on?what={what}");
        let answer = host.get(&target).send().await;
        assert_eq!(answer.status, 500, "{what}");
        let spans = collector.trace(&trace_of(&answer).trace_id, 2).await;
        for span in spans {
            assert_eq!(span.attribute("error.type"), json!(cause), "{span:#?}");
            let is_open = (span.name == "open_at_answer").then_some(true);
            assert_eq!(span.attribute("fanlight.span.unfinished"), json!(is_open));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_over_the_budget_are_counted_though_the_guest_goes_on_after_its_answer() {
    let (collector, host) = faults(|host| host.guests(|limits| limits.spans = 10)).await;
    let answer = host.get("/flood-and-on?count=15").send().await;
    assert_eq!(&*answer.body, b"answered\n");
    // All are there while the guest still runs.
    let spans = collector.trace(&trace_of(&answer).trace_id, 11).await;
    let dropped = spans
        .iter()
        .map(|span| span.attribute("fanlight.spans.dropped"))
        .filter(|dropped| !dropped.is_null());
    assert_eq!(dropped.collect::<Vec<_>>(), [json!(5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_loses_nothing() {
    let (collector, host) =
        faults(|host| host.requests(|limits| limits.request_timeout = SHORT)).await;
    assert_eq!(host.get("/loss").send().await.status, 504);
    demand_all(&collector, "timeout").await;
    demand_failure(&collector, "timeout", "guest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stands_still_loses_nothing() {
    let (collector, host) =
        faults(|host| host.server(|limits| limits.stream_idle_timeout = SHORT)).await;
    let cut = host.get("/loss?when=after-head").try_send().await;
    assert!(cut.is_err(), "{cut:?}");
    demand_all(&collector, "stream_idle_timeout").await;
    demand_failure(&collector, "stream_idle_timeout", "guest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_loses_nothing() {
    for when in ["before-head", "after-head"] {
        let (collector, host) = faults(|host| host).await;
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        let request = format!("GET /loss?when={when} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        if when == "after-head" {
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"HTTP/1.1 200");
        }
        // It leaves once the guest has said what it has to say.
        collector.span(|span| span.name == "finished").await;
        drop(stream);
        demand_all(&collector, "cancelled").await;
        demand_failure(&collector, "cancelled", "client").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_time_after_the_answer_loses_nothing() {
    let (collector, host) = faults(|host| host.requests(|limits| limits.linger = SHORT)).await;
    assert_eq!(host.get("/loss?when=after-answer").send().await.status, 200);
    demand_all(&collector, "linger_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_time_for_draining_loses_nothing() {
    for when in ["before-head", "after-head", "after-answer"] {
        let (collector, host) = faults(|host| {
            host.server(|limits| limits.shutdown_grace = SHORT)
                .requests(|limits| limits.linger = Duration::from_secs(600))
        })
        .await;
        let asked = tokio::spawn(host.get(&format!("/loss?when={when}")).try_send());
        collector.span(|span| span.name == "finished").await;
        host.stop().await;
        // The host is gone: what has not come by now was lost.
        let count = collector.spans().len();
        demand_all(&collector, "unavailable").await;
        assert_eq!(collector.spans().len(), count, "{when}");
        if when != "after-answer" {
            demand_failure(&collector, "unavailable", "host").await;
        }
        match (when, asked.await.unwrap()) {
            ("before-head", Ok(answer)) => assert_eq!(answer.status, 503),
            ("after-answer", Ok(answer)) => assert_eq!(answer.status, 200),
            ("after-head", Err(_)) => {}
            (when, other) => unreachable!("{when}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_free_again_after_whatever_ended_its_guest() {
    let (_collector, host) = faults(|host| {
        host.requests(|limits| {
            limits.max_instances = 1.try_into().unwrap();
            // Those in between are to be answered on a busy machine as well.
            limits.request_timeout = Duration::from_secs(3);
            limits.linger = SHORT;
            limits.queue_timeout = Duration::from_secs(20);
        })
    })
    .await;
    for target in [
        "/loss?how=trap",
        "/loss?how=trap&when=after-head",
        "/loss?how=trap&when=after-answer",
        "/loss",
        "/loss?when=after-answer",
    ] {
        let _ = host.get(target).try_send().await;
        assert_eq!(host.get("/counter").send().await.status, 200, "{target}");
    }
    eventually_async("nothing is in flight", async || {
        (host.component().await["current"]["in_flight"] == json!(0)).then_some(())
    })
    .await;
}
