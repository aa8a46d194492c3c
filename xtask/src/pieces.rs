//! Times the hot pieces of a request with Criterion, which keeps what it measured
//! under `criterion/` in the target directory and compares with it the next time.

use std::ffi::OsString;

use anyhow::Context;

use crate::{cargo, wasm};

/// Builds the guests and the benchmark, in release, and runs it.
///
/// # Errors
/// When a build fails, or a piece does not do what it should.
pub(crate) fn run(args: &[OsString]) -> anyhow::Result<()> {
    let guests = wasm::build_bench_guests()?;
    let mut named = guests
        .iter()
        .filter(|path| path.ends_with("bench_usual.wasm"));
    let usual = named.next().context("cargo built no bench_usual.wasm")?;
    let mut bench = cargo::cargo();
    bench
        // All of the workspace, as elsewhere: others' features would have half of
        // the tree built anew.
        .args(["bench", "--workspace", "--bench", "pieces"])
        .args(["--features", "fanlight-server/benchmarks", "--"])
        .args(args)
        .env("FANLIGHT_BENCH_USUAL", usual)
        .env("FANLIGHT_BENCH_FAULTS", wasm::build_faults()?);
    cargo::run(&mut bench)
}
