//! Cost as work grows: connections, spans, bytes of an attribute. Nothing may
//! grow faster than what is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contestant::Contestant;
use super::field::{Ask, ByContestant, Field, demand_nothing_lost, figures, in_turn};
use super::generator::{self, Asked};
use super::plot::{Axis, Line, Plot};
use super::rounds::{CPU, Figure, P99, RATE, Rounds};
use super::shape::{Curve, second_half};
use super::sink::{Expected, Sink};
use super::throughput::by_name;
use super::{GROWTH_BAR, Outcome, Plan, Programs};
use crate::process::CpuTime;
use crate::program::Serving;
use crate::report::Check;

const TWO: [Contestant; 2] = [Contestant::Fanlight, Contestant::Hyper];
/// What is left of the rate at 64 connections with the most, beside what hyper
/// has left.
const CONNECTIONS_BAR: f64 = 0.8;
const USUAL_CONNECTIONS: u32 = 64;
/// So few that 200 spans in each are no more than a backend takes.
const REQUESTS_A_SECOND: f64 = 500.0;
/// Often, so that a round has not to wait for its last spans.
const EXPORT_EVERY: Duration = Duration::from_millis(200);
/// Half of the most is among them: see `shape::second_half`.
const SPANS: [u32; 5] = [0, 25, 50, 100, 200];
const BYTES: [u32; 4] = [0, 4 * 1024, 8 * 1024, 16 * 1024];

/// Rounds by what grows.
type Growing<T> = BTreeMap<u32, T>;

pub(super) async fn connections(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let field = Field::start(programs, &TWO).await?;
    let mut all = Growing::<ByContestant>::new();
    for round in 0..plan.growth_rounds {
        for connections in plan.connections {
            let ask = Ask {
                connections: *connections,
                ..Ask::closed(plan.growth_duration)
            };
            for contestant in in_turn(&field.contestants(), round) {
                let figures = field.ask(contestant, &ask).await?;
                eprintln!("  {connections:4} {:24} {figures}", contestant.name());
                let rounds = all.entry(*connections).or_default();
                rounds.entry(contestant).or_default().push(figures);
            }
        }
    }
    let mut outcome = Outcome::default();
    let left = |contestant| {
        let rate = |connections: u32| {
            let rounds = all.get(&connections)?.get(&contestant)?;
            Some(rounds.median(RATE))
        };
        let most = *all.keys().next_back()?;
        Some((most, rate(most)? / rate(USUAL_CONNECTIONS)?))
    };
    let (ours, hypers) = (left(Contestant::Fanlight), left(Contestant::Hyper));
    if let (Some((most, ours)), Some((_, hypers))) = (ours, hypers) {
        let check =
            format!("requests/s at {most} connections to {USUAL_CONNECTIONS} / bare hyper's");
        let said = format!("{ours:.2} of {hypers:.2}");
        let ratio = ours / hypers;
        outcome.check(Check::ratio_at_least(&check, CONNECTIONS_BAR, ratio, &said));
    }
    for (file, title, y, figure) in [
        (
            "connections",
            "Requests a second",
            Axis::linear("requests a second"),
            RATE,
        ),
        // From microseconds to a good part of a second.
        (
            "connections-p99",
            "p99",
            Axis::doubling("microseconds"),
            P99,
        ),
    ] {
        let lines = TWO.map(|contestant| Line {
            name: contestant.name().to_owned(),
            points: curve(&all, figure, |rounds| rounds.get(&contestant)),
        });
        outcome.plot(
            file,
            Plot {
                title: format!("{title} by connections, each asking again at once"),
                x: Axis::doubling("connections"),
                y,
                lines: lines.into(),
            },
        );
    }
    let kept: BTreeMap<_, _> = all.iter().map(|(at, it)| (at, by_name(it))).collect();
    outcome.keep("rounds_by_connections", kept)?;
    Ok(outcome)
}

pub(super) async fn spans(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let rounds = telemetry(plan, programs, &SPANS, |spans| Work { spans, bytes: 0 }).await?;
    grown(&rounds, "spans", "spans that the guest makes in a request")
}

pub(super) async fn attribute(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let rounds = telemetry(plan, programs, &BYTES, |bytes| Work { spans: 1, bytes }).await?;
    grown(&rounds, "attribute", "bytes of an attribute of one span")
}

/// What a request is asked to do.
struct Work {
    spans: u32,
    bytes: u32,
}

/// Asks at one rate for more and more, and sees all of it arrive.
async fn telemetry(
    plan: &Plan,
    programs: &Programs,
    steps: &[u32],
    work: impl Fn(u32) -> Work,
) -> anyhow::Result<Growing<Rounds>> {
    let sink = Sink::start().await?;
    let server = programs
        .fanlight
        .clone()
        .exporting_as_usual(sink.address())
        .exporting_every(EXPORT_EVERY)
        .serve(&programs.varied)
        .await?;
    let mut all = Growing::<Rounds>::new();
    for round in 0..=plan.growth_rounds {
        for step in in_turn(steps, round) {
            let Work { spans, bytes } = work(step);
            let asked = Asked {
                url: format!("http://{}/?spans={spans}&bytes={bytes}", server.address),
                connections: super::field::CONNECTIONS,
                duration: plan.growth_duration,
                body: None,
            };
            let figures = ask(&server, &sink, &programs.oha, &asked, spans + 1).await?;
            // The first round is for warming up.
            if round > 0 {
                eprintln!("  {step:5} {figures}");
                all.entry(step).or_default().push(figures);
            }
        }
    }
    server.stop().await?;
    Ok(all)
}

async fn ask(
    server: &Serving,
    sink: &Sink,
    oha: &std::path::Path,
    asked: &Asked,
    spans_a_request: u32,
) -> anyhow::Result<super::rounds::Figures> {
    let before = CpuTime::of(server.id)?;
    let answered = generator::open(oha, asked, REQUESTS_A_SECOND).await?;
    let expected = Expected {
        requests: answered.requests,
        cut: answered.cut,
        spans_a_request,
    };
    sink.demand(expected).await?;
    let cpu = CpuTime::of(server.id)?.since(&before);
    demand_nothing_lost(server.admin).await?;
    Ok(figures(answered, cpu, server.rss_bytes()?))
}

fn grown(all: &Growing<Rounds>, what: &'static str, label: &str) -> anyhow::Result<Outcome> {
    let cost = curve(all, CPU, Some);
    let mut outcome = Outcome::default();
    if let (Some((_, least)), Some((most, cost))) = (cost.first(), cost.last()) {
        let said = format!("{least:.0} us at none, {cost:.0} us at {most:.0}");
        outcome.check(Check::shown(&format!("cost along {label}"), &said));
    }
    outcome.check(Check::growth(
        &format!("growth of cost along {label}"),
        GROWTH_BAR,
        second_half(&cost),
    ));
    outcome.plot(
        what,
        Plot {
            title: "Processor time of a request".to_owned(),
            x: Axis::linear(label),
            y: Axis::linear("microseconds"),
            lines: vec![Line {
                name: "fanlight".to_owned(),
                points: cost,
            }],
        },
    );
    outcome.keep("rounds", all)?;
    Ok(outcome)
}

fn curve<'a, T>(
    all: &'a Growing<T>,
    figure: Figure,
    rounds: impl Fn(&'a T) -> Option<&'a Rounds>,
) -> Curve {
    let points = all.iter().filter_map(|(at, it)| {
        let rounds = rounds(it)?;
        Some((f64::from(*at), rounds.median(figure)))
    });
    points.collect()
}
