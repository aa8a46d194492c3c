//! The `fanlight` program.

use std::process::ExitCode;

use clap::Parser;

/// A request makes some hundred small allocations, most of which live as long as
/// it does, and its spans are freed by another thread than the one that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    fanlight::Cli::parse().run()
}
