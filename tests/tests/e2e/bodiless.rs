//! Answers that have no body, by the request's method or by their status,
//! whatever was written for them.

use fanlight_runner::client::Answer;
use fanlight_runner::span::Status;
use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually;
use fanlight_tests::fixture::{ECHO, FAULTS};
use fanlight_tests::frames::{Connection, Frame, flag, head, kind};
use fanlight_tests::host::{RunningHost, TestHost};
use http::{HeaderMap, Method};
use serde_json::json;

/// Requests whose answers have no body though one was written, and the status.
fn requests() -> [(Method, &'static str, u16); 10] {
    [
        // In one call, in pieces, in pieces of a length that is said.
        (Method::HEAD, "/scheme", 200),
        (Method::HEAD, "/stream?delay_ms=0", 200),
        (Method::HEAD, "/unfinished", 200),
        // The host's own.
        (Method::HEAD, "/no-response", 500),
        (Method::HEAD, "/error-code?code=connection-refused", 502),
        (Method::GET, "/answer?what=204", 204),
        (Method::GET, "/stream?delay_ms=0&code=204", 204),
        (Method::GET, "/stream?delay_ms=0&code=205", 205),
        (Method::GET, "/answer?what=304", 304),
        (Method::GET, "/stream?delay_ms=0&code=304", 304),
    ]
}

fn ask(host: &RunningHost, method: &Method, target: &str) -> Ask {
    host.get(target).method(method.clone())
}

/// The headers, but for those that are another request's own.
fn headers(answer: &Answer) -> HeaderMap {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    headers.remove("traceresponse");
    headers
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_the_same_headers_on_http2_and_a_span_without_more_errors() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    for (method, target, status) in requests() {
        let old = ask(&host, &method, target).send().await;
        let new = ask(&host, &method, target).try_send_h2().await.unwrap();
        assert_eq!(headers(&new), headers(&old), "{method} {target}");
        for answer in [old, new] {
            let seen = (answer.status, answer.body.len());
            assert_eq!(seen, (status, 0), "{method} {target}");
            // Its guest says one, which only 304 may (RFC 9110 §8.6).
            if target.starts_with("/answer") {
                let length = (status == 304).then_some("5");
                assert_eq!(answer.header("content-length"), length, "{target}");
            }
            let own = trace_of(&answer).span_id;
            let span = collector.span(|span| span.span_id == own).await;
            let expected = match (target, status) {
                (_, ..500) => (Status::Unset, json!(null)),
                ("/no-response", _) => (Status::Error, json!("no_response")),
                _ => (Status::Error, json!("connection-refused")),
            };
            let outcome = (span.status, span.attribute("error.type"));
            assert_eq!(outcome, expected, "{method} {target}");
        }
    }
    let requests = 2 * requests().len() as u64;
    let points = collector
        .points("http.server.response.body.size", |points| {
            points.iter().map(|point| point.count).sum::<u64>() == requests
        })
        .await;
    let bytes: f64 = points.iter().map(|point| point.value).sum();
    assert!(bytes.abs() < f64::EPSILON, "{points:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_problem_tells_head_the_length_that_it_has_for_get() {
    let host = TestHost::serving(FAULTS).start().await;
    let got = host.get("/no-response").send().await;
    let length = got.body.len().to_string();
    let asked = || ask(&host, &Method::HEAD, "/no-response");
    for answer in [asked().send().await, asked().try_send_h2().await.unwrap()] {
        assert_eq!(answer.header("content-length"), Some(&*length));
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_length_in_an_answer_to_head_is_the_components_own() {
    let host = TestHost::serving(ECHO).start().await;
    let asked = || ask(&host, &Method::HEAD, "/bytes?n=12345");
    for answer in [asked().send().await, asked().try_send_h2().await.unwrap()] {
        let found = (answer.status, answer.header("content-length"));
        assert_eq!(found, (200, Some("12345")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_head_ends_the_stream_on_http2() {
    let host = TestHost::serving(FAULTS).start().await;
    for (method, target, _) in requests() {
        let mut connection = Connection::open(host.address).await;
        let request = Frame::new(
            kind::HEADERS,
            flag::END_HEADERS | flag::END_STREAM,
            1,
            head(method.as_str(), target),
        );
        assert!(connection.send_all(&[request]).await);
        let heads = connection.until(kind::HEADERS, 1).await;
        let flags = flag::END_HEADERS | flag::END_STREAM;
        assert_eq!(heads[0].flags, flags, "{method} {target}");
        // What is sent after it comes before the answer to a PING.
        let ping = Frame::new(kind::PING, 0, 0, [0; 8]);
        assert!(connection.send_all(&[ping]).await);
        connection.until(kind::PING, 1).await;
        for kind in [kind::DATA, kind::RST_STREAM, kind::GOAWAY] {
            let frames = connection.frames(kind);
            assert!(frames.is_empty(), "{method} {target}: {frames:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_guest_goes_on_for_its_time_on_http2() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    let answer = ask(&host, &Method::HEAD, "/late?ms=200")
        .try_send_h2()
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    let trace = trace_of(&answer).trace_id;
    let late = eventually("the span of what was done afterwards", || {
        let spans = collector.spans();
        let mut spans = spans.into_iter();
        spans.find(|span| span.trace_id == trace && span.name == "late_work")
    })
    .await;
    assert_eq!(late.status, Status::Unset);
    assert_eq!(late.attribute("fanlight.span.unfinished"), json!(null));
}
