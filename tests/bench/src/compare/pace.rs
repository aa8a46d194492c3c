//! At a rate that is given, from a tenth to four fifths of what Fanlight can: what
//! a request costs and how long it takes, beside bare hyper at the same rate.

use std::collections::BTreeMap;

use super::contestant::Contestant;
use super::field::{Ask, ByContestant, Field, in_turn, spreads};
use super::plot::{Axis, Line, Plot};
use super::rounds::{CPU, Figure, P99, RATE};
use super::shape::{Curve, furthest};
use super::steady::{Spread, until_steady};
use super::throughput::by_name;
use super::{Outcome, Plan, Programs};
use crate::load::median;
use crate::report::Check;

const TWO: [Contestant; 2] = [Contestant::Fanlight, Contestant::Hyper];
/// Of half of the maximum, in percent.
const HALF: u32 = 50;
const P99_BAR: f64 = 2.0;
/// How far a point of the curve of costs may be from hyper's shape: see
/// `shape::furthest`.
const SHAPE_BAR: f64 = 0.15;
/// The part of a rate that has to be reached for p99 to be that of the rate.
const REACHED: f64 = 0.97;

/// The rounds at each rate, in percent of the maximum.
type ByRate = BTreeMap<u32, ByContestant>;

pub(super) async fn run(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let field = Field::start(programs, &TWO).await?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        let ask = Ask::closed(plan.duration);
        let figures = field.ask(Contestant::Fanlight, &ask).await?;
        rates.push(figures.per_second);
    }
    let most = median(rates);
    let (rounds, steady) = until_steady(
        "pace",
        plan.again,
        async || measure(plan, &field, most).await,
        spreads_of_bars,
    )
    .await?;

    let mut outcome = Outcome::default();
    for (percent, rounds) in &rounds {
        for (contestant, rounds) in rounds {
            let name = format!("{}, {percent}% of {most:.0}/s", contestant.name());
            outcome.check(Check::figures(&name, rounds, CPU));
        }
    }
    reached(&rounds, most, &mut outcome);
    if let Some(half) = rounds.get(&HALF) {
        let of = |contestant| half.get(&contestant);
        if let (Some(ours), Some(hyper)) = (of(Contestant::Fanlight), of(Contestant::Hyper)) {
            let ratio = ours.beside(hyper, P99);
            let said = format!("{:.0} of {:.0} us", ours.median(P99), hyper.median(P99));
            let check = "p99 at half the maximum rate / bare hyper's";
            let check = Check::ratio_at_most(check, P99_BAR, ratio.median, &said);
            outcome.check(check.with_spread(ratio.spread));
        }
    }
    let ours = curve(&rounds, Contestant::Fanlight, CPU);
    let hyper = curve(&rounds, Contestant::Hyper, CPU);
    if let Some((percent, ratio)) = furthest(&ours, &hyper) {
        let said = format!("at {percent:.0}% of the maximum");
        let check = "cost along the rate / the shape of bare hyper's";
        outcome.check(Check::ratio_within(check, SHAPE_BAR, ratio, &said));
    }
    outcome.check(steady);
    for (file, title, label, figure) in [
        ("cost", "Processor time of a request", "microseconds", CPU),
        ("latency", "p99 at a rate", "microseconds", P99),
    ] {
        outcome.plot(file, plot(&rounds, title, label, figure));
    }
    let kept: BTreeMap<_, _> = rounds.iter().map(|(at, it)| (at, by_name(it))).collect();
    outcome.keep("maximum_per_second", most)?;
    outcome.keep("rounds_by_percent", kept)?;
    Ok(outcome)
}

async fn measure(plan: &Plan, field: &Field<'_>, most: f64) -> anyhow::Result<ByRate> {
    let mut all = ByRate::new();
    for round in 0..plan.rounds {
        for percent in plan.percents {
            let ask = Ask {
                rate: Some(most * f64::from(*percent) / 100.0),
                ..Ask::closed(plan.pace_duration)
            };
            for contestant in in_turn(&field.contestants(), round) {
                let figures = field.ask(contestant, &ask).await?;
                eprintln!("  {percent:3}% {:24} {figures}", contestant.name());
                let rounds = all.entry(*percent).or_default();
                rounds.entry(contestant).or_default().push(figures);
            }
        }
    }
    Ok(all)
}

/// The bars rest on all costs, and on p99 at half the rate.
fn spreads_of_bars(rounds: &ByRate) -> Vec<Spread> {
    let mut all = Vec::new();
    for (percent, rounds) in rounds {
        all.extend(spreads(rounds, &format!("cost at {percent}%"), CPU));
        if *percent == HALF {
            all.extend(spreads(rounds, &format!("p99 at {percent}%"), P99));
        }
    }
    all
}

/// Says where a rate was not reached: oha takes more of the processors than wrk,
/// which told the maximum. A cost stands as well at what was reached; p99 does
/// not, for latency counts from when a request should have been sent.
fn reached(rounds: &ByRate, most: f64, outcome: &mut Outcome) {
    for (percent, rounds) in rounds {
        let rate = most * f64::from(*percent) / 100.0;
        for (contestant, rounds) in rounds {
            let part = rounds.median(RATE) / rate;
            if part >= REACHED {
                continue;
            }
            let check = format!("{}: part of {percent}% that was reached", contestant.name());
            let said = format!("of {rate:.0}/s");
            outcome.check(match *percent == HALF {
                true => Check::ratio_at_least(&check, REACHED, part, &said),
                false => Check::shown(&check, &format!("{part:.2}x ({said})")),
            });
        }
    }
}

fn curve(rounds: &ByRate, contestant: Contestant, figure: Figure) -> Curve {
    let points = rounds.iter().filter_map(|(percent, rounds)| {
        let rounds = rounds.get(&contestant)?;
        Some((f64::from(*percent), rounds.median(figure)))
    });
    points.collect()
}

fn plot(rounds: &ByRate, title: &str, label: &'static str, figure: Figure) -> Plot {
    let lines = TWO.map(|contestant| Line {
        name: contestant.name().to_owned(),
        points: curve(rounds, contestant, figure),
    });
    Plot {
        title: title.to_owned(),
        x: Axis::linear("percent of fanlight's maximum rate, asked at that rate"),
        y: Axis::linear(label),
        lines: lines.into(),
    }
}
