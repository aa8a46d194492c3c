//! Telemetry backends that make trouble, and what it costs requests.

use std::time::Duration;

use crate::collector::{Collector, Mood};
use crate::component::Guests;
use crate::load::{Load, median};
use crate::program::Server;
use crate::report::Check;

const ROUNDS: usize = 5;
const WINDOW: Duration = Duration::from_secs(2);
/// Throughput, to that with a backend that is well.
const BAR: f64 = 0.9;

/// What is wrong with the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    Down,
    Mood(Mood),
}

const TROUBLES: [(&str, Trouble); 5] = [
    ("well", Trouble::None),
    ("down", Trouble::Down),
    ("hanging", Trouble::Mood(Mood::Hanging)),
    (
        "slow",
        Trouble::Mood(Mood::Slow(Duration::from_millis(500))),
    ),
    ("failing", Trouble::Mood(Mood::Failing)),
];

pub(super) async fn run(server: Server, guests: &Guests) -> anyhow::Result<Vec<Check>> {
    let mut collector = Collector::start(Box::new(|_| {})).await?;
    let server = server
        .flags(["--max-instances", "200"])
        .exporting_to(collector.address())
        .serve(guests.path())
        .await?;
    let load = Load::full_speed(server.address);
    load.clone().put_for(WINDOW).await?;
    let mut rates = TROUBLES.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, trouble), rates) in TROUBLES.iter().zip(&mut rates) {
            match trouble {
                Trouble::None => collector.set_mood(Mood::Fine),
                Trouble::Down => collector.kill().await,
                Trouble::Mood(mood) => collector.set_mood(*mood),
            }
            let result = load.clone().put_for(WINDOW).await?;
            result.demand_no_failure()?;
            rates.push(result.per_second());
            if *trouble == Trouble::Down {
                collector.restart().await?;
            }
        }
    }
    let [well, troubled @ ..] = rates.map(median);
    let [_, names @ ..] = TROUBLES.map(|(name, _)| name);
    let checks = names.iter().zip(troubled).map(|(name, rate)| {
        Check::ratio_at_least(
            &format!("backend {name}: throughput"),
            BAR,
            rate / well,
            &format!("{rate:.0} to {well:.0} requests/s"),
        )
    });
    let checks = checks.collect();
    collector.set_mood(Mood::Fine);
    server.stop().await?;
    Ok(checks)
}
