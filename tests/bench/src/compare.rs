//! Fanlight beside bare hyper and `wasmtime serve`, in one run, in turns.
//!
//! | part | modules |
//! |---|---|
//! | what is measured | `throughput`, `viewer`, `echo`, `pace`, `asleep`, `start`, `growth`, `collected` |
//! | who is asked | `contestant`: the servers; `field`: several at once |
//! | who asks | `generator`: wrk and oha |
//! | where spans go | `sink`, `traces` |
//! | what is made of it | `rounds`, `steady`, `shape`, `plot` |
//!
//! A round asks each contestant for a while; what counts is what Fanlight is
//! beside each other one in the same round, and the median of that. A round of Fanlight counts only where the sink
//! holds all spans of each answered request, and the server has lost none.

mod asleep;
mod collected;
mod contestant;
mod echo;
mod field;
mod generator;
mod growth;
mod pace;
mod plot;
mod rounds;
mod shape;
mod sink;
mod start;
mod steady;
mod throughput;
mod traces;
mod viewer;

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Map, Value};

pub use contestant::Programs;
pub(crate) use field::CONNECTIONS;
pub(crate) use generator::{Asked, closed};
pub(crate) use rounds::{Figure, Rounds};
pub(crate) use sink::Sink;

use crate::process::machine;
use crate::report::{Check, Report};
use plot::{Bars, Plot};

/// What the second half of the way may add to a cost, for each that the first
/// half adds: with the square of the work it would be 3.
const GROWTH_BAR: f64 = 1.5;

/// A part that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Requests a second and p99 of the shortest request
    Throughput,
    /// Requests a second and memory with the viewer and without it
    Viewer,
    /// 16 KiB of JSON sent back
    Echo,
    /// Cost and p99 at given rates
    Pace,
    /// Memory of requests that sleep
    Asleep,
    /// From the start of a process to its first answer
    Start,
    /// From the upload of a component to its first answer
    Swap,
    /// Requests a second and p99 as connections grow
    Connections,
    /// Cost as spans grow
    Spans,
    /// Cost as an attribute grows
    Attribute,
    /// With a real Collector, without a bar
    Collected,
}

/// How long and how often.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Rounds of each comparison.
    rounds: usize,
    /// How often they are run again where they are too far apart.
    again: usize,
    /// How long each contestant is asked in a round, in whole seconds.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    duration: Duration,
    /// The rates that are asked at, in percent of what Fanlight can, and how
    /// long.
    percents: &'static [u32],
    #[serde(rename = "pace_seconds", serialize_with = "seconds")]
    pace_duration: Duration,
    /// Requests after which the memory of a full viewer is read.
    viewed: u64,
    /// Requests that sleep at once.
    asleep: usize,
    /// Starts and swaps in each round.
    starts: usize,
    swaps: usize,
    /// Rounds of what grows.
    growth_rounds: usize,
    #[serde(rename = "growth_seconds", serialize_with = "seconds")]
    growth_duration: Duration,
    connections: &'static [u32],
}

impl Plan {
    /// What figures are published from: some nine minutes where nothing is run
    /// again.
    pub const FULL: Self = Self {
        rounds: 5,
        again: 3,
        duration: Duration::from_secs(4),
        percents: &[10, 20, 40, 50, 60, 80],
        pace_duration: Duration::from_secs(2),
        viewed: 1_000_000,
        asleep: 5_000,
        starts: 7,
        swaps: 15,
        growth_rounds: 3,
        growth_duration: Duration::from_secs(2),
        connections: &[1, 8, 64, 512, 4_096],
    };
    /// For a look while working: under three minutes, and not run again.
    pub const QUICK: Self = Self {
        rounds: 3,
        again: 0,
        duration: Duration::from_secs(2),
        percents: &[10, 50, 80],
        pace_duration: Duration::from_secs(1),
        viewed: 200_000,
        asleep: 5_000,
        starts: 3,
        swaps: 7,
        growth_rounds: 1,
        growth_duration: Duration::from_secs(2),
        connections: &[1, 64, 4_096],
    };
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

/// What a part came to.
#[derive(Default)]
struct Outcome {
    checks: Vec<Check>,
    plots: Vec<(&'static str, Plot)>,
    bars: Vec<(&'static str, Bars)>,
    details: Map<String, Value>,
}

impl Outcome {
    fn check(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// A plot and the name of its file, without an ending.
    fn plot(&mut self, file: &'static str, plot: Plot) {
        self.plots.push((file, plot));
    }

    fn bars(&mut self, file: &'static str, bars: Bars) {
        self.bars.push((file, bars));
    }

    /// Keeps what was measured, for programs.
    fn keep(&mut self, name: &str, value: impl Serialize) -> anyhow::Result<()> {
        self.details
            .insert(name.to_owned(), serde_json::to_value(value)?);
        Ok(())
    }

    fn write_plots(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        for (file, plot) in &self.plots {
            plot.write(&folder.join(file).with_extension("svg"))?;
        }
        for (file, bars) in &self.bars {
            bars.write(&folder.join(file).with_extension("svg"))?;
        }
        Ok(())
    }
}

/// Runs parts one after the other, each on servers of its own; none means all.
/// Writes what was measured to a folder: `compare.json`, and a plot for each
/// part that has one.
///
/// # Errors
/// Where the folder cannot be written to. What cannot be measured is a failure
/// in the report.
pub async fn run(
    parts: &[Part],
    plan: &Plan,
    programs: &Programs,
    folder: &Path,
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.keep("machine", machine())?;
    report.keep("plan", plan)?;
    if let Some(wasmtime) = &programs.wasmtime {
        report.keep("wasmtime", contestant::version(wasmtime))?;
    }
    for part in Part::value_variants() {
        if !parts.is_empty() && !parts.contains(part) {
            continue;
        }
        let name = part.to_possible_value();
        let name = name.map_or_else(String::new, |value| value.get_name().to_owned());
        eprintln!("{name}:");
        let outcome = match part {
            Part::Throughput => throughput::run(plan, programs).await,
            Part::Viewer => viewer::run(plan, programs).await,
            Part::Echo => echo::run(plan, programs).await,
            Part::Pace => pace::run(plan, programs).await,
            Part::Asleep => asleep::run(plan, programs).await,
            Part::Start => start::process(plan, programs).await,
            Part::Swap => start::swap(plan, programs).await,
            Part::Connections => growth::connections(plan, programs).await,
            Part::Spans => growth::spans(plan, programs).await,
            Part::Attribute => growth::attribute(plan, programs).await,
            Part::Collected => collected::run(plan, programs).await,
        };
        let checks = match outcome {
            Ok(outcome) => {
                outcome.write_plots(folder)?;
                report.keep(&name, &outcome.details)?;
                Ok(outcome.checks)
            }
            Err(error) => Err(error),
        };
        report.add(&name, checks);
    }
    report.write_json(&folder.join("compare.json"))?;
    Ok(report)
}
