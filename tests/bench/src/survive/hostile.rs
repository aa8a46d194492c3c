//! Guests that take and say too much, at full size: the ordinary tests have the
//! same at a size for debug builds.

use std::time::Duration;

use crate::collector::Collector;
use crate::component::Guests;
use crate::connection::{Connection, Protocol};
use crate::program::Server;
use crate::report::Check;
use crate::request::Good;

/// Two queues of telemetry at 32 MiB, a guest's memory, and batches under way.
const BAR: u64 = 256 * 1024 * 1024;

/// What each is asked for, and the status that it gets.
const GUESTS: [(&str, &str, u16); 6] = [
    (
        "100,000 spans with 1 MB attributes",
        "/flood/spans?count=100000&bytes=1000000",
        200,
    ),
    ("200,000 spans at once", "/flood/handles?count=200000", 500),
    ("1 GB of logs", "/flood/logs?count=1000&bytes=1000000", 200),
    (
        "1 GB of stdout and of stderr",
        "/flood/print?bytes=1000000000",
        200,
    ),
    ("memory for ever", "/memory", 500),
    ("recursion for ever", "/recursion", 500),
];

pub(super) async fn run(server: Server, guests: &Guests) -> anyhow::Result<Vec<Check>> {
    let collector = Collector::start(Box::new(|_| {})).await?;
    let mut checks = Vec::new();
    for (name, target, status) in GUESTS {
        // A peak is for ever, so each has a server of its own.
        let server = server
            .clone()
            .flags(["--max-instances", "16", "--request-timeout", "170s"])
            .exporting_to(collector.address())
            .serve(guests.path())
            .await?;
        let mut connection = Connection::open(server.address, Protocol::Http1).await?;
        Good::COUNTER.check(&connection.get(Good::COUNTER.target).await?)?;
        let before = server.rss_bytes()?;
        let answer = connection.get(target).await?;
        checks.push(Check::count(
            &format!("{name}: the answer"),
            status.into(),
            answer.status.into(),
        ));
        checks.push(Check::time(&format!("{name}: time"), answer.latency));
        let grown = server.peak_rss_bytes()?.cast_signed() - before.cast_signed();
        checks.push(Check::bytes_at_most(
            &format!("{name}: memory at the most"),
            BAR,
            grown,
        ));
        let mut next = Connection::open(server.address, Protocol::Http1).await?;
        let answer = next.get(Good::COUNTER.target).await?;
        checks.push(Check::at_most(
            &format!("{name}: the next request"),
            Duration::from_millis(100),
            answer.latency,
        ));
        Good::COUNTER.check(&answer)?;
        server.stop().await?;
    }
    Ok(checks)
}
