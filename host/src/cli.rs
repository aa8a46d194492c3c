//! The command line: raw arguments become resolved configuration, and errors
//! become exit codes.

mod client;
mod headers;
mod limits;
mod log;
mod serve;
mod signals;
mod stderr;
mod swaps;
mod tls;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use client::{ClientArgs, SwapArgs};
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
    /// Has a running server serve another component
    Swap(SwapArgs),
    /// Has a running server serve the previous component again
    Rollback(ClientArgs),
    /// Asks a running server whether it is ready; exit code 0 says yes
    Health(ClientArgs),
}

impl Cli {
    /// Runs the command; its exit code says how it went.
    pub fn run(self) -> ExitCode {
        let _flushed = stderr::begin();
        let log = log::init();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return failed(&anyhow::Error::from(error), FAILED),
        };
        let code = match self.command {
            Command::Serve(args) => runtime.block_on(args.run(&log)),
            Command::Swap(args) => runtime.block_on(args.run()),
            Command::Rollback(args) => runtime.block_on(args.roll_back()),
            Command::Health(args) => runtime.block_on(args.health()),
        };
        // All that has to end has ended; a thread that reads a file, say from a
        // share that hangs, is not waited for.
        runtime.shutdown_background();
        code
    }
}

fn failed(error: &anyhow::Error, code: u8) -> ExitCode {
    stderr::say(&format!("error: {error:#}"));
    ExitCode::from(code)
}
