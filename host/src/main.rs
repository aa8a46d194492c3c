//! The `fanlight` program.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    fanlight::Cli::parse().run()
}
