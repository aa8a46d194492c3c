//! How long it takes until the first answer: of a process that is started, and of
//! a component that replaces another, both with compiled code in the cache.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use tokio::net::TcpStream;

use super::contestant::free_address;
use super::rounds::spread;
use super::sink::Sink;
use super::steady::{Spread, until_steady};
use super::{Outcome, Plan, Programs};
use crate::admin::Admin;
use crate::component::replaced;
use crate::connection::{Connection, Protocol};
use crate::load::median;
use crate::program::Server;
use crate::report::Check;

const START_BAR: Duration = Duration::from_millis(50);
const SWAP_BAR: Duration = Duration::from_millis(20);
/// How long a start may take at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// What `bench-varied` answers as it was built, and as it is in version two.
const VERSIONS: [&[u8]; 2] = [b"version-of-varied-0000", b"version-of-varied-0001"];

pub(super) async fn process(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let sink = Sink::start().await?;
    let server = programs.fanlight.clone().exporting_as_usual(sink.address());
    // The first compiles what the others find.
    start(&server, programs).await?;
    let once = async || start(&server, programs).await;
    let (rounds, steady) = until_steady(
        "start",
        plan.again,
        async || rounds(plan.rounds, plan.starts, once).await,
        spread_of_medians,
    )
    .await?;
    let check = "process start until the first answer, code in the cache";
    outcome(
        Check::at_most(check, START_BAR, middle(&rounds)),
        steady,
        rounds,
    )
}

/// Starts the program, and has it answer.
async fn start(server: &Server, programs: &Programs) -> anyhow::Result<Duration> {
    let address = free_address()?;
    let begun = Instant::now();
    let mut child = server
        .command(&programs.usual, address)
        .spawn()
        .context("cannot run fanlight")?;
    let answer = tokio::time::timeout(PATIENCE, first_answer(address)).await;
    answer.context("no answer after the start")??;
    let took = begun.elapsed();
    child.kill().await?;
    Ok(took)
}

/// Asks until somebody is there.
async fn first_answer(address: SocketAddr) -> anyhow::Result<()> {
    while TcpStream::connect(address).await.is_err() {
        // The shortest that the runtime's clock knows.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answer = Connection::open(address, Protocol::Http1)
        .await?
        .get("/")
        .await?;
    anyhow::ensure!(answer.status == 200, "the answer is {}", answer.status);
    Ok(())
}

pub(super) async fn swap(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let sink = Sink::start().await?;
    let server = programs.fanlight.clone().exporting_as_usual(sink.address());
    let server = server.serve(&programs.varied).await?;
    let one = std::fs::read(&programs.varied).context("cannot read bench-varied")?;
    let two = replaced(&one, VERSIONS[0], VERSIONS[1]).context("it has no version")?;
    let components = [Bytes::from(one), Bytes::from(two)];
    let admin = Admin::at(server.admin);
    // Both are compiled from here on.
    for component in components.iter().rev() {
        admin.swap(component.clone()).await?;
    }
    let mut client = Connection::open(server.address, Protocol::Http1).await?;
    let mut swaps = 0;
    let mut once = async || {
        swaps += 1;
        let (component, version) = (components[swaps % 2].clone(), VERSIONS[swaps % 2]);
        let begun = Instant::now();
        let first_new = async {
            while client.get("/").await?.body != version {}
            anyhow::Ok(begun.elapsed())
        };
        let (first_new, ()) = tokio::try_join!(first_new, admin.swap(component))?;
        anyhow::Ok(first_new)
    };
    let (rounds, steady) = until_steady(
        "swap",
        plan.again,
        async || rounds(plan.rounds, plan.swaps, &mut once).await,
        spread_of_medians,
    )
    .await?;
    server.stop().await?;
    let check = "PUT until the first answer of a component in the cache";
    outcome(
        Check::at_most(check, SWAP_BAR, middle(&rounds)),
        steady,
        rounds,
    )
}

/// Seconds, by rounds.
type Times = Vec<Vec<f64>>;

/// Does it so often in each of so many rounds.
async fn rounds(
    rounds: usize,
    often: usize,
    mut once: impl AsyncFnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<Times> {
    let mut all = Times::new();
    for _ in 0..rounds {
        let mut round = Vec::new();
        for _ in 0..often {
            round.push(once().await?.as_secs_f64());
        }
        all.push(round);
    }
    Ok(all)
}

/// The median of each round.
fn medians(rounds: &Times) -> Vec<f64> {
    rounds.iter().cloned().map(median).collect()
}

fn middle(rounds: &Times) -> Duration {
    Duration::from_secs_f64(median(medians(rounds)))
}

fn spread_of_medians(rounds: &Times) -> Vec<Spread> {
    vec![("medians of rounds".to_owned(), spread(medians(rounds)))]
}

fn outcome(check: Check, steady: Check, rounds: Times) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    outcome.check(check.with_spread(spread(medians(&rounds))));
    outcome.check(steady);
    outcome.keep("seconds_by_rounds", rounds)?;
    Ok(outcome)
}
