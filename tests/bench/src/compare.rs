//! Fanlight beside bare hyper and `wasmtime serve`, in one run, in turns.
//!
//! A round asks each contestant for a while; what counts are the medians of
//! the rounds and their ratios. A round of Fanlight counts only where the sink
//! holds three spans for each answered request.

mod contestant;
mod generator;
mod rounds;
mod sink;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

pub use contestant::Programs;

use crate::report::{Check, Report};
use contestant::{Contestant, Serving};
use generator::{Answered, Asked};
use rounds::{Figures, Rounds};
use sink::Sink;

/// Connections of the load; as many may be cut when it ends.
const CONNECTIONS: u32 = 32;

/// How long and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds of each comparison.
    pub rounds: usize,
    /// How long each contestant is asked in a round.
    pub duration: Duration,
}

impl Plan {
    /// What figures are published from.
    pub const FULL: Self = Self {
        rounds: 7,
        duration: Duration::from_secs(6),
    };
    /// For a look while working.
    pub const QUICK: Self = Self {
        rounds: 3,
        duration: Duration::from_secs(2),
    };
}

/// Runs the comparison.
pub async fn run(plan: &Plan, programs: &Programs) -> Report {
    let mut report = Report::default();
    report.add("throughput", throughput(plan, programs).await);
    report
}

/// The servers that run side by side: those that are not asked are idle.
struct Field<'a> {
    serving: Vec<(Contestant, Serving)>,
    sink: Sink,
    folder: tempfile::TempDir,
    programs: &'a Programs,
}

impl<'a> Field<'a> {
    async fn start(programs: &'a Programs) -> anyhow::Result<Self> {
        let sink = Sink::start().await?;
        let folder = tempfile::tempdir()?;
        let mut all = vec![Contestant::Hyper, Contestant::Fanlight, Contestant::Quiet];
        if programs.wasmtime.is_some() {
            all.extend([Contestant::Wasmtime, Contestant::WasmtimeTuned]);
        }
        let mut serving = Vec::new();
        for contestant in all {
            let one = Serving::start(contestant, programs, sink.address(), folder.path()).await?;
            serving.push((contestant, one));
        }
        Ok(Self {
            serving,
            sink,
            folder,
            programs,
        })
    }

    /// Asks one in a closed loop, and demands its spans.
    async fn closed(
        &self,
        contestant: Contestant,
        body: Option<PathBuf>,
        duration: Duration,
    ) -> anyhow::Result<Figures> {
        self.measured(contestant, body, duration, None).await
    }

    async fn measured(
        &self,
        contestant: Contestant,
        body: Option<PathBuf>,
        duration: Duration,
        rate: Option<u64>,
    ) -> anyhow::Result<Figures> {
        let (_, serving) = self
            .serving
            .iter()
            .find(|(it, _)| *it == contestant)
            .context("it does not run")?;
        let asked = Asked {
            url: format!("http://{}/", serving.address),
            connections: CONNECTIONS,
            duration,
            body,
        };
        let before = serving.cpu()?;
        let answered = match rate {
            None => generator::closed(&asked, self.folder.path()).await,
            Some(rate) => generator::open(&self.programs.oha, &asked, rate).await,
        };
        let answered = answered.with_context(|| contestant.name())?;
        if contestant == Contestant::Fanlight {
            let cut = u64::from(CONNECTIONS);
            self.sink
                .demand_whole_traces(answered.requests, cut)
                .await?;
        }
        // With the spans out, all that the requests cost is in it.
        let cpu = serving.cpu()?.saturating_sub(before);
        let Answered {
            requests,
            per_second,
            p50,
            p99,
        } = answered;
        Ok(Figures {
            per_second,
            p50,
            p99,
            cpu_a_request: cpu.div_f64(requests.max(1) as f64),
            rss_bytes: serving.rss_bytes()?,
        })
    }
}

/// Requests a second, latency and cost of the shortest request.
async fn throughput(plan: &Plan, programs: &Programs) -> anyhow::Result<Vec<Check>> {
    let field = Field::start(programs).await?;
    let contestants: Vec<_> = field.serving.iter().map(|(it, _)| *it).collect();
    for contestant in &contestants {
        // Warm: code is compiled, pages are there.
        field
            .closed(*contestant, None, Duration::from_secs(1))
            .await?;
    }
    let mut rounds = BTreeMap::<&str, Rounds>::new();
    for round in 0..plan.rounds {
        // Each begins another round, so that none has the same neighbour always.
        for at in 0..contestants.len() {
            let contestant = contestants[(at + round) % contestants.len()];
            let figures = field.closed(contestant, None, plan.duration).await?;
            eprintln!("  {:24} {figures}", contestant.name());
            rounds.entry(contestant.name()).or_default().push(figures);
        }
    }
    let of = |contestant: Contestant| rounds.get(contestant.name());
    let rate = |contestant| of(contestant).map(Rounds::per_second);
    let (Some(ours), Some(hypers), Some(quiet)) = (
        rate(Contestant::Fanlight),
        rate(Contestant::Hyper),
        rate(Contestant::Quiet),
    ) else {
        anyhow::bail!("one of the three was not measured");
    };
    let ratio = |check: &str, bar, other: f64| {
        let of = format!("{ours:.0}/s of {other:.0}/s");
        Check::ratio_at_least(check, bar, ours / other, &of)
    };
    let mut checks = vec![
        ratio("requests/s, of bare hyper's", 0.50, hypers),
        ratio("requests/s, of those with telemetry off", 0.85, quiet),
    ];
    for (contestant, bar) in [
        (Contestant::Wasmtime, 3.5),
        (Contestant::WasmtimeTuned, 1.5),
    ] {
        if let Some(theirs) = rate(contestant) {
            let check = format!("requests/s, of {}'s", contestant.name());
            checks.push(ratio(&check, bar, theirs));
        }
    }
    if let (Some(our), Some(hyper)) = (of(Contestant::Fanlight), of(Contestant::Hyper)) {
        let bar = 1.2 * hypers / ours;
        let measured = our.p99().as_secs_f64() / hyper.p99().as_secs_f64();
        let of = format!("{:?} of {:?}", our.p99(), hyper.p99());
        let check = "p99 at 32 connections, of bare hyper's";
        checks.push(Check::ratio_at_most(check, bar, measured, &of));
    }
    for (name, rounds) in &rounds {
        eprintln!("  {name:24} {rounds}");
    }
    Ok(checks)
}
