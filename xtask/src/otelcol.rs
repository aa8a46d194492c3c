//! The OpenTelemetry Collector that the tests ask, made of the parts that they
//! need by the Collector's own builder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::cargo;
use crate::go::{Program, go};

const VERSION: &str = "0.155.0";
const BUILDER: &str = "go.opentelemetry.io/collector/cmd/builder@v0.155.0";
/// Lists its parts, each by its version.
const MANIFEST: &str = include_str!("otelcol.yaml");

/// How it is had.
pub(crate) const OTELCOL: Program = Program {
    name: "the OpenTelemetry Collector",
    file: "otelcol",
    version: VERSION,
    oldest_go: [1, 25, 0],
    is_current,
    build,
};

/// Whether the program is there, runs, and is of the pinned version.
fn is_current(program: &Path) -> bool {
    let output = Command::new(program)
        .arg("--version")
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .ends_with(VERSION)
    })
}

fn build(work: &Path) -> anyhow::Result<PathBuf> {
    let manifest = work.join("builder.yaml");
    std::fs::write(&manifest, MANIFEST).context("cannot write the builder's manifest")?;
    cargo::run(
        go().args(["run", BUILDER, "--config", "builder.yaml"])
            .current_dir(work),
    )?;
    Ok(work.join("build/otelcol"))
}
