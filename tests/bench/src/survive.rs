//! What the server survives: guests, clients, backends and swaps that would hurt
//! a lesser one, each with a bar.

mod backend;
mod compile;
mod departure;
mod hostile;
mod loops;
mod memory;
mod swap;

use clap::ValueEnum;

use crate::component::Guests;
use crate::program::Server;
use crate::report::Report;

/// A part that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Guests that loop for ever
    Loops,
    /// Compiling while requests run
    Compile,
    /// Clients that leave
    Departure,
    /// Telemetry backends that make trouble
    Backend,
    /// Swaps under load
    Swap,
    /// Memory and descriptors after many swaps
    Memory,
    /// Guests that take and say too much
    Hostile,
}

/// Runs parts one after the other, each on a server of its own; none means all.
pub async fn run(parts: &[Part], server: &Server, guests: &Guests) -> Report {
    let mut report = Report::default();
    for part in Part::value_variants() {
        if !parts.is_empty() && !parts.contains(part) {
            continue;
        }
        let name = part
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        eprintln!("{name}:");
        // Each its own clone, because each has flags of its own.
        let server = server.clone();
        let checks = match part {
            Part::Loops => loops::run(server, guests).await,
            Part::Compile => compile::run(server, guests).await,
            Part::Departure => departure::run(server, guests).await,
            Part::Backend => backend::run(server, guests).await,
            Part::Swap => swap::run(server, guests).await,
            Part::Memory => memory::run(server, guests).await,
            Part::Hostile => hostile::run(server, guests).await,
        };
        report.add(&name, checks);
    }
    report
}
