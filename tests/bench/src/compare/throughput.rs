//! The shortest request, as fast as 32 connections go: requests a second beside
//! everybody, p99 beside bare hyper.

use super::contestant::Contestant;
use super::field::{Ask, ByContestant, Field, spreads};
use super::plot::Bars;
use super::rounds::{P99, RATE, Rounds};
use super::steady::until_steady;
use super::{Outcome, Plan, Programs};
use crate::report::Check;

/// Who is asked, and what part of its rate Fanlight's must be.
const BARS: [(Contestant, f64); 4] = [
    (Contestant::Hyper, 0.50),
    (Contestant::Quiet, 0.85),
    (Contestant::WasmtimeTuned, 1.5),
    (Contestant::Wasmtime, 3.5),
];
/// Fanlight's p99 to hyper's, times their rates: as much slower as it is
/// throughout, and a fifth more.
const P99_BAR: f64 = 1.2;

pub(super) async fn run(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let mut all = vec![Contestant::Fanlight];
    all.extend(BARS.map(|(contestant, _)| contestant));
    all.push(Contestant::Instance);
    let field = Field::start(programs, &all).await?;
    let ask = Ask::closed(plan.duration);
    let (rounds, steady) = until_steady(
        "throughput",
        plan.again,
        async || field.rounds(plan.rounds, &ask).await,
        |rounds| {
            let mut all = spreads(rounds, "requests/s", RATE);
            all.extend(spreads(&p99_rests_on(rounds), "p99", P99));
            all
        },
    )
    .await?;

    let mut outcome = Outcome::default();
    for (contestant, rounds) in &rounds {
        outcome.check(Check::figures(contestant.name(), rounds, RATE));
    }
    let Some(ours) = rounds.get(&Contestant::Fanlight) else {
        anyhow::bail!("fanlight was not measured");
    };
    for (contestant, bar) in BARS {
        if let Some(theirs) = rounds.get(&contestant) {
            outcome.check(rate_check(contestant, bar, ours, theirs));
        }
    }
    if let (Some(floor), Some(hyper)) = (
        rounds.get(&Contestant::Instance),
        rounds.get(&Contestant::Hyper),
    ) {
        outcome.check(floor_check(
            "bare instance's requests/s / bare hyper's",
            floor,
            hyper,
        ));
        outcome.check(floor_check("requests/s / bare instance's", ours, floor));
    }
    if let Some(hyper) = rounds.get(&Contestant::Hyper) {
        let bar = P99_BAR / ours.beside(hyper, RATE).median;
        let ratio = ours.beside(hyper, P99);
        let of = format!("{:.0} of {:.0} us", ours.median(P99), hyper.median(P99));
        let check = Check::ratio_at_most("p99 / bare hyper's", bar, ratio.median, &of);
        outcome.check(check.with_spread(ratio.spread));
    }
    outcome.check(steady);
    let bars = rounds.iter().map(|(contestant, rounds)| {
        let name = contestant.name().to_owned();
        (name, rounds.median(RATE))
    });
    outcome.bars(
        "throughput",
        Bars {
            title: "Requests a second, 32 connections, more is better".to_owned(),
            bars: bars.collect(),
        },
    );
    outcome.keep("rounds", by_name(&rounds))?;
    Ok(outcome)
}

fn rate_check(contestant: Contestant, bar: f64, ours: &Rounds, theirs: &Rounds) -> Check {
    let ratio = ours.beside(theirs, RATE);
    let check = format!("requests/s / {}'s", contestant.name());
    let of = format!("{:.0} of {:.0}/s", ours.median(RATE), theirs.median(RATE));
    let check = Check::ratio_at_least(&check, bar, ratio.median, &of);
    check.with_spread(ratio.spread)
}

/// Without a bar: what an instance for each request leaves of the machine, and
/// what we leave of that.
fn floor_check(check: &str, these: &Rounds, those: &Rounds) -> Check {
    let ratio = these.beside(those, RATE);
    let (these, those) = (these.median(RATE), those.median(RATE));
    let said = format!("{:.2}x ({these:.0} of {those:.0}/s)", ratio.median);
    Check::shown(check, &said).with_spread(ratio.spread)
}

/// The bar on p99 is about these two.
fn p99_rests_on(rounds: &ByContestant) -> ByContestant {
    let mut rounds = rounds.clone();
    rounds.retain(|it, _| matches!(it, Contestant::Fanlight | Contestant::Hyper));
    rounds
}

/// The rounds of each, for programs.
pub(super) fn by_name(rounds: &ByContestant) -> std::collections::BTreeMap<&'static str, &Rounds> {
    rounds
        .iter()
        .map(|(it, rounds)| (it.name(), rounds))
        .collect()
}
