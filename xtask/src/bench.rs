//! The benchmarks: builds the server, what it serves and who asks it, all in
//! release, and runs them on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::ValueEnum;

use crate::tool::Tool;
use crate::{cargo, wasm};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// The server beside others
    Compare,
    /// What the server survives
    Survive,
}

/// Who it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// A server that does nothing else
    Hyper,
    /// `wasmtime serve`
    Wasmtime,
}

const WASMTIME: Tool = Tool {
    package: "wasmtime-cli",
    program: "wasmtime",
    version: "48.0.8",
    args: &[],
};
const OHA: Tool = Tool {
    package: "oha",
    program: "oha",
    version: "1.16.0",
    // Load goes to this machine alone, without TLS.
    args: &["--no-default-features"],
};

/// Runs one suite, or all.
///
/// # Errors
/// When a build fails, or something does not reach its bar.
pub(crate) fn run(
    only: Option<Suite>,
    parts: &[String],
    quick: bool,
    against: &[Peer],
    json: Option<&Path>,
) -> anyhow::Result<()> {
    for suite in Suite::value_variants() {
        if only.is_some_and(|only| only != *suite) {
            continue;
        }
        let mut bench = match suite {
            Suite::Compare => compare(quick, against)?,
            Suite::Survive => {
                let mut survive = with_faults("survive", "release")?;
                for part in parts {
                    survive.args(["--part", part]);
                }
                survive
            }
        };
        if let Some(json) = json {
            bench.arg("--json").arg(std::path::absolute(json)?);
        }
        cargo::run(&mut bench)?;
    }
    Ok(())
}

/// Runs everything at once for so many minutes.
///
/// # Errors
/// When a build fails, or something was lost.
pub(crate) fn soak(minutes: u64, seed: u64) -> anyhow::Result<()> {
    cargo::run(
        with_faults("soak", "release")?
            .args(["--minutes", &minutes.to_string()])
            .args(["--seed", &seed.to_string()]),
    )
}

/// Builds what is compared as it is shipped, and what it is compared with.
fn compare(quick: bool, against: &[Peer]) -> anyhow::Result<Command> {
    let guests = wasm::build_bench_guests()?;
    let guest = |name: &str| {
        let mut named = guests.iter().filter(|path| path.ends_with(name));
        named
            .next()
            .with_context(|| format!("cargo built no {name}"))
    };
    let bare_hyper = build_program("bare-hyper", "dist")?;
    let mut bench = bench("compare", "dist")?;
    bench.arg("--bare-hyper").arg(bare_hyper);
    bench.arg("--oha").arg(OHA.install()?);
    bench.arg("--usual").arg(guest("bench_usual.wasm")?);
    bench.arg("--plain").arg(guest("bench_plain.wasm")?);
    if against.contains(&Peer::Wasmtime) {
        bench.arg("--wasmtime").arg(WASMTIME.install()?);
    }
    if quick {
        bench.arg("--quick");
    }
    Ok(bench)
}

/// What is tried with the example that does what a component should not.
fn with_faults(command: &str, profile: &str) -> anyhow::Result<Command> {
    let faults = wasm::build_faults()?;
    let mut bench = bench(command, profile)?;
    bench.arg("--faults").arg(faults);
    Ok(bench)
}

/// Builds the server and the program that measures it.
fn bench(command: &str, profile: &str) -> anyhow::Result<Command> {
    let server = cargo::build_host(profile)?;
    let mut bench = Command::new(build_program("fanlight-bench", "release")?);
    bench.arg("--server").arg(server).arg(command);
    Ok(bench)
}

fn build_program(name: &str, profile: &str) -> anyhow::Result<PathBuf> {
    let args = [
        "--package",
        "fanlight-bench",
        "--bin",
        name,
        "--profile",
        profile,
    ];
    cargo::build(args)?
        .pop()
        .with_context(|| format!("cargo built no program called {name}"))
}
