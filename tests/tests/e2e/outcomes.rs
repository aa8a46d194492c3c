//! The outcome table, row by row: what the client and the trace see.

use std::time::Duration;

use fanlight_runner::client::Answer;
use fanlight_runner::span::Status;
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedSpan;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{DEMO, FAULTS};
use fanlight_tests::host::{RunningHost, TestHost};
use http::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub(crate) async fn faults() -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    (collector, host)
}

async fn server_span(collector: &Collector, answer: &Answer) -> CollectedSpan {
    let trace = trace_of(answer);
    collector.span(|span| span.span_id == trace.span_id).await
}

/// Demands the host's own answer: its status, its body, its span.
pub(crate) async fn demand_problem(
    collector: &Collector,
    answer: &Answer,
    status: u16,
    error_type: &str,
    blame: &str,
) -> CollectedSpan {
    assert_eq!(answer.status, status);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let body = answer.json().unwrap();
    assert_eq!(body["status"], json!(status));
    assert_eq!(body["trace_id"], json!(trace_of(answer).trace_id));
    assert_eq!(
        body["type"],
        json!(format!("urn:fanlight:problem:{error_type}"))
    );
    assert!(body["title"].is_string());
    let span = server_span(collector, answer).await;
    assert_eq!(span.status, Status::Error);
    assert_eq!(span.attribute("http.response.status_code"), json!(status));
    assert_eq!(span.attribute("error.type"), json!(error_type));
    assert_eq!(span.attribute("error.blame"), json!(blame));
    span
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_own_status_is_passed_on_and_only_5xx_is_an_error() {
    let (collector, host) = faults().await;
    for status in [200, 204, 302, 404, 499] {
        let answer = host.get(&format!("/status?code={status}")).send().await;
        assert_eq!(answer.status, status);
        let span = server_span(&collector, &answer).await;
        assert_eq!(span.status, Status::Unset, "{status}");
        assert_eq!(span.attribute("error.type"), json!(null));
        assert_eq!(span.attribute("http.response.status_code"), json!(status));
    }
    let answer = host.get("/status?code=503").send().await;
    assert_eq!(answer.status, 503);
    let span = server_span(&collector, &answer).await;
    assert_eq!(span.status, Status::Error);
    assert_eq!(span.attribute("error.type"), json!("503"));
    assert_eq!(span.attribute("error.blame"), json!("guest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_informational_status_as_the_final_one_is_an_invalid_response() {
    let (collector, host) = faults().await;
    let answer = host.get("/informational").send().await;
    demand_problem(&collector, &answer, 500, "invalid_response", "guest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_code_of_an_upstream_becomes_502_and_any_other_500() {
    let (collector, host) = faults().await;
    let answer = host.get("/error-code?code=connection-refused").send().await;
    demand_problem(&collector, &answer, 502, "connection-refused", "guest").await;
    let answer = host.get("/error-code?code=dns-error").send().await;
    demand_problem(&collector, &answer, 502, "DNS-error", "guest").await;
    let answer = host.get("/error-code?code=internal-error").send().await;
    demand_problem(&collector, &answer, 500, "internal-error", "guest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_before_the_head_is_told_with_backtrace_and_ends_the_open_span() {
    let (collector, host) = faults().await;
    let answer = host.get("/trap").send().await;
    let span = demand_problem(&collector, &answer, 500, "trap", "guest").await;
    let event = span.event("exception");
    assert_eq!(event.attributes["exception.type"], json!("trap"));
    let stack = event.attributes["exception.stacktrace"].as_str().unwrap();
    assert!(stack.contains("example_faults::trap::"), "{stack}");
    let open = collector
        .span(|open| open.parent_span_id.as_ref() == Some(&span.span_id))
        .await;
    assert_eq!(open.status, Status::Error);
    assert_eq!(open.attribute("fanlight.span.unfinished"), json!(true));
    assert_eq!(open.attribute("error.type"), json!("trap"));
    assert_eq!(span.attribute("fanlight.spans.unfinished"), json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panics_message_is_in_the_exception_event() {
    let (collector, host) = faults().await;
    let answer = host.get("/panic").send().await;
    let span = demand_problem(&collector, &answer, 500, "trap", "guest").await;
    let message = &span.event("exception").attributes["exception.message"];
    assert!(
        message.as_str().unwrap().contains("panicked at"),
        "{message}"
    );
    // Nothing of it is told to the client.
    assert!(!String::from_utf8_lossy(&answer.body).contains("panick"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_after_the_head_cuts_the_body_short() {
    let (collector, host) = faults().await;
    let cut = host.get("/trap-after-head").try_send().await;
    assert!(cut.is_err(), "a cut body looks whole: {cut:?}");
    let span = collector
        .span(|span| span.attribute("url.path") == json!("/trap-after-head"))
        .await;
    assert_eq!(span.attribute("error.type"), json!("trap"));
    assert_eq!(span.attribute("http.response.status_code"), json!(200));
    assert_eq!(span.status, Status::Error);
    // Over HTTP/2 too, where the head may be out by then.
    assert!(host.get("/trap-after-head").try_send_h2().await.is_err());
    assert_eq!(host.get("/counter").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_guest_aborts_is_cut_short() {
    let (collector, host) = faults().await;
    assert!(host.get("/abort-after-head").try_send().await.is_err());
    let span = collector
        .span(|span| span.attribute("url.path") == json!("/abort-after-head"))
        .await;
    assert_eq!(span.status, Status::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_after_the_last_byte_leaves_the_answer_whole() {
    let (collector, host) = faults().await;
    for target in ["/trap-after-last-byte", "/trap-after-last-byte?ms=50"] {
        let answer = host.get(target).send().await;
        assert_eq!(answer.status, 200);
        assert!(!answer.body.is_empty());
        let span = server_span(&collector, &answer).await;
        assert_eq!(span.attribute("http.response.status_code"), json!(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_returns_without_an_answer_is_an_error() {
    let (collector, host) = faults().await;
    // At once, and after a while without the means to answer.
    for target in ["/no-response", "/no-response?ms=100"] {
        let answer = host.get(target).send().await;
        demand_problem(&collector, &answer, 500, "no_response", "guest").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_loop_and_guests_that_sleep_end_at_the_deadline() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .requests(|limits| limits.request_timeout = Duration::from_millis(200))
        .exporting_to(&collector)
        .start()
        .await;
    for (target, is_greedy) in [
        ("/loop", json!(null)),
        ("/sleep?ms=60000", json!(null)),
        ("/memory-and-sleep?ms=60000", json!(true)),
    ] {
        let answer = host.get(target).send().await;
        let span = demand_problem(&collector, &answer, 504, "timeout", "guest").await;
        let is_at_its_bound = span.attribute("fanlight.memory.limit_reached");
        assert_eq!(is_at_its_bound, is_greedy, "{target}");
    }
    assert_eq!(host.get("/counter").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_wants_all_memory_traps_at_its_bound() {
    let (collector, host) = faults().await;
    let answer = host.get("/memory").send().await;
    let span = demand_problem(&collector, &answer, 500, "trap", "guest").await;
    assert_eq!(span.attribute("fanlight.memory.limit_reached"), json!(true));
    assert_eq!(host.get("/counter").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_recurses_for_ever_traps() {
    let (collector, host) = faults().await;
    let answer = host.get("/recursion").send().await;
    demand_problem(&collector, &answer, 500, "trap", "guest").await;
    assert_eq!(host.get("/counter").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_instance_a_request_waits_for_the_queue_timeout_alone() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .requests(|limits| {
            limits.max_instances = 1.try_into().unwrap();
            limits.queue_timeout = Duration::from_millis(100);
        })
        .exporting_to(&collector)
        .start()
        .await;
    let asleep = tokio::spawn(host.get("/sleep?ms=1500").send());
    // The other request has the only place once it is refused one.
    let refused = loop {
        let answer = host.get("/counter").send().await;
        if answer.status != 200 {
            break answer;
        }
    };
    demand_problem(&collector, &refused, 503, "overloaded", "host").await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(asleep.await.unwrap().status, 200);
    assert_eq!(host.get("/counter").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_guest() {
    let (collector, host) = faults().await;
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let request = b"GET /sleep?ms=60000 HTTP/1.1\r\nhost: test\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // The guest runs once its request was read.
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stream);
    let span = collector
        .span(|span| span.attribute("url.path") == json!("/sleep"))
        .await;
    assert_eq!(span.attribute("error.type"), json!("cancelled"));
    assert_eq!(span.attribute("error.blame"), json!("client"));
    assert_eq!(span.status, Status::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_goes_on_after_its_answer_and_is_ended_after_its_linger() {
    let (collector, host) = faults().await;
    let answer = host.get("/late?ms=100").send().await;
    assert_eq!(answer.status, 200);
    let server = server_span(&collector, &answer).await;
    let late = collector.span(|span| span.name == "late_work").await;
    assert_eq!(late.parent_span_id, Some(server.span_id.clone()));
    assert_eq!(late.attribute("fanlight.span.unfinished"), json!(null));

    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .requests(|limits| limits.linger = Duration::from_millis(50))
        .exporting_to(&collector)
        .start()
        .await;
    assert_eq!(host.get("/late?ms=60000").send().await.status, 200);
    let late = collector.span(|span| span.name == "late_work").await;
    assert_eq!(late.attribute("fanlight.span.unfinished"), json!(true));
    assert_eq!(late.attribute("error.type"), json!("linger_timeout"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_cannot_forge_what_is_the_hosts() {
    let (collector, host) = faults().await;
    let answer = host.get("/forge").send().await;
    let span = demand_problem(&collector, &answer, 500, "trap", "guest").await;
    assert_eq!(span.attribute("url.path"), json!("/forge"));
    assert_eq!(span.attribute("http.request.method"), json!("GET"));
    let forged = span.attributes.keys().filter(|key| {
        key.starts_with("fanlight.")
            && !key.starts_with("fanlight.component.")
            && !key.starts_with("fanlight.guest.")
            && *key != "fanlight.spans.unfinished"
    });
    assert_eq!(forged.count(), 0, "{:#?}", span.attributes);
    assert!(span.dropped.0 > 300, "{:?}", span.dropped);

    let answer = host.get("/forge-ok").send().await;
    assert_eq!(answer.status, 200);
    let span = server_span(&collector, &answer).await;
    assert_eq!(span.attribute("http.response.status_code"), json!(200));
    assert_eq!(span.attribute("error.type"), json!(null));
    assert_eq!(span.status, Status::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_granted_nothing() {
    let host = TestHost::serving(FAULTS).start().await;
    let env = host.get("/env").send().await;
    let text = String::from_utf8_lossy(&env.body).into_owned();
    assert!(
        text.contains("variables 0") && text.contains("arguments 0"),
        "{text}"
    );
    assert!(text.contains("file No such file"), "{text}");
    let denied = host.get("/outbound?url=http://127.0.0.1:9/").send().await;
    let text = String::from_utf8_lossy(&denied.body).into_owned();
    assert!(
        text.contains("HttpRequestDenied") || text.contains("HTTP-request-denied"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_runs_and_tells_what_takes_too_long() {
    let collector = Collector::start().await;
    let mut host = TestHost::serving(FAULTS)
        .server(|limits| limits.shutdown_grace = Duration::from_millis(1_000))
        .exporting_to(&collector)
        .start()
        .await;
    let short = tokio::spawn(host.get("/sleep?ms=500").send());
    let long = tokio::spawn(host.get("/sleep?ms=60000").send());
    // Both are under way when the host is told to stop.
    let active = |points: &[fanlight_tests::collected::CollectedPoint]| points[0].value >= 2.0;
    collector
        .points("http.server.active_requests", active)
        .await;
    assert!(host.readiness.is_ready());
    host.begin_stop();
    let (short, long) = (short.await.unwrap(), long.await.unwrap());
    assert_eq!(short.status, 200);
    assert_eq!(short.header("connection"), Some("close"));
    assert!(!host.readiness.is_ready());
    demand_problem(&collector, &long, 503, "unavailable", "host").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_head_has_no_body_and_no_error() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting_to(&collector)
        .start()
        .await;
    let answer = host.get("/health").method(Method::HEAD).send().await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let span = server_span(&collector, &answer).await;
    assert_eq!(
        (span.status, span.name.as_str()),
        (Status::Unset, "HEAD /health")
    );
}
