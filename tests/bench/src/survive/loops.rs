//! Guests that loop for ever, and who else is served meanwhile.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;

use crate::component::Guests;
use crate::connection::{Connection, Protocol};
use crate::load::{Load, LoadResult, Reuse};
use crate::program::Server;
use crate::report::Check;

const LOOPS: usize = 64;
const DEADLINE: Duration = Duration::from_secs(2);
/// Past the deadline, by when each has its answer.
const ANSWERED: Duration = Duration::from_millis(2_200);
const KEPT_ALIVE_P99: Duration = Duration::from_millis(50);
const NEW_CONNECTION_P99: Duration = Duration::from_millis(100);
/// A single one has too few other requests for a percentile.
const ROUNDS: usize = 4;

pub(super) async fn run(server: Server, guests: &Guests) -> anyhow::Result<Vec<Check>> {
    let server = server
        .flags(["--request-timeout", "2s", "--max-instances", "200"])
        .serve(guests.path())
        .await?;
    let well_behaved = |reuse| Load {
        connections: 4,
        reuse,
        pause: Duration::from_millis(10),
        ..Load::full_speed(server.address)
    };
    let mut kept_alive = LoadResult::default();
    let mut new_connection = LoadResult::default();
    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        let mut loops = JoinSet::new();
        for _ in 0..LOOPS {
            let address = server.address;
            loops.spawn(async move {
                let mut connection = Connection::open(address, Protocol::Http1).await?;
                connection.get("/loop").await
            });
        }
        // All of them are at it before anybody is measured.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (kept, new) = tokio::try_join!(
            well_behaved(Reuse::KeptAlive).put_for(DEADLINE - Duration::from_millis(200)),
            well_behaved(Reuse::NewEachTime).put_for(DEADLINE - Duration::from_millis(200)),
        )?;
        kept_alive.add(kept);
        new_connection.add(new);
        while let Some(answer) = loops.join_next().await {
            let answer = answer.context("a client broke down")??;
            anyhow::ensure!(answer.status == 504, "a loop got {}", answer.status);
            slowest = slowest.max(answer.latency);
        }
    }
    kept_alive.demand_no_failure()?;
    new_connection.demand_no_failure()?;
    let checks = vec![
        Check::at_most("64 loops: the last 504", ANSWERED, slowest),
        Check::at_most(
            "64 loops: others, kept alive, p99",
            KEPT_ALIVE_P99,
            kept_alive.p99()?,
        ),
        Check::at_most(
            "64 loops: others, new connection, p99",
            NEW_CONNECTION_P99,
            new_connection.p99()?,
        ),
    ];
    server.stop().await?;
    Ok(checks)
}
