//! Clients that leave before they have their answers: when their guests go.

use std::time::Duration;

use fanlight_tests::collector::Collector;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_goes_at_once_where_the_request_was_read() {
    let (collector, host) = faults().await;
    leave(&host, "GET /sleep?ms=60000 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let lasted = demand_ended(&collector, &host, "cancelled").await;
    assert!(lasted < DEADLINE, "it ran to its deadline: {lasted:?}");
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
