//! The command line: raw arguments become resolved configuration, and errors
//! become exit codes.

mod limits;
mod log;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::admin::health;
use serve::ServeArgs;

/// Exit code of a run that failed.
const FAILED: u8 = 1;
/// Exit code of bad use: flags, environment, a component that cannot be served.
const BAD_USE: u8 = 2;

/// Serves WebAssembly components over HTTP and lets you see inside them.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a component
    Serve(Box<ServeArgs>),
    /// Asks a running server whether it is ready; exit code 0 says yes
    Health(HealthArgs),
}

#[derive(Debug, Args)]
struct HealthArgs {
    /// The admin address of the server to ask
    #[arg(
        long,
        env = "FANLIGHT_ADMIN_URL",
        default_value = "http://127.0.0.1:9000"
    )]
    admin_url: String,
}

impl Cli {
    /// Runs the command; its exit code says how it went.
    pub fn run(self) -> ExitCode {
        log::init();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return failed(&anyhow::Error::from(error), FAILED),
        };
        match self.command {
            Command::Serve(args) => runtime.block_on(args.run()),
            Command::Health(args) => match runtime.block_on(health(&args.admin_url)) {
                Ok(()) => {
                    println!("ready");
                    ExitCode::SUCCESS
                }
                Err(error) => failed(&error, FAILED),
            },
        }
    }
}

fn failed(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(code)
}
