//! The `fanlight-bench` program; `cargo xtask bench` and `cargo xtask soak`
//! build what it needs and run it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use fanlight_bench::compare::{Plan, Programs};
use fanlight_bench::{Guests, Report, Server, compare, soak, survive, train};

/// Measures the real program, and tries what it survives.
#[derive(Debug, Parser)]
struct Args {
    /// The program `fanlight`, built in release
    #[arg(long, value_name = "FILE")]
    server: PathBuf,
    /// Writes what was measured, too
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tries what the server survives
    Survive {
        /// The example component `faults`
        #[arg(long, value_name = "FILE")]
        faults: PathBuf,
        /// These parts alone
        #[arg(long = "part", value_delimiter = ',')]
        parts: Vec<survive::Part>,
    },
    /// Mixes load, swaps, hostile guests and hostile clients for a while
    Soak {
        /// The example component `faults`
        #[arg(long, value_name = "FILE")]
        faults: PathBuf,
        /// How long
        #[arg(long)]
        minutes: u64,
        /// What chance is made of
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measures it beside others
    Compare(Compare),
    /// Asks a server that counts where its code goes
    Train(Load),
}

/// Who asks, and about what.
#[derive(Debug, clap::Args)]
struct Load {
    /// The program `oha`
    #[arg(long, value_name = "FILE")]
    oha: PathBuf,
    /// The component `bench-usual`
    #[arg(long, value_name = "FILE")]
    usual: PathBuf,
    /// The component `bench-plain`
    #[arg(long, value_name = "FILE")]
    plain: PathBuf,
    /// The component `bench-varied`
    #[arg(long, value_name = "FILE")]
    varied: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Compare {
    /// The program `bare-hyper` of this package; left out where none is named
    #[arg(long, value_name = "FILE")]
    bare_hyper: Option<PathBuf>,
    /// The program `bare-instance`; left out where none is named
    #[arg(long, value_name = "FILE")]
    bare_instance: Option<PathBuf>,
    /// The program `wasmtime`; left out where none is named
    #[arg(long, value_name = "FILE")]
    wasmtime: Option<PathBuf>,
    #[command(flatten)]
    load: Load,
    /// The OpenTelemetry Collector; left out where none is named
    #[arg(long, value_name = "FILE")]
    collector: Option<PathBuf>,
    /// Where `compare.json` and the plots go
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Fewer and shorter rounds, for a look
    #[arg(long)]
    quick: bool,
    /// These parts alone
    #[arg(long = "part", value_delimiter = ',')]
    parts: Vec<compare::Part>,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // Both ends of each connection are descriptors.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(run(&args))?;
    print!("\n{report}");
    if let Some(path) = &args.json {
        report.write_json(path)?;
    }
    Ok(match report.passed() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn run(args: &Args) -> anyhow::Result<Report> {
    let cache = tempfile::tempdir()?;
    let server = Server::new(&args.server, cache.path());
    Ok(match &args.command {
        Command::Survive { faults, parts } => {
            survive::run(parts, &server, &Guests::read(faults)?).await
        }
        Command::Soak {
            faults,
            minutes,
            seed,
        } => {
            let duration = Duration::from_secs(minutes * 60);
            soak::run(duration, *seed, &server, &Guests::read(faults)?).await
        }
        Command::Compare(args) => {
            let programs = Programs {
                bare_hyper: args.bare_hyper.clone(),
                bare_instance: args.bare_instance.clone(),
                wasmtime: args.wasmtime.clone(),
                collector: args.collector.clone(),
                ..args.load.programs(server)
            };
            let plan = if args.quick { Plan::QUICK } else { Plan::FULL };
            compare::run(&args.parts, &plan, &programs, &args.out).await?
        }
        Command::Train(load) => {
            train::run(&load.programs(server)).await?;
            Report::default()
        }
    })
}

impl Load {
    fn programs(&self, fanlight: Server) -> Programs {
        Programs {
            fanlight,
            bare_hyper: None,
            bare_instance: None,
            wasmtime: None,
            collector: None,
            oha: self.oha.clone(),
            usual: self.usual.clone(),
            plain: self.plain.clone(),
            varied: self.varied.clone(),
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
