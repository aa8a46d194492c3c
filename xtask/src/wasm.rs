//! The guests: components for wasm32-wasip2.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::{cargo, dist};

/// What components are built for.
pub(crate) const TARGET: &str = "wasm32-wasip2";
const DEMO: &str = "fanlight-demo";
const FAULTS: &str = "example-faults";
const EXAMPLES: &str = "example-*";
const BENCH: &str = "bench-*";
const RELEASE: &str = "release";

/// Builds every guest.
///
/// # Errors
/// When the target cannot be had, or a build fails.
pub(crate) fn build_guests() -> anyhow::Result<Vec<PathBuf>> {
    build(RELEASE, &[DEMO, EXAMPLES])
}

/// Builds the demo and gives its component.
///
/// # Errors
/// When the target cannot be had, or the build fails.
pub(crate) fn build_demo() -> anyhow::Result<PathBuf> {
    build(RELEASE, &[DEMO])?
        .pop()
        .context("cargo built no component")
}

/// Builds the example that does what a component should not.
///
/// # Errors
/// When the target cannot be had, or the build fails.
pub(crate) fn build_faults() -> anyhow::Result<PathBuf> {
    build(RELEASE, &[FAULTS])?
        .pop()
        .context("cargo built no component")
}

/// Builds what the benchmarks serve, as components are shipped.
///
/// # Errors
/// When the target cannot be had, or the build fails.
pub(crate) fn build_bench_guests() -> anyhow::Result<Vec<PathBuf>> {
    build(dist::PROFILE, &[BENCH])
}

fn build(profile: &str, packages: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    add_target()?;
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    cargo::build(
        ["--profile", profile, "--target", TARGET]
            .into_iter()
            .chain(packages),
    )
}

/// Makes sure that the compiler can build for the target.
///
/// # Errors
/// When the target cannot be had.
pub(crate) fn add_target() -> anyhow::Result<()> {
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(cargo::workspace())
        .stderr(Stdio::null())
        .output()
        .context("cannot run rustc")?;
    let libraries = String::from_utf8_lossy(&libraries.stdout);
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    if Command::new("rustup")
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .is_err()
    {
        bail!(
            "the compiler cannot build for {TARGET}, and there is no rustup to add it: \
             install the target as you installed Rust"
        );
    }
    eprintln!("xtask: adding {TARGET} to the toolchain");
    let mut rustup = Command::new("rustup");
    cargo::run(
        rustup
            .args(["target", "add", TARGET])
            .current_dir(cargo::workspace()),
    )
}
