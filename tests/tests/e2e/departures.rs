//! Clients that leave before they have their answers: when their guests go.

use std::time::Duration;

use fanlight_tests::collected::CollectedPoint;
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::tls::connect;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::tls::secured;

const DEADLINE: Duration = Duration::from_secs(2);

async fn faults() -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .requests(|limits| limits.request_timeout = DEADLINE)
        .start()
        .await;
    (collector, host)
}

/// Sends a request, waits until its guest runs, and leaves.
async fn leave(host: &RunningHost, request: &str) {
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    eventually_async("the guest runs", async || {
        (host.component().await["current"]["in_flight"] != json!(0)).then_some(())
    })
    .await;
}

async fn demand_ended(collector: &Collector, host: &RunningHost, error_type: &str) -> Duration {
    let span = collector
        .span(|span| span.attribute("error.type") != json!(null))
        .await;
    assert_eq!(span.attribute("error.type"), json!(error_type));
    eventually_async("the instance is free", async || {
        (host.component().await["current"]["in_flight"] == json!(0)).then_some(())
    })
    .await;
    span.duration()
}

/// Demands that so many connections count as failed.
pub(crate) async fn demand_failed(collector: &Collector, count: f64) {
    let are_there = |points: &[CollectedPoint]| points[0].value >= count;
    let failed = collector
        .points("fanlight.connection.failed", are_there)
        .await;
    assert_eq!(failed[0].value, count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_goes_at_once_where_the_request_was_read() {
    let (collector, host) = faults().await;
    leave(&host, "GET /sleep?ms=60000 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let lasted = demand_ended(&collector, &host, "cancelled").await;
    assert!(lasted < DEADLINE, "it ran to its deadline: {lasted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_whose_head_was_read_has_its_span_though_its_client_says_no_more() {
    const REQUESTS: usize = 50;
    let (collector, host) = faults().await;
    for number in 0..REQUESTS {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        let request = format!("GET /counter?{number} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        // Whether the end is there before the answer is luck.
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    for number in 0..REQUESTS {
        let query = json!(number.to_string());
        let span = collector
            .span(|span| span.attribute("url.query") == query)
            .await;
        let outcome = (
            span.attribute("http.response.status_code"),
            span.attribute("error.type"),
        );
        let answered = (json!(200), json!(null));
        let left = (json!(null), json!("cancelled"));
        assert!(outcome == answered || outcome == left, "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_are_no_failed_connections() {
    let (collector, host) = faults().await;
    for target in ["/sleep?ms=60000", "/stream?chunks=9&delay_ms=60000"] {
        leave(&host, &format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        eventually_async("the instance is free", async || {
            (host.component().await["current"]["in_flight"] == json!(0)).then_some(())
        })
        .await;
    }
    // Nor are those that their guests fail.
    assert!(host.get("/trap-after-head").try_send().await.is_err());
    // This one is: nothing was asked on it.
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    demand_failed(&collector, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_without_a_word_of_tls_is_no_failed_connection_either() {
    let collector = Collector::start().await;
    let (_folder, pair, host) = secured(TestHost::serving(FAULTS).exporting_to(&collector)).await;
    let mut stream = connect(host.address, &[&pair], &["http/1.1"])
        .await
        .unwrap();
    let request = b"GET /sleep?ms=600000 HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    eventually_async("the guest runs", async || {
        (host.component().await["current"]["in_flight"] != json!(0)).then_some(())
    })
    .await;
    // Its socket is closed, and TLS is not.
    drop(stream);
    let span = collector.span(|span| span.attribute("url.path") == json!("/sleep"));
    assert_eq!(span.await.attribute("error.type"), json!("cancelled"));
    // This one failed: no handshake begins like that.
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    demand_failed(&collector, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_goes_at_the_deadline_where_the_body_was_not_read() {
    let (collector, host) = faults().await;
    // hyper reads a chunk ahead and no further than the guest does, so it does
    // not see the end behind a body that has more to come.
    let head = "POST /sleep?ms=60000 HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\n\r\n";
    leave(&host, &format!("{head}not read!")).await;
    demand_ended(&collector, &host, "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_goes_at_once_where_it_has_dropped_the_request_with_its_body() {
    // As long as somebody may read it, its end is left where it is.
    let body = "transfer-encoding: chunked\r\n\r\n9\r\nnot read!\r\n0\r\n\r\n";
    for (target, error_type) in [("sleep-without", "cancelled"), ("sleep", "timeout")] {
        let (collector, host) = faults().await;
        let head = format!("POST /{target}?ms=60000 HTTP/1.1\r\nhost: x\r\n");
        leave(&host, &format!("{head}{body}")).await;
        demand_ended(&collector, &host, error_type).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_goes_at_the_deadline_where_another_request_is_pipelined() {
    let (collector, host) = faults().await;
    let first = "GET /sleep?ms=60000 HTTP/1.1\r\nhost: x\r\n\r\n";
    leave(
        &host,
        &format!("{first}GET /counter HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    demand_ended(&collector, &host, "timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_writes_goes_at_its_next_write() {
    let (collector, host) = faults().await;
    let head = "POST /version?chunks=1000&delay_ms=50 HTTP/1.1\r\nhost: x\r\n";
    let request = format!("{head}content-length: 9\r\n\r\nnot read!");
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begun = [0; 16];
    stream.read_exact(&mut begun).await.unwrap();
    drop(stream);
    demand_ended(&collector, &host, "cancelled").await;
}
