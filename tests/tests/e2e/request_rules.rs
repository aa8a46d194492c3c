//! Requests that no component is asked: what the client and the trace see.

use fanlight_tests::client::raw;
use serde_json::json;

use crate::outcomes::{demand_problem, faults};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_host_is_a_bad_request() {
    let (collector, host) = faults().await;
    for request in [
        "GET /counter HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET /counter HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n",
        "GET /counter HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
        // One that is none of HTTP's: with a user, or empty.
        "GET /counter HTTP/1.1\r\nhost: u:p@a\r\nconnection: close\r\n\r\n",
        "GET http://u@a/counter HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET /counter HTTP/1.1\r\nhost: :80\r\nconnection: close\r\n\r\n",
        // A target that names one does not do instead, and is none by itself.
        "GET http://a/counter HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET a:80 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET http://a/counter HTTP/1.1\r\nhost: u@x\r\nconnection: close\r\n\r\n",
    ] {
        let answer = String::from_utf8(raw(host.address, request.as_bytes()).await).unwrap();
        assert!(answer.contains(" 400 Bad Request\r\n"), "{answer}");
        assert!(
            answer.contains("urn:fanlight:problem:bad_request"),
            "{answer}"
        );
    }
    let span = collector
        .span(|span| span.attribute("error.type") == json!("bad_request"))
        .await;
    assert_eq!(span.attribute("error.blame"), json!("client"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_no_host_and_port_is_a_bad_request() {
    let (_collector, host) = faults().await;
    let ask = async |target: &str, field: &str| {
        let request =
            format!("GET {target} HTTP/1.1\r\nhost: {field}\r\nconnection: close\r\n\r\n");
        String::from_utf8(raw(host.address, request.as_bytes()).await).unwrap()
    };
    for field in [
        "a:b",
        "a:99999",
        "a:65536",
        "a:-1",
        "a:+80",
        "a:80:80",
        "a:80, b:80",
        ":",
        "u@a",
        "a/b",
        "a?b",
        "a%20b",
        "::1",
        "[::1",
        "[::1]a",
        "[::1]:b",
        "[::g]",
        "[fe80::1%25lo]",
        "[127.0.0.1]",
        "\u{e9}",
    ] {
        for target in ["/counter", "http://a/counter"] {
            let answer = ask(target, field).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{field}: {answer}");
        }
    }
    for target in [
        "http://a:b/",
        "http://a:99999/",
        "http://[::g]/",
        "http://:80/",
    ] {
        let answer = ask(target, "a").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
    // RFC 3986 §3.2.3 lets a port be empty, or begin with zeros.
    for field in [
        "a", "a:", "a:80", "a:0080", "a:65535", "a_b", "[::1]", "[::1]:80", " a ",
    ] {
        let answer = ask("/counter", field).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{field}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_disagrees_with_the_host_counts_on_http1_and_is_bad_on_http2() {
    let (collector, host) = faults().await;
    // RFC 9112 §3.2.2.
    let request = b"GET http://target.example/counter HTTP/1.1\r\nhost: other.example\r\n\
        connection: close\r\n\r\n";
    let answer = String::from_utf8(raw(host.address, request).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let span = collector
        .span(|span| span.attribute("server.address") == json!("target.example"))
        .await;
    assert_eq!(span.attribute("error.type"), json!(null));
    // RFC 9113 §8.3.1.
    let own = host.address.to_string();
    let others = ["other.example", "127.0.0.1", "127.0.0.1:b", "u@127.0.0.1"];
    for (field, status) in others.map(|it| (it, 400)).into_iter().chain([(&*own, 200)]) {
        let ask = host.get("/counter").header("host", field);
        let answer = ask.try_send_h2().await.unwrap();
        assert_eq!(answer.status, status, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_and_upgrades_are_not_supported() {
    let (collector, host) = faults().await;
    let answer = host
        .get("/counter")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .send()
        .await;
    demand_problem(&collector, &answer, 501, "unsupported", "client").await;
    let request =
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nconnection: close\r\n\r\n";
    let answer = String::from_utf8(raw(host.address, request).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
    // curl offers h2c with every --http2, Apache's client TLS; both go on without.
    for (connection, protocol) in [
        ("upgrade, http2-settings", "h2c"),
        ("Upgrade", "TLS/1.2"),
        ("keep-alive", "websocket"),
    ] {
        let ask = host.get("/counter").header("connection", connection);
        let answer = ask.header("upgrade", protocol).send().await;
        assert_eq!(answer.status, 200, "{connection}: {protocol}");
    }
}
