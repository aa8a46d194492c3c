//! Clients that leave while their guest is at work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use fanlight_runner::load::Latencies;

use crate::collector::{Collector, text};
use crate::component::Guests;
use crate::program::Server;
use crate::report::Check;

const CLIENTS: u64 = 100;
const BAR: Duration = Duration::from_millis(100);
/// How long the last spans may take to reach the collector.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn run(server: Server, guests: &Guests) -> anyhow::Result<Vec<Check>> {
    // When each span ended that says that its client left, by its trace.
    let ended: Arc<Mutex<HashMap<u128, Duration>>> = Arc::default();
    let seen = Arc::clone(&ended);
    let collector = Collector::start(Box::new(move |span| {
        if text(&span.attributes, "error.type") != Some("cancelled") {
            return;
        }
        if let Ok(trace) = <[u8; 16]>::try_from(&*span.trace_id) {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(
                u128::from_be_bytes(trace),
                Duration::from_nanos(span.end_time_unix_nano),
            );
        }
    }))
    .await?;
    let server = server
        .flags(["--max-instances", "200"])
        .exporting_to(collector.address())
        .serve(guests.path())
        .await?;
    let mut left = HashMap::new();
    for client in 0..CLIENTS {
        let trace = u128::from(client) + 1;
        let mut stream = TcpStream::connect(server.address).await?;
        let head = format!(
            "GET /sleep?ms=60000 HTTP/1.1\r\nhost: bench\r\n\
             traceparent: 00-{trace:032x}-00000000000000ff-01\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        // The guest is asleep by now.
        tokio::time::sleep(Duration::from_millis(30)).await;
        left.insert(trace, SystemTime::now().duration_since(UNIX_EPOCH)?);
        drop(stream);
    }
    let all = || {
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        (ended.len() as u64 == CLIENTS).then(|| ended.clone())
    };
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            match all() {
                Some(ended) => return ended,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    let ended = waited.await.with_context(|| {
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{} of {CLIENTS} guests were ended", ended.len())
    })?;
    let latencies: Latencies = left
        .iter()
        .filter_map(|(trace, left)| Some(ended.get(trace)?.saturating_sub(*left)))
        .collect();
    let p99 = latencies.percentile(99).context("no traces were known")?;
    let checks = vec![Check::at_most(
        "client leaves: its guest is dropped, p99",
        BAR,
        p99,
    )];
    server.stop().await?;
    Ok(checks)
}
