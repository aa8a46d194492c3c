//! The bounds on the calls of guests: how many, how long, and no further than their guests.

use std::time::Duration;

use fanlight_runner::span::Kind;
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedPoint;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{CALLER, FAULTS};
use fanlight_tests::host::TestHost;
use fanlight_tests::{PATIENCE, eventually};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_makes_as_many_calls_as_it_may() {
    let collector = Collector::start().await;
    let called = TestHost::serving(FAULTS).start().await;
    let host = TestHost::serving(CALLER)
        .calling(&["127.0.0.1:*"])
        .with(|host| host.outbound.as_mut().unwrap().1.calls_per_request = 2)
        .exporting_to(&collector)
        .start()
        .await;
    let url = format!("http://{}/status?code=200", called.address);
    for _ in 0..2 {
        let answer = host.get(&format!("/fetch?url={url}&times=5")).send().await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(text.matches("200").count(), 2, "{text}");
        assert_eq!(text.matches("HttpRequestDenied").count(), 3, "{text}");
        // Two calls, and the first of those that are denied; the others are counted.
        let spans = collector.trace(&trace_of(&answer).trace_id, 5).await;
        let calls = spans.iter().filter(|it| it.kind == Kind::Client);
        let denied: Vec<_> = calls
            .map(|it| it.attribute("fanlight.outbound.denied"))
            .collect();
        assert_eq!(
            denied.iter().filter(|it| it.is_null()).count(),
            2,
            "{denied:?}"
        );
        assert_eq!(denied.iter().filter(|it| **it == json!("calls")).count(), 1);
        let server = spans.iter().find(|it| it.kind == Kind::Server).unwrap();
        assert_eq!(server.attribute("fanlight.spans.dropped"), json!(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_beyond_those_at_once_waits_and_then_fails() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = TestHost::serving(CALLER)
        .calling(&["127.0.0.1:*"])
        .with(|host| host.outbound.as_mut().unwrap().1.calls = 1)
        .start()
        .await;
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let waits = "connect_ms=200&first_byte_ms=2000&times=2";
    let answer = host
        .get(&format!("/together?url={url}&{waits}"))
        .send()
        .await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("ConnectionLimitReached"), "{text}");
    assert!(text.contains("HttpResponseTimeout"), "{text}");
    // The place is free again.
    let called = TestHost::serving(FAULTS).start().await;
    let url = format!("http://{}/status?code=200", called.address);
    let answer = host.get(&format!("/fetch?url={url}&times=3")).send().await;
    assert_eq!(
        String::from_utf8_lossy(&answer.body).matches("200").count(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_when_its_guest_does() {
    let collector = Collector::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let host = TestHost::serving(CALLER)
        .calling(&["127.0.0.1:*"])
        .requests(|limits| limits.request_timeout = Duration::from_millis(500))
        .exporting_to(&collector)
        .start()
        .await;
    // By its deadline, and by its return while the call is under way.
    for (target, status, error_type) in [
        (format!("/fetch?url={url}"), 504, "timeout"),
        (format!("/leave?url={url}&ms=50"), 200, "linger_timeout"),
    ] {
        let asked = tokio::spawn(host.get(&target).send());
        let accepted = tokio::time::timeout(PATIENCE, silent.accept()).await;
        let (mut stream, _) = accepted.unwrap().unwrap();
        // All that it sends, to the end of the connection.
        let mut sent = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut sent)).await;
        read.expect("the connection ends").unwrap();
        assert!(sent.starts_with(b"GET / HTTP/1.1\r\n"), "{sent:?}");
        let answer = asked.await.unwrap();
        assert_eq!(answer.status, status);
        let trace = trace_of(&answer).trace_id;
        let call = collector
            .span(|span| span.trace_id == trace && span.kind == Kind::Client)
            .await;
        let ended = call.attribute("error.type");
        assert!(
            ended == json!(error_type) || status == 200 && ended == json!("cancelled"),
            "{call:#?}"
        );
        // A call that is cut off counts as well.
        let counted = |points: &[CollectedPoint]| {
            points.iter().any(|it| it.attributes["error.type"] == ended)
        };
        collector
            .points("http.client.request.duration", counted)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_ends_after_the_time_between_bytes() {
    let stalling = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = stalling.local_addr().unwrap();
    let held = tokio::spawn(async move {
        let (mut stream, _) = stalling.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";
        stream.write_all(head).await.unwrap();
        stream
    });
    let host = TestHost::serving(CALLER)
        .calling(&["127.0.0.1:*"])
        .start()
        .await;
    let target = format!("/fetch?url=http://{address}/&between_bytes_ms=100");
    let answer = host.get(&target).send().await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("ConnectionReadTimeout"), "{text}");
    drop(held.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_leads_back_to_its_host_is_refused() {
    let collector = Collector::start().await;
    let host = TestHost::serving(CALLER)
        .calling(&["127.0.0.1:*"])
        .exporting_to(&collector)
        .start()
        .await;
    let own = format!("http://{}/fetch", host.address);
    let answer = host.get(&format!("/fetch?url={own}")).send().await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.starts_with("508 "), "{text}");
    let spans = collector.trace(&trace_of(&answer).trace_id, 4).await;
    let refused = spans
        .iter()
        .find(|it| it.attribute("error.type") == json!("loop_detected"));
    assert_eq!(refused.map(|it| it.kind), Some(Kind::Server), "{spans:#?}");
    assert_eq!(refused.unwrap().attribute("error.blame"), json!("client"));
}

/// Reads a request's head.
async fn head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.windows(4).any(|it| it == b"\r\n\r\n") {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut head)).await;
        assert!(read.unwrap().unwrap() > 0, "{head:?}");
    }
    head
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_its_guest_does_not_finish_is_no_whole_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let host = TestHost::serving(CALLER)
        .calling(&["127.0.0.1:*"])
        .start()
        .await;
    let asked = tokio::spawn(host.get(&format!("/abandon?url={url}")).send());
    let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
    let (mut called, _) = accepted.unwrap().unwrap();
    let mut sent = head(&mut called).await;
    // The answer comes while the request's body is under way.
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    called.write_all(answer).await.unwrap();
    assert_eq!(asked.await.unwrap().status, 500);
    let read = tokio::time::timeout(PATIENCE, called.read_to_end(&mut sent)).await;
    // A reset is an end as well.
    let _ = read.expect("the connection ends");
    let text = String::from_utf8_lossy(&sent);
    assert!(text.contains("transfer-encoding: chunked"), "{text}");
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_read_does_not_keep_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let host = TestHost::serving(CALLER)
        .calling(&["127.0.0.1:*"])
        .with(|host| {
            let limits = &mut host.outbound.as_mut().unwrap().1;
            limits.between_bytes_timeout = Duration::from_millis(500);
        })
        .start()
        .await;
    let answering = tokio::spawn(async move {
        let (mut called, _) = listener.accept().await.unwrap();
        head(&mut called).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        called.write_all(answer).await.unwrap();
        called
    });
    let body = vec![b'x'; 32_000_000];
    let asked = host
        .get(&format!("/forward?url={url}"))
        .method(http::Method::POST)
        .body(body)
        .try_send();
    // The guest may see that its upload is not taken, or not.
    let _ = asked.await;
    let called = answering.await.unwrap();
    eventually("the end of the connection", || {
        let mut buffer = [0; 65_536];
        // All that was on its way, and then the end, or a reset.
        loop {
            match called.try_read(&mut buffer) {
                Ok(0) => return Some(()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(_) => return Some(()),
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_answers_no_component() {
    let host = TestHost::serving(CALLER)
        .calling(&["127.0.0.1:*"])
        .start()
        .await;
    for path in ["component", "metrics"] {
        let target = format!("/fetch?url=http://{}/{path}", host.admin);
        let answer = host.get(&target).send().await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.starts_with("403 "), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_spelling_of_a_host_is_one_connection_and_one_series() {
    let collector = Collector::start().await;
    let called = TestHost::serving(FAULTS).start().await;
    let port = called.address.port();
    let host = TestHost::serving(CALLER)
        .calling(&["localhost:*"])
        .exporting_to(&collector)
        .start()
        .await;
    for name in ["localhost", "LOCALHOST", "localhost.", "LocalHost"] {
        let url = format!("http://{name}:{port}/status?code=200");
        let answer = host.get(&format!("/fetch?url={url}")).send().await;
        assert!(answer.body.starts_with(b"200"), "{:?}", answer.body);
    }
    let refused = host.get("/fetch?url=http://u@random.example/").send().await;
    assert!(
        refused
            .body
            .starts_with(b"ErrorCode::HttpRequestUriInvalid")
    );
    let points = collector
        .points("http.client.request.duration", |points| {
            points[0].count == 4
        })
        .await;
    assert_eq!(points.len(), 1, "{points:?}");
    assert_eq!(points[0].attributes["server.address"], json!("localhost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_is_no_call() {
    let called = TestHost::serving(FAULTS).start().await;
    let host = TestHost::serving(CALLER)
        .calling(&["127.0.0.1:*"])
        .start()
        .await;
    let target = format!("/fetch?method=CONNECT&url=http://{}/", called.address);
    let answer = host.get(&target).send().await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("HttpRequestMethodInvalid"), "{text}");
}
