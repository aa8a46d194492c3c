//! Requests in flight that sleep: what memory each holds, and whether further
//! bursts of them find what the first has left.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::plot::{Axis, Line, Plot};
use super::shape::{Curve, second_half};
use super::sink::{Expected, Sink};
use super::{GROWTH_BAR, Outcome, Plan, Programs};
use crate::admin::Admin;
use crate::connection::{Connection, Protocol};
use crate::program::Serving;
use crate::report::Check;

/// In how many steps they come.
const STEPS: usize = 4;
/// Long enough for all of them to come and be weighed.
const SLEEP: Duration = Duration::from_secs(10);
const A_REQUEST_BAR: u64 = 80 * 1024;
const SECOND_BURST_BAR: u64 = 16 * 1024 * 1024;
/// The server's, and that of the sleep.
const SPANS_A_REQUEST: u32 = 2;
/// How many bursts, one after the other.
const BURSTS: usize = 3;
/// For how long what is left after a burst must not change to be told, and how
/// long that is waited for: spans leave every second, and memory goes back as often.
const STILL: Duration = Duration::from_secs(3);
const STILL_WITHIN: Duration = Duration::from_secs(20);
/// What is no change: a page of a buffer here and there.
const STILL_BYTES: u64 = 1024 * 1024;

pub(super) async fn run(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let sink = Sink::start().await?;
    let count = plan.asleep;
    let server = programs
        .fanlight
        .clone()
        .flags(["--max-instances", "5000", "--request-timeout", "60s"])
        .exporting_as_usual(sink.address())
        .serve(&programs.varied)
        .await?;
    let mut first = None;
    let mut left = Vec::new();
    for _ in 0..BURSTS {
        let weights = burst(&server, &sink, count).await?;
        left.push(settled(&server).await?);
        first.get_or_insert(weights);
    }
    server.stop().await?;
    let first = first.unwrap_or_default();
    let above = left
        .windows(2)
        .map(|it| it[1].cast_signed() - it[0].cast_signed());

    let mut outcome = Outcome::default();
    let (Some((_, idle)), Some((_, full))) = (first.first(), first.last()) else {
        anyhow::bail!("nothing was weighed");
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "bytes of memory"
    )]
    let a_request = ((full - idle) / count as f64) as i64;
    outcome.check(Check::bytes_at_most(
        &format!("memory of each of {count} requests asleep"),
        A_REQUEST_BAR,
        a_request,
    ));
    outcome.check(Check::bytes_at_most(
        "memory after a second and a third burst, above that after the one before",
        SECOND_BURST_BAR,
        above.max().unwrap_or_default(),
    ));
    outcome.check(Check::growth(
        "memory along requests in flight",
        GROWTH_BAR,
        second_half(&first),
    ));
    let points = first
        .iter()
        .map(|(at, bytes)| (*at, bytes / 1024.0 / 1024.0));
    outcome.plot(
        "memory",
        Plot {
            title: "Memory of fanlight".to_owned(),
            x: Axis::linear("requests in flight, asleep"),
            y: Axis::linear("RSS, MiB"),
            lines: vec![Line {
                name: "fanlight".to_owned(),
                points: points.collect(),
            }],
        },
    );
    outcome.keep("rss_bytes_by_requests", &first)?;
    outcome.keep("rss_bytes_after_bursts", &left)?;
    Ok(outcome)
}

/// Has so many requests asleep at once, weighs the server as they come, and sees
/// each of them answered and all of their spans sent.
async fn burst(server: &Serving, sink: &Sink, count: usize) -> anyhow::Result<Curve> {
    let admin = Admin::at(server.admin);
    let target = format!("/?sleep_ms={}", SLEEP.as_millis());
    let mut weights = Curve::new();
    let mut asleep = JoinSet::new();
    for step in 0..=STEPS {
        let here = count * step / STEPS;
        while asleep.len() < here {
            let (address, target) = (server.address, target.clone());
            asleep.spawn(async move {
                let mut connection = Connection::open(address, Protocol::Http1).await?;
                connection.get(&target).await
            });
        }
        in_flight(admin, here as u64).await?;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
        weights.push((here as f64, server.rss_bytes()? as f64));
    }
    while let Some(answer) = asleep.join_next().await {
        let answer = answer.context("a client broke down")??;
        anyhow::ensure!(answer.status == 200, "a sleeper got {}", answer.status);
    }
    in_flight(admin, 0).await?;
    let expected = Expected {
        requests: count as u64,
        cut: 0,
        spans_a_request: SPANS_A_REQUEST,
    };
    sink.demand(expected).await?;
    Ok(weights)
}

/// What the server holds when that has come to rest.
async fn settled(server: &Serving) -> anyhow::Result<u64> {
    let begin = Instant::now();
    let mut last = server.rss_bytes()?;
    let mut since = begin;
    while since.elapsed() < STILL {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = server.rss_bytes()?;
        if now.abs_diff(last) > STILL_BYTES {
            (last, since) = (now, Instant::now());
        }
        let waits = begin.elapsed() < STILL_WITHIN;
        anyhow::ensure!(waits, "memory does not come to rest after a burst");
    }
    server.rss_bytes()
}

/// Waits until just so many run.
async fn in_flight(admin: Admin, count: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + SLEEP;
    loop {
        let running = admin.in_flight().await?;
        if running == count {
            return Ok(());
        }
        let waits = Instant::now() < deadline;
        anyhow::ensure!(waits, "{running} requests run instead of {count}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
