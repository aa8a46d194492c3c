//! The benchmarks: builds the server, what it serves and who asks it, all in
//! release, and runs them on loopback.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use clap::ValueEnum;

use crate::{cargo, wasm};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// What the server survives
    Survive,
}

/// Runs one suite, or all.
///
/// # Errors
/// When a build fails, or something does not reach its bar.
pub(crate) fn run(
    only: Option<Suite>,
    parts: &[String],
    json: Option<&Path>,
) -> anyhow::Result<()> {
    let mut bench = build()?;
    match only {
        // One so far.
        None | Some(Suite::Survive) => bench.arg("survive"),
    };
    for part in parts {
        bench.args(["--part", part]);
    }
    if let Some(json) = json {
        bench.arg("--json").arg(std::path::absolute(json)?);
    }
    cargo::run(&mut bench)
}

/// Runs everything at once for so many minutes.
///
/// # Errors
/// When a build fails, or something was lost.
pub(crate) fn soak(minutes: u64, seed: u64) -> anyhow::Result<()> {
    cargo::run(
        build()?
            .arg("soak")
            .args(["--minutes", &minutes.to_string()])
            .args(["--seed", &seed.to_string()]),
    )
}

/// Builds everything, and gives the program that measures.
fn build() -> anyhow::Result<Command> {
    let faults = wasm::build_faults()?;
    let server = cargo::build_host()?;
    let program = cargo::build([
        "--package",
        "fanlight-bench",
        "--bin",
        "fanlight-bench",
        "--release",
    ])?
    .pop()
    .context("cargo built no program called fanlight-bench")?;
    let mut bench = Command::new(program);
    bench
        .arg("--server")
        .arg(server)
        .arg("--faults")
        .arg(faults);
    Ok(bench)
}
