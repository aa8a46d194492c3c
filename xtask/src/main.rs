//! The project's own commands: `cargo xtask run | test | bench | pieces |
//! instructions | dist | package | release | profile | soak | fuzz | wings | deny | guests |
//! jaeger | otelcol | templates | reference | prose`.
//!
//! Each is what plain cargo does, in the right order; nothing here is needed to
//! build Fanlight.

mod bench;
mod browser;
mod cache;
mod cargo;
mod circles;
mod deny;
mod dist;
mod fuzz;
mod go;
mod instructions;
mod jaeger;
mod otelcol;
mod package;
mod pieces;
mod prose;
mod reference;
mod release;
mod run;
mod templates;
mod test;
mod tool;
mod wasm;
mod wings;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::jaeger::JAEGER;
use crate::otelcol::OTELCOL;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds the server and the demo, and serves it until Ctrl-C
    Run {
        /// Where to serve
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000")]
        listen: SocketAddr,
        /// More flags for `fanlight serve`
        #[arg(last = true)]
        serve: Vec<OsString>,
    },
    /// Tests everything that can be tested on this machine
    ///
    /// The tests that need Jaeger or the Collector run where these are built
    /// already, or where Go is there to build them; where the variable CI is set
    /// they are demanded. The last line says what was skipped.
    Test {
        /// More arguments for `cargo test`
        #[arg(last = true)]
        cargo: Vec<OsString>,
    },
    /// Measures the server beside others, and what it survives, and demands what
    /// is promised
    Bench(bench::Args),
    /// Times the hot pieces of a request one by one, in release
    Pieces {
        /// More arguments for Criterion: a part of a piece's name, --quick,
        /// --save-baseline NAME
        #[arg(last = true)]
        criterion: Vec<OsString>,
    },
    /// Counts the instructions of hot pieces, and demands what is committed
    ///
    /// A count is the same wherever and however often it is taken, so a change of
    /// 5% is one of the code. Needs Valgrind; without it, it is skipped.
    Instructions {
        /// Write the counts as those to be compared with from now on
        #[arg(long)]
        renew: bool,
    },
    /// Builds the server as it is shipped, and prints where
    ///
    /// Profile `dist`, with counts of where the server's code goes. They are made
    /// where there are none for the versions in Cargo.lock: that takes twice as
    /// long, and needs `wrk`.
    Dist {
        /// Build without counts
        #[arg(long)]
        without_profile: bool,
    },
    /// Packages the crates that are published, and compiles them from their packages
    Package {
        /// Build each from nothing as well, as `cargo publish` does
        #[arg(long)]
        verify: bool,
    },
    /// Makes the archive of a release for this platform, and prints where
    ///
    /// It has the program as `cargo xtask dist` builds it, manual pages, completions, the
    /// licences of all dependencies, and an SBOM (CycloneDX).
    Release(release::Args),
    /// Counts anew where the server's code goes, and prints where the counts are
    ///
    /// For the optimiser; kept in ~/.cache/fanlight/profile. Builds for some ten
    /// minutes; needs `wrk`.
    Profile,
    /// Mixes load, swaps, backends that fail, hostile guests and clients
    Soak {
        /// How long
        #[arg(long, value_name = "N", default_value_t = 20)]
        minutes: u64,
        /// What chance is made of
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
    /// Feeds what reads foreign bytes with what nobody would send
    ///
    /// Needs a nightly compiler. What is found goes to ~/.cache/fanlight/fuzz;
    /// the first run builds for some ten minutes.
    Fuzz {
        /// How long for each target
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u64,
        /// This target alone
        target: Option<fuzz::Target>,
    },
    /// Checks that the wings of host/server, host/telemetry and host/viewer use one
    /// another from the top down
    Wings,
    /// Holds dependencies to deny.toml: licences, versions, sources, advisories
    ///
    /// Advisories where their database can be fetched.
    Deny,
    /// Builds every guest, in release, and prints where
    Guests,
    /// Tests the viewer's pages in Chromium, and the types of their modules
    ///
    /// Needs Node.js with npm and Chromium; without them it is skipped, and demanded
    /// where the variable CI is set.
    Browser(browser::Args),
    /// Builds Jaeger once, outside the checkout, and prints where
    Jaeger {
        /// Serve it on its standard ports until Ctrl-C: 16686 for queries, 4317
        /// and 4318 for OTLP
        #[arg(long)]
        run: bool,
    },
    /// Builds the OpenTelemetry Collector once, outside the checkout, and prints
    /// where
    Otelcol,
    /// Tries what `fanlight new` makes in languages other than Rust, with their own tools
    ///
    /// What they install is kept in ~/.cache/fanlight/templates. A language whose tools are
    /// missing is skipped, and demanded where the variable CI is set.
    Templates,
    /// Writes docs/reference/cli.md from the help texts of the command line
    Reference,
    /// Finds words in documentation that plain technical English does without
    Prose,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run { listen, serve } => run::run(listen, &serve),
        Command::Test { cargo } => test::run(&cargo),
        Command::Bench(args) => bench::run(&args),
        Command::Pieces { criterion } => pieces::run(&criterion),
        Command::Instructions { renew } => instructions::run(renew),
        Command::Dist { without_profile } => match without_profile {
            true => dist::build_without_profile(),
            false => dist::build(),
        }
        .map(|path| {
            println!("{}", path.display());
        }),
        Command::Package { verify } => package::run(match verify {
            true => package::Check::Whole,
            false => package::Check::Quick,
        }),
        Command::Release(args) => release::run(&args),
        Command::Profile => dist::profile().map(|path| {
            println!("{}", path.display());
        }),
        Command::Soak { minutes, seed } => bench::soak(minutes, seed),
        Command::Fuzz { seconds, target } => fuzz::run(seconds, target),
        Command::Wings => wings::check(),
        Command::Deny => deny::run(),
        Command::Browser(args) => browser::run(&args),
        Command::Guests => wasm::build_guests().map(|guests| {
            for guest in guests {
                println!("{}", guest.display());
            }
        }),
        Command::Jaeger { run: true } => jaeger::run(),
        Command::Jaeger { run: false } => JAEGER.require().map(|path| {
            println!("{}", path.display());
        }),
        Command::Otelcol => OTELCOL.require().map(|path| {
            println!("{}", path.display());
        }),
        Command::Templates => templates::run(),
        Command::Reference => reference::run(),
        Command::Prose => prose::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_flags_fit_together() {
        Args::command().debug_assert();
    }
}
