//! Fuzzing: the targets of `fuzz/`, by cargo-fuzz, built outside the checkout.
//!
//! Without a sanitizer: the host has no `unsafe` code, so what there is to find
//! is a panic, an overflow, a broken promise or too much memory, and without one
//! wasmtime builds in half the time and runs twice as fast.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::ValueEnum;

use crate::tool::Tool;
use crate::{cache, cargo};

const CARGO_FUZZ: Tool = Tool {
    package: "cargo-fuzz",
    program: "cargo-fuzz",
    version: "0.13.2",
    args: &[],
};

/// A program of `fuzz/`.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Target {
    /// The header `traceparent`
    Traceparent,
    /// The header `tracestate`
    Tracestate,
    /// The header `baggage`
    Baggage,
    /// The headers of B3
    PropagatorsOfOthers,
    /// What proxies say of a request's origin
    Forwarded,
    /// Attributes that a guest sends
    Attributes,
    /// Values that a guest sends as JSON
    OtelValue,
    /// Exponential histograms that guests export
    ExponentialHistograms,
    /// Files that are to be served
    AdminUpload,
    /// Components, run as they were built and relinked
    Relink,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Traceparent => "traceparent",
            Self::Tracestate => "tracestate",
            Self::Baggage => "baggage",
            Self::PropagatorsOfOthers => "propagators_of_others",
            Self::Forwarded => "forwarded",
            Self::Attributes => "attributes",
            Self::OtelValue => "otel_value",
            Self::ExponentialHistograms => "exponential_histograms",
            Self::AdminUpload => "admin_upload",
            Self::Relink => "relink",
        }
    }

    /// The longest input: a little over what there is a limit for.
    fn max_len(self) -> u32 {
        match self {
            Self::Traceparent => 256,
            Self::OtelValue => 1024,
            Self::PropagatorsOfOthers | Self::Forwarded => 2 * 1024,
            Self::Tracestate
            | Self::Attributes
            | Self::ExponentialHistograms
            | Self::AdminUpload
            | Self::Relink => 4 * 1024,
            Self::Baggage => 12 * 1024,
        }
    }
}

/// Fuzzes one target, or each in turn, for so many seconds.
///
/// # Errors
/// When something was found, or cargo-fuzz cannot be had.
pub(crate) fn run(seconds: u64, target: Option<Target>) -> anyhow::Result<()> {
    let cargo_fuzz = install()?;
    let place = cache::directory()?.join("fuzz");
    let targets = match target {
        Some(target) => vec![target],
        None => Target::value_variants().to_vec(),
    };
    for target in targets {
        fuzz(target, seconds, &cargo_fuzz, &place)?;
    }
    Ok(())
}

/// Begins with what is committed and adds what is new to a corpus of its own in
/// `place`, where a failing input goes as well.
fn fuzz(target: Target, seconds: u64, cargo_fuzz: &Path, place: &Path) -> anyhow::Result<()> {
    let name = target.name();
    let found = place.join("corpus").join(name);
    let failed = place.join("artifacts").join(name);
    for directory in [&found, &failed] {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(&failed);
    prefix.push("/");

    eprintln!("xtask: fuzzing {name} for {seconds} s");
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly"])
        .arg(cargo_fuzz)
        .args(["fuzz", "run", "--fuzz-dir", "fuzz", "--sanitizer", "none"])
        .arg("--target-dir")
        .arg(place.join("target"))
        .arg(name)
        .arg(found)
        .arg(cargo::workspace().join("fuzz/corpus").join(name))
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.max_len()))
        // One that takes as long, or all of them as much memory, is found too.
        .args(["-timeout=10", "-rss_limit_mb=1024"])
        .arg(prefix)
        .current_dir(cargo::workspace())
        // Cargo's word about this program is for a stable compiler.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO_TARGET_DIR");
    cargo::run(&mut command).with_context(|| format!("{name}: see {}", failed.display()))
}

/// Gives cargo-fuzz, installing it when it is not there.
fn install() -> anyhow::Result<PathBuf> {
    let program = CARGO_FUZZ.install()?;
    let nightly = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !nightly.is_ok_and(|status| status.success()) {
        bail!(
            "fuzzing needs a nightly compiler: rustup toolchain install nightly --profile minimal"
        );
    }
    Ok(program)
}
