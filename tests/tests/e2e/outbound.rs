//! Guests call other services: what is allowed, what the trace and the metrics say.

use std::net::SocketAddr;

use fanlight_runner::client::Answer;
use fanlight_runner::span::{Kind, Status};
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedSpan;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{CALLER, ECHO, FAULTS, PLAIN};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::tls::Pair;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// A host whose guest calls what `rules` name.
async fn caller(collector: &Collector, rules: &[&str]) -> RunningHost {
    TestHost::serving(CALLER)
        .calling(rules)
        .exporting_to(collector)
        .start()
        .await
}

/// The client span of the trace that an answer belongs to.
async fn call_of(collector: &Collector, answer: &Answer) -> CollectedSpan {
    let trace = trace_of(answer).trace_id;
    collector
        .span(|span| span.trace_id == trace && span.kind == Kind::Client)
        .await
}

/// A service that reads a request's head, answers with these bytes and closes.
async fn answering(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(bytes).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_client_span_with_the_called_services_span_below_it() {
    let collector = Collector::start().await;
    let called = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    let host = caller(&collector, &["http://127.0.0.1:*"]).await;
    let url = format!("http://{}/status?code=200%26sig=secret", called.address);
    let answer = host.get(&format!("/fetch?url={url}")).send().await;
    assert!(text(&answer).starts_with("200 "), "{}", text(&answer));
    let spans = collector.trace(&trace_of(&answer).trace_id, 4).await;
    let named = |name: &str, kind| {
        let found = spans.iter().find(|it| it.name == name && it.kind == kind);
        found.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
    };
    let (server, fetch) = (
        named("GET /fetch", Kind::Server),
        named("fetch", Kind::Internal),
    );
    let call = named("GET", Kind::Client);
    let served = spans
        .iter()
        .find(|it| it.parent_span_id.as_ref() == Some(&call.span_id));
    assert_eq!(fetch.parent_span_id.as_ref(), Some(&server.span_id));
    assert_eq!(call.parent_span_id.as_ref(), Some(&fetch.span_id));
    assert_eq!(served.map(|it| it.kind), Some(Kind::Server), "{spans:#?}");
    let port = called.address.port();
    for (key, value) in [
        ("http.request.method", json!("GET")),
        (
            "url.full",
            json!(format!(
                "http://127.0.0.1:{port}/status?code=200&sig=REDACTED"
            )),
        ),
        ("url.scheme", json!("http")),
        ("server.address", json!("127.0.0.1")),
        ("server.port", json!(port)),
        ("network.peer.address", json!("127.0.0.1")),
        ("network.peer.port", json!(port)),
        ("network.protocol.version", json!("1.1")),
        ("http.response.status_code", json!(200)),
        ("error.type", Value::Null),
        ("http.request.resend_count", Value::Null),
    ] {
        assert_eq!(call.attribute(key), value, "{key}");
    }
    assert_eq!(call.status, Status::Unset);
    let events: Vec<_> = call.events.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(events, ["tcp.connected", "connection.ready"]);
    let points = collector
        .points("http.client.request.duration", |points| points.len() == 1)
        .await;
    for (key, value) in [
        ("http.request.method", json!("GET")),
        ("server.address", json!("127.0.0.1")),
        ("server.port", json!(port)),
        ("http.response.status_code", json!(200)),
    ] {
        assert_eq!(points[0].attributes[key], value, "{key}");
    }
    for name in [
        "http.client.request.body.size",
        "http.client.response.body.size",
    ] {
        collector.points(name, |points| points[0].count == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_is_a_span_with_the_reason() {
    let collector = Collector::start().await;
    let called = TestHost::serving(PLAIN).start().await;
    let port = called.address.port();
    let literal = format!("http://127.0.0.1:{port}/");
    let name = format!("http://localhost:{port}/");
    for (rules, url, rule) in [
        (&[][..], &literal, "origin"),
        (&["https://127.0.0.1:*"], &literal, "origin"),
        (&["example.com"], &literal, "origin"),
        // Any host, but of public addresses; known before and after resolution.
        (&["*:*"], &literal, "address"),
        (&["*:*"], &name, "address"),
        (&["10.0.0.0/8:*"], &name, "address"),
    ] {
        let host = caller(&collector, rules).await;
        let answer = host.get(&format!("/fetch?url={url}")).send().await;
        assert!(
            text(&answer).contains("HttpRequestDenied"),
            "{}",
            text(&answer)
        );
        let call = call_of(&collector, &answer).await;
        assert_eq!(call.attribute("error.type"), json!("HTTP-request-denied"));
        assert_eq!(
            call.attribute("fanlight.outbound.denied"),
            json!(rule),
            "{rules:?} {url}"
        );
        assert!(
            call.status_message.contains("--allow-outbound"),
            "{call:#?}"
        );
        assert_eq!(call.status, Status::Error);
    }
    assert!(
        collector
            .all_points()
            .iter()
            .all(|it| !it.name.starts_with("http.client"))
    );
    // The same by the name's own class.
    let host = caller(&collector, &["localhost:*"]).await;
    let answer = host.get(&format!("/fetch?url={name}")).send().await;
    assert!(text(&answer).starts_with("200 "), "{}", text(&answer));
    let call = call_of(&collector, &answer).await;
    assert_eq!(call.events[0].name, "dns.resolved");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_code_in_the_guest_and_on_the_span() {
    let collector = Collector::start().await;
    let host = caller(&collector, &["127.0.0.1:*", "*.invalid"]).await;
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_at = silent.local_addr().unwrap();
    let cut = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    let garbage = answering(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    let closed = answering(b"").await;
    for (query, code, error_type) in [
        (
            format!("url=http://{free}/"),
            "ConnectionRefused",
            "connection-refused",
        ),
        (
            format!("url=http://{closed}/"),
            "ConnectionTerminated",
            "connection-terminated",
        ),
        (
            format!("url=http://{garbage}/"),
            "HttpProtocolError",
            "HTTP-protocol-error",
        ),
        (
            format!("url=https://{garbage}/"),
            "TlsProtocolError",
            "TLS-protocol-error",
        ),
        (
            format!("url=http://{silent_at}/%26first_byte_ms=50").replace("%26", "&"),
            "HttpResponseTimeout",
            "HTTP-response-timeout",
        ),
        (
            format!("url=https://{silent_at}/&connect_ms=50"),
            "ConnectionTimeout",
            "connection-timeout",
        ),
        (
            "url=http://name.invalid/".to_owned(),
            "DnsError",
            "DNS-error",
        ),
        (
            "url=http://user:word@127.0.0.1/".to_owned(),
            "HttpRequestUriInvalid",
            "HTTP-request-URI-invalid",
        ),
    ] {
        let answer = host.get(&format!("/fetch?{query}")).send().await;
        assert!(text(&answer).contains(code), "{query}: {}", text(&answer));
        let call = call_of(&collector, &answer).await;
        assert_eq!(call.attribute("error.type"), json!(error_type), "{query}");
        assert_eq!(call.status, Status::Error);
    }
    // The head has come, and so the span has its status.
    let answer = host.get(&format!("/fetch?url=http://{cut}/")).send().await;
    assert!(
        text(&answer).contains("HttpResponseIncomplete"),
        "{}",
        text(&answer)
    );
    let call = call_of(&collector, &answer).await;
    assert_eq!(call.attribute("http.response.status_code"), json!(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_status_is_an_error_and_the_next_call_is_a_repetition() {
    let collector = Collector::start().await;
    let called = TestHost::serving(FAULTS).start().await;
    let host = caller(&collector, &["127.0.0.1:*"]).await;
    let url = format!("http://{}/status?code=503", called.address);
    let answer = host.get(&format!("/fetch?url={url}&times=3")).send().await;
    assert_eq!(text(&answer).matches("503").count(), 3);
    let spans = collector.trace(&trace_of(&answer).trace_id, 5).await;
    let mut counts = Vec::new();
    for call in spans.iter().filter(|it| it.kind == Kind::Client) {
        assert_eq!(call.attribute("error.type"), json!("503"));
        assert_eq!(call.status, Status::Error);
        counts.push(call.attribute("http.request.resend_count"));
    }
    counts.sort_by_key(Value::as_i64);
    assert_eq!(counts, [Value::Null, json!(1), json!(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways() {
    let collector = Collector::start().await;
    let called = TestHost::serving(ECHO).start().await;
    let host = caller(&collector, &["127.0.0.1:*"]).await;
    // More than all buffers on the way hold: it comes back while it is sent.
    let body: Vec<u8> = (0..8_000_000_u32)
        .map(|n| u8::try_from(n % 251).unwrap())
        .collect();
    let answer = host
        .get(&format!("/forward?url=http://{}/", called.address))
        .method(Method::POST)
        .body(body.clone())
        .send()
        .await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "{} bytes", answer.body.len());
    for name in [
        "http.client.request.body.size",
        "http.client.response.body.size",
    ] {
        let points = collector.points(name, |points| points[0].count == 1).await;
        assert!((points[0].value - 8_000_000.0).abs() < 0.5, "{points:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_by_https_is_verified_and_speaks_http_2() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let files = Pair::generate().write_to(folder.path());
    let ca_file = files.certificate.clone();
    let called = TestHost::serving(PLAIN);
    let called = called.with(|host| host.tls = Some(files)).start().await;
    let target = format!("/fetch?url=https://localhost:{}/", called.address.port());
    let host = caller(&collector, &["https://localhost:*"]).await;
    let answer = host.get(&target).send().await;
    assert!(
        text(&answer).contains("TlsCertificateError"),
        "{}",
        text(&answer)
    );
    let host = TestHost::serving(CALLER)
        .calling(&["https://localhost:*"])
        .with(|host| host.outbound.as_mut().unwrap().2 = Some(ca_file))
        .exporting_to(&collector)
        .start()
        .await;
    let answer = host.get(&target).send().await;
    assert!(text(&answer).starts_with("200 "), "{}", text(&answer));
    let call = call_of(&collector, &answer).await;
    assert_eq!(call.attribute("network.protocol.version"), json!("2"));
    assert_eq!(call.attribute("url.scheme"), json!("https"));
}
