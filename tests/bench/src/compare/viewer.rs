//! What the built-in viewer costs: requests a second with it and without it, and the
//! memory of a host whose store is full.

use std::time::Duration;

use anyhow::Context;

use super::contestant::Contestant;
use super::field::{Ask, CONNECTIONS, Field, spreads};
use super::generator::{self, Asked};
use super::rounds::RATE;
use super::steady::until_steady;
use super::throughput::by_name;
use super::{Outcome, Plan, Programs};
use crate::connection::{Connection, Protocol};
use crate::program::Serving;
use crate::report::Check;

/// What part of its rate without the viewer the host's must be.
const RATE_BAR: f64 = 0.98;
/// What the store may take, and a quarter more: an allocator has pages that are not full.
const MEMORY_BAR: u64 = 80 * 1024 * 1024;
/// How long the host is asked before its memory counts: pools and queues are there then.
const WARM_UP: Duration = Duration::from_secs(4);
/// How long it is asked until its requests are counted again.
const STEP: Duration = Duration::from_secs(10);

pub(super) async fn run(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    rate(plan, programs, &mut outcome).await?;
    let with = memory(plan, programs, "on").await?;
    let without = memory(plan, programs, "off").await?;
    let said = format!(
        "{} of {} MiB after {} requests; {}",
        with.bytes >> 20,
        without.bytes >> 20,
        with.requests,
        with.shown,
    );
    outcome.check(Check::shown("memory with the viewer / without it", &said));
    let more = i64::try_from(with.bytes)? - i64::try_from(without.bytes)?;
    outcome.check(Check::bytes_at_most(
        "memory that the full viewer adds",
        MEMORY_BAR,
        more,
    ));
    Ok(outcome)
}

async fn rate(plan: &Plan, programs: &Programs, outcome: &mut Outcome) -> anyhow::Result<()> {
    let two = [Contestant::Fanlight, Contestant::Unviewed];
    let field = Field::start(programs, &two).await?;
    let ask = Ask::closed(plan.duration);
    let (rounds, steady) = until_steady(
        "viewer",
        plan.again,
        async || field.rounds(plan.rounds, &ask).await,
        |rounds| spreads(rounds, "requests/s", RATE),
    )
    .await?;
    let of = |contestant| rounds.get(&contestant).context("it was not measured");
    let (ours, without) = (of(Contestant::Fanlight)?, of(Contestant::Unviewed)?);
    for (contestant, rounds) in &rounds {
        outcome.check(Check::figures(contestant.name(), rounds, RATE));
    }
    let ratio = ours.beside(without, RATE);
    let said = format!("{:.0} of {:.0}/s", ours.median(RATE), without.median(RATE));
    let check = Check::ratio_at_least(
        "requests/s / without the viewer",
        RATE_BAR,
        ratio.median,
        &said,
    );
    outcome.check(check.with_spread(ratio.spread));
    outcome.check(steady);
    outcome.keep("rounds", by_name(&rounds))
}

/// A host after many requests.
struct Held {
    requests: u64,
    bytes: u64,
    /// What its page says of the store.
    shown: String,
}

async fn memory(plan: &Plan, programs: &Programs, viewer: &str) -> anyhow::Result<Held> {
    let server = programs.fanlight.clone().exporting_nothing();
    let server = server.flags(["--viewer", viewer]);
    let server = server.serve(&programs.usual).await?;
    let folder = tempfile::tempdir()?;
    let mut requests = 0;
    let mut most = 0;
    while requests < plan.viewed {
        let asked = Asked {
            url: format!("http://{}/", server.address),
            connections: CONNECTIONS,
            duration: if requests == 0 { WARM_UP } else { STEP },
            body: None,
        };
        let answered = generator::closed(&asked, folder.path()).await?;
        requests += answered.requests;
        most = server.rss_bytes()?.max(most);
        eprintln!("  viewer {viewer}: {requests} requests, {} MiB", most >> 20);
    }
    let shown = match viewer {
        "on" => shown(&server).await?,
        _ => String::new(),
    };
    server.stop().await?;
    Ok(Held {
        requests,
        bytes: most,
        shown,
    })
}

/// What the list of traces says of the store, as a text without markup.
async fn shown(server: &Serving) -> anyhow::Result<String> {
    let answer = Connection::open(server.admin, Protocol::Http1)
        .await?
        .get("/")
        .await?;
    let page = String::from_utf8_lossy(&answer.body).into_owned();
    let note = page.split_once("id=\"store-note\"");
    let note = note.and_then(|(_, rest)| rest.split_once('>'));
    let (note, _) = note
        .and_then(|(_, rest)| rest.split_once("</div>"))
        .context("the page says nothing of the store")?;
    let texts = note.split('<').filter_map(|it| match it.split_once('>') {
        Some((_, text)) => Some(text),
        None => (!it.is_empty()).then_some(it),
    });
    Ok(texts.collect())
}
