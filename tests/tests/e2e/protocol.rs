//! HTTP/1.1 and HTTP/2, and the trace context in their headers.

use fanlight_tests::client::{raw, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{DEMO, FAULTS, HELLO, PLAIN};
use fanlight_tests::host::TestHost;
use serde_json::json;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

#[tokio::test(flavor = "multi_thread")]
async fn http2_without_tls_is_served_and_traced() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting_to(&collector)
        .start()
        .await;
    let answer = host.get("/api/users").try_send_h2().await.unwrap();
    assert_eq!(answer.status, 200);
    let spans = collector.trace(&trace_of(&answer).trace_id, 2).await;
    let server = spans
        .iter()
        .find(|span| span.parent_span_id.is_none())
        .unwrap();
    assert_eq!(server.attribute("network.protocol.version"), json!("2"));
    assert_eq!(server.attribute("server.port"), json!(host.address.port()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_imports_wasi_http_alone_is_served_and_traced() {
    let collector = Collector::start().await;
    let host = TestHost::serving(PLAIN)
        .exporting_to(&collector)
        .start()
        .await;
    let answer = host.get("/anything").send().await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (200, &b"hello from plain\n"[..])
    );
    let spans = collector.trace(&trace_of(&answer).trace_id, 1).await;
    assert_eq!(spans[0].name, "GET");
    assert_eq!(spans[0].attribute("url.path"), json!("/anything"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_goes_on_below_its_span() {
    let collector = Collector::start().await;
    let host = TestHost::serving(HELLO)
        .exporting_to(&collector)
        .start()
        .await;
    let answer = host
        .get("/")
        .header("traceparent", &format!("00-{TRACE}-{SPAN}-01"))
        .header("tracestate", "vendor=1")
        .header("tracestate", "other=2")
        .send()
        .await;
    assert_eq!(trace_of(&answer).trace_id, TRACE);
    let own = trace_of(&answer).span_id;
    let span = collector.span(|span| span.span_id == own).await;
    assert_eq!(span.parent_span_id.as_deref(), Some(SPAN));
    assert_eq!(span.trace_state, "vendor=1,other=2");
    // OTLP: bit 8 says that bit 9 is known, bit 9 that the parent is remote.
    assert_eq!(span.flags & 0x300, 0x300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_parent_means_a_new_trace() {
    let collector = Collector::start().await;
    let host = TestHost::serving(HELLO)
        .exporting_to(&collector)
        .start()
        .await;
    for parent in [
        format!("00-{TRACE}-{SPAN}-01-more"),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
    ] {
        let answer = host
            .get("/")
            .header("traceparent", &parent)
            .header("tracestate", "vendor=1")
            .send()
            .await;
        let own = trace_of(&answer);
        assert_ne!(own.trace_id, TRACE);
        let span = collector.span(|span| span.span_id == own.span_id).await;
        assert_eq!(
            (span.parent_span_id.as_ref(), span.trace_state.as_str()),
            (None, "")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsampled_parent_stays_unsampled() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting_to(&collector)
        .start()
        .await;
    let unsampled = host
        .get("/api/users")
        .header("traceparent", &format!("00-{TRACE}-{SPAN}-00"))
        .send()
        .await;
    assert_eq!(unsampled.status, 200);
    assert!(!trace_of(&unsampled).sampled);
    // A later one that is sampled has come, so the earlier one would have.
    let sampled = host.get("/health").send().await;
    collector.trace(&trace_of(&sampled).trace_id, 1).await;
    assert!(collector.spans().iter().all(|span| span.trace_id != TRACE));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_header_can_be_left_out() {
    let host = TestHost::serving(HELLO)
        .requests(|limits| limits.trace_header = false)
        .start()
        .await;
    assert_eq!(host.get("/").send().await.header("traceresponse"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_a_row_on_one_connection_are_all_answered() {
    let host = TestHost::serving(PLAIN).start().await;
    let one = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
    let answer = raw(host.address, format!("{one}{one}{last}").as_bytes()).await;
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    assert_eq!(answer.matches("hello from plain").count(), 3, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_http2_lets_a_client_split_reach_the_component_as_one() {
    let host = TestHost::serving(FAULTS).start().await;
    let ask = || {
        let ask = host.get("/headers").header("cookie", "a=1");
        ask.header("cookie", "b=2; c=3").header("cookie", "d=4")
    };
    let answer = ask().try_send_h2().await.unwrap();
    let told = String::from_utf8(answer.body.to_vec()).unwrap();
    let cookies: Vec<_> = told.lines().filter(|it| it.starts_with("cookie")).collect();
    assert_eq!(cookies, ["cookie: a=1; b=2; c=3; d=4"]);
}

#[tokio::test]
async fn every_answer_has_a_date() {
    let host = TestHost::serving(FAULTS).start().await;
    let answers = [
        host.get("/counter").send().await,
        host.get("/trap").send().await,
        host.get("/counter").try_send_h2().await.unwrap(),
        host.ask_admin(http::Method::GET, "/livez").send().await,
    ];
    for answer in answers {
        let date = answer.header("date").unwrap();
        assert!(date.ends_with(" GMT"), "{date}");
    }
    // hyper's own answer.
    let refused = raw(host.address, b"GET / HTTP/1.1\r\nno field\r\n\r\n").await;
    let refused = String::from_utf8(refused).unwrap();
    assert!(refused.contains("date: "), "{refused}");
}
