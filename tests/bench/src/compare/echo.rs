//! 16 KiB of JSON sent and sent back, beside bare hyper.

use super::contestant::Contestant;
use super::field::{Ask, Field, spreads};
use super::rounds::RATE;
use super::steady::until_steady;
use super::throughput::by_name;
use super::{Outcome, Plan, Programs};
use crate::report::Check;

const BODY_BYTES: usize = 16 * 1024;
const BAR: f64 = 0.5;

pub(super) async fn run(plan: &Plan, programs: &Programs) -> anyhow::Result<Outcome> {
    let field = Field::start(programs, &[Contestant::Hyper, Contestant::Fanlight]).await?;
    let body = field.folder().join("body.json");
    std::fs::write(&body, json(BODY_BYTES))?;
    let ask = Ask {
        body: Some(body),
        ..Ask::closed(plan.duration)
    };
    let (rounds, steady) = until_steady(
        "echo",
        plan.again,
        async || field.rounds(plan.rounds, &ask).await,
        |rounds| spreads(rounds, "requests/s", RATE),
    )
    .await?;
    let mut outcome = Outcome::default();
    for (contestant, rounds) in &rounds {
        let name = format!("{}, 16 KiB echoed", contestant.name());
        outcome.check(Check::figures(&name, rounds, RATE));
    }
    let of = |contestant| rounds.get(&contestant);
    if let (Some(ours), Some(hyper)) = (of(Contestant::Fanlight), of(Contestant::Hyper)) {
        let ratio = ours.beside(hyper, RATE);
        let said = format!("{:.0} of {:.0}/s", ours.median(RATE), hyper.median(RATE));
        let check = "16 KiB echoed, requests/s / bare hyper's";
        let check = Check::ratio_at_least(check, BAR, ratio.median, &said);
        outcome.check(check.with_spread(ratio.spread));
    }
    outcome.check(steady);
    outcome.keep("rounds", by_name(&rounds))?;
    Ok(outcome)
}

/// A list of numbers of so many bytes.
fn json(bytes: usize) -> String {
    let mut text = String::from("[0");
    while text.len() < bytes - 1 {
        let next = format!(",{}", text.len());
        let room = bytes - 1 - text.len();
        // Blanks where a number has no room: they are JSON as well.
        text.push_str(if next.len() <= room { &next } else { " " });
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn the_body_is_json_of_its_size() {
        for bytes in [3, 4, 100, 16 * 1024] {
            let text = json(bytes);
            assert_eq!(text.len(), bytes);
            assert!(serde_json::from_str::<Vec<u32>>(&text).is_ok(), "{text}");
        }
    }
}
