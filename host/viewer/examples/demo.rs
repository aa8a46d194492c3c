//! Serves the viewer over telemetry that is made up:
//! `cargo run --example demo -- [PORT] [empty | live | NUMBER OF TRACES]`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fanlight_viewer::{Store, StoreConfig};
use prost::Message as _;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments
        .next()
        .and_then(|it| it.parse().ok())
        .unwrap_or(29000_u16);
    let mode = arguments.next().unwrap_or_default();
    // All of it arrives at once.
    let store = Arc::new(Store::new(StoreConfig {
        max_spans_per_second: u64::MAX,
        max_logs_per_second: u64::MAX,
        ..StoreConfig::default()
    }));
    let host = support::Host {
        began: SystemTime::now(),
        is_empty: mode == "empty",
        ..support::Host::default()
    };
    if mode != "empty" {
        let count = mode.parse().unwrap_or(160);
        let now = support::now();
        for some in support::traffic(count, now).chunks(100) {
            feed(&store, some);
        }
        feed(&store, &support::samples(now - 2_000 * support::MS));
    }
    let viewer = support::viewer(Arc::clone(&store), host);
    if mode == "live" {
        tokio::spawn(async move {
            let mut fed = 1000;
            let mut growing = support::Growing::new(support::now());
            loop {
                feed(&store, std::slice::from_ref(growing.next()));
                tokio::time::sleep(Duration::from_millis(700)).await;
                let traces = support::traffic_after(fed, 2, support::now());
                fed += 2;
                feed(&store, &traces);
            }
        });
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://127.0.0.1:{port}/");
    support::serve(listener, viewer).await;
    Ok(())
}

fn feed(store: &Store, traces: &[support::Trace]) {
    store.add_traces(&support::spans_request(traces).encode_to_vec());
    store.add_logs(&support::logs_request(traces));
}
