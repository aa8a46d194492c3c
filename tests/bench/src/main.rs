//! The `fanlight-bench` program; `cargo xtask bench` and `cargo xtask soak`
//! build what it needs and run it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use fanlight_bench::{Guests, Report, Server, soak, survive};

/// Measures the real program, and tries what it survives.
#[derive(Debug, Parser)]
struct Args {
    /// The program `fanlight`, built in release
    #[arg(long, value_name = "FILE")]
    server: PathBuf,
    /// The example component `faults`
    #[arg(long, value_name = "FILE")]
    faults: PathBuf,
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
        /// These parts alone
        #[arg(long = "part", value_delimiter = ',')]
        parts: Vec<survive::Part>,
    },
    /// Mixes load, swaps, hostile guests and hostile clients for a while
    Soak {
        /// How long
        #[arg(long)]
        minutes: u64,
        /// What chance is made of
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
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
    let guests = Guests::read(&args.faults)?;
    Ok(match &args.command {
        Command::Survive { parts } => survive::run(parts, &server, &guests).await,
        Command::Soak { minutes, seed } => {
            let duration = Duration::from_secs(minutes * 60);
            soak::run(duration, *seed, &server, &guests).await
        }
    })
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
