//! Swaps while requests run: none is lost, and those that run finish on what
//! they began with.

use std::time::{Duration, Instant};

use anyhow::Context;
use fanlight_runner::load::Latencies;
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::component::Guests;
use crate::connection::{Connection, Protocol};
use crate::load::Load;
use crate::program::Server;
use crate::report::Check;
use crate::request::Good;

const SWAPS: u32 = 200;
/// One swap each: all of them take 20 s.
const EVERY: Duration = Duration::from_millis(100);
/// Longer than a swap takes, so that the request runs across it.
const LONG_REQUEST: &str = "/version?chunks=3&delay_ms=100";
const ANSWERS: [&str; 2] = ["version-of-faults-0000\n", "version-of-faults-0001\n"];

pub(super) async fn run(server: Server, guests: &Guests) -> anyhow::Result<Vec<Check>> {
    let server = server
        .flags(["--max-instances", "200"])
        .serve(guests.path())
        .await?;
    let admin = Admin::at(server.admin);
    // Both are compiled from here on.
    admin.swap(guests.two()).await?;
    admin.swap(guests.one()).await?;

    let load = Load {
        requests: std::sync::Arc::new([Good::VERSION]),
        ..Load::full_speed(server.address)
    }
    .start();
    let mut watcher = Connection::open(server.address, Protocol::Http1).await?;
    let mut long_requests = JoinSet::new();
    let mut until_new = Vec::new();
    let mut pace = tokio::time::interval(EVERY);
    for swap in 0..SWAPS {
        pace.tick().await;
        let [old, new] = match swap % 2 {
            0 => ANSWERS,
            _ => [ANSWERS[1], ANSWERS[0]],
        };
        let component = if swap % 2 == 0 {
            guests.two()
        } else {
            guests.one()
        };
        let mut connection = Connection::open(server.address, Protocol::Http1).await?;
        long_requests.spawn(async move {
            let answer = connection.get(LONG_REQUEST).await?;
            anyhow::ensure!(
                answer.body == old.repeat(3),
                "a request that began on {old:?} got {:?}",
                answer.body
            );
            anyhow::Ok(())
        });
        // It is under way before the swap.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let begun = Instant::now();
        let first_new = async {
            while watcher.get(Good::VERSION.target).await?.body != new {}
            anyhow::Ok(begun.elapsed())
        };
        let (first_new, ()) = tokio::try_join!(first_new, admin.swap(component))?;
        until_new.push(first_new);
    }
    let mut finished_on_old = 0;
    let mut wrong = Vec::new();
    while let Some(ended) = long_requests.join_next().await {
        match ended.context("a long request broke down")? {
            Ok(()) => finished_on_old += 1,
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    let result = load.stop().await?;
    let until_new: Latencies = until_new.into_iter().collect();
    let time = |percent| until_new.percentile(percent).context("no swap was seen");
    let mut checks = vec![
        Check::count(
            &format!(
                "200 swaps in 20 s: failed of {} requests",
                result.answered.len() as u64 + result.failures
            ),
            0,
            result.failures,
        ),
        Check::count(
            "long requests that finish on the old one",
            SWAPS.into(),
            finished_on_old,
        ),
        Check::time("PUT until the first new answer, median", time(50)?),
        Check::time("PUT until the first new answer, p99", time(99)?),
    ];
    for reason in result.reasons.into_iter().chain(wrong).take(5) {
        checks.push(Check::holds(
            "what went wrong",
            "nothing",
            Err(anyhow::Error::msg(reason)),
        ));
    }
    server.stop().await?;
    Ok(checks)
}
