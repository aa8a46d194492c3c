//! The bounds on the calls of guests: how many, how long, and no further than their guests.

use std::time::Duration;

use fanlight_runner::span::Kind;
use fanlight_tests::PATIENCE;
use fanlight_tests::client::trace_of;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{CALLER, FAULTS};
use fanlight_tests::host::TestHost;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

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
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_ends_after_the_time_between_bytes() {
    use tokio::io::AsyncWriteExt as _;

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
