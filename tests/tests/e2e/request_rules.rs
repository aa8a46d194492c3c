//! Requests that no component is asked: what the client and the trace see.

use fanlight_tests::client::raw;
use serde_json::json;

use crate::outcomes::{demand_problem, faults};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_host_is_a_bad_request() {
    let (collector, host) = faults().await;
    for request in [
        "GET /counter HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET /counter HTTP/1.0\r\n\r\n",
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
