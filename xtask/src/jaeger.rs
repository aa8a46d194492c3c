//! The Jaeger that the tests ask.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::go::{self, Program, go};
use crate::{cargo, run};

/// The same as in docker-compose.yml: what is tested is what is deployed.
const VERSION: &str = "2.13.0";
/// The version of Jaeger's Go module that carries it.
const MODULE: &str = "github.com/jaegertracing/jaeger@v1.76.0";
const VERSION_VARIABLE: &str = "github.com/jaegertracing/jaeger/internal/version.latestVersion";

/// How it is had.
pub(crate) const JAEGER: Program = Program {
    name: "Jaeger",
    file: "jaeger",
    version: VERSION,
    oldest_go: [1, 24, 6],
    is_current,
    build,
};

/// Serves Jaeger on its standard ports, to this machine alone.
///
/// # Errors
/// When it cannot be built or run.
pub(crate) fn run() -> anyhow::Result<()> {
    let program = JAEGER.require()?;
    eprintln!(
        "\n  Jaeger {VERSION} takes traces at http://localhost:4317 (gRPC) and http://localhost:4318,\
         \n  and keeps them in memory. The query API is at http://localhost:16686/api/v3/services.\
         \n  Built from its Go module it has no page, a placeholder only: the container image\
         \n  has one (`docker compose up jaeger`).\
         \n\n  Ctrl-C stops it.\n"
    );
    let config = cargo::workspace().join("deploy/jaeger.yaml");
    run::become_program(Command::new(program).arg("--config").arg(config))
}

/// Whether the program is there and runs. One that knows its version must be the
/// pinned one; one that was built without it is trusted.
fn is_current(program: &Path) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        git_version: String,
    }

    let Ok(output) = Command::new(program)
        .arg("version")
        .stderr(Stdio::null())
        .output()
    else {
        return false;
    };
    let version = serde_json::from_slice(&output.stdout)
        .map(|Version { git_version }| git_version)
        .unwrap_or_default();
    output.status.success() && (version.is_empty() || version.trim_start_matches('v') == VERSION)
}

/// Builds in the module's own directory, for `go install` refuses modules that
/// replace others.
fn build(work: &Path) -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Module {
        dir: PathBuf,
    }

    go::empty_module(work)?;
    let output = go()
        .args(["mod", "download", "-json", MODULE])
        .current_dir(work)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run go")?;
    if !output.status.success() {
        bail!(
            "cannot fetch {MODULE}: {}",
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    let module: Module =
        serde_json::from_slice(&output.stdout).context("Go's answer is not understood")?;
    let built = work.join("jaeger");
    cargo::run(
        go().arg("build")
            .arg("-C")
            .arg(module.dir)
            .arg("-trimpath")
            .arg("-ldflags")
            .arg(format!("-s -w -X {VERSION_VARIABLE}=v{VERSION}"))
            .arg("-o")
            .arg(&built)
            .arg("./cmd/jaeger"),
    )?;
    Ok(built)
}
