//! The benchmarks: builds the server, what it serves, who asks it and what it is
//! compared with, and runs them on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::ValueEnum;

use crate::go::Lookup;
use crate::otelcol::OTELCOL;
use crate::test::OTELCOL_VARIABLE;
use crate::tool::Tool;
use crate::{cargo, dist, wasm};

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
    /// One that makes an instance for each request, and does nothing else
    Instance,
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
    args: &[],
};

/// What `cargo xtask bench` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// This suite alone [default: both]
    #[arg(long)]
    only: Option<Suite>,
    /// These parts of it alone: throughput, viewer, echo, pace, asleep, start, swap,
    /// connections, spans, attribute, collected; or loops, compile, departure,
    /// backend, swap, memory, hostile
    #[arg(long = "part", value_delimiter = ',', requires = "only")]
    parts: Vec<String>,
    /// Compare by fewer and shorter rounds, for a look while working
    #[arg(long)]
    quick: bool,
    /// Compare with these alone
    #[arg(long, value_delimiter = ',', default_values = ["hyper", "instance", "wasmtime"])]
    against: Vec<Peer>,
    /// What the compared servers are built by; another one than dist builds in
    /// less time, for a look while working
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Where the comparison's figures and plots go [default: docs/bench, and
    /// beside the server where it is only a look]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Write what was survived, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs one suite, or both: the second even where the first does not reach a
/// bar.
///
/// # Errors
/// When a build fails, or something does not reach its bar.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for suite in Suite::value_variants() {
        if args.only.is_some_and(|only| only != *suite) {
            continue;
        }
        let mut bench = match suite {
            Suite::Compare => compare(args)?,
            Suite::Survive => {
                let mut survive = with_faults("survive", "release")?;
                if let Some(json) = &args.json {
                    survive.arg("--json").arg(std::path::absolute(json)?);
                }
                survive
            }
        };
        for part in &args.parts {
            bench.args(["--part", part]);
        }
        failed.extend(cargo::run(&mut bench).err());
    }
    failed.into_iter().next().map_or(Ok(()), Err)
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

/// What asks the server, and the components that it is asked about.
pub(crate) struct Load {
    program: PathBuf,
    oha: PathBuf,
    components: Vec<PathBuf>,
}

impl Load {
    /// Builds and installs all of it.
    ///
    /// # Errors
    /// When something cannot be built.
    pub(crate) fn build() -> anyhow::Result<Self> {
        Ok(Self {
            components: wasm::build_bench_guests()?,
            program: build_program("fanlight-bench", "fanlight-bench", "release")?,
            oha: OHA.install()?,
        })
    }

    /// The benchmarks' command of that name, on a server.
    ///
    /// # Errors
    /// When a component is missing.
    pub(crate) fn on(&self, server: &Path, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        command.arg("--server").arg(server).arg(name);
        command.arg("--oha").arg(&self.oha);
        for (flag, file) in [
            ("--usual", "bench_usual.wasm"),
            ("--plain", "bench_plain.wasm"),
            ("--varied", "bench_varied.wasm"),
        ] {
            let mut named = self.components.iter().filter(|path| path.ends_with(file));
            let component = named.next();
            let component = component.with_context(|| format!("cargo built no {file}"))?;
            command.arg(flag).arg(component);
        }
        Ok(command)
    }
}

/// Builds what is compared as it is shipped, and what it is compared with.
fn compare(args: &Args) -> anyhow::Result<Command> {
    let server = match args.profile == dist::PROFILE {
        true => dist::build()?,
        false => cargo::build_host(&args.profile)?,
    };
    let mut bench = Load::build()?.on(&server, "compare")?;
    if args.against.contains(&Peer::Hyper) {
        let program = build_program("fanlight-bench", "bare-hyper", &args.profile)?;
        bench.arg("--bare-hyper").arg(program);
    }
    if args.against.contains(&Peer::Instance) {
        let program = build_program("bare-instance", "bare-instance", &args.profile)?;
        bench.arg("--bare-instance").arg(program);
    }
    if args.against.contains(&Peer::Wasmtime) {
        bench.arg("--wasmtime").arg(WASMTIME.install()?);
    }
    if let Lookup::Found(collector) = OTELCOL.named_or_built(OTELCOL_VARIABLE)? {
        bench.arg("--collector").arg(collector);
    }
    bench.arg("--out").arg(out(args, &server)?);
    if args.quick {
        bench.arg("--quick");
    }
    Ok(bench)
}

/// Only what was measured whole, and of what is shipped, is for the documents.
fn out(args: &Args, server: &Path) -> anyhow::Result<PathBuf> {
    if let Some(out) = &args.out {
        return Ok(std::path::absolute(out)?);
    }
    let is_whole = !args.quick && args.parts.is_empty() && args.profile == dist::PROFILE;
    if is_whole
        && Peer::value_variants()
            .iter()
            .all(|it| args.against.contains(it))
    {
        return Ok(cargo::workspace().join("docs/bench"));
    }
    let folder = server.parent().context("the server has no place")?;
    Ok(folder.join("bench"))
}

/// What is tried with the example that does what a component should not.
fn with_faults(command: &str, profile: &str) -> anyhow::Result<Command> {
    let faults = wasm::build_faults()?;
    let server = cargo::build_host(profile)?;
    let mut bench = Command::new(build_program(
        "fanlight-bench",
        "fanlight-bench",
        "release",
    )?);
    bench.arg("--server").arg(server).arg(command);
    bench.arg("--faults").arg(faults);
    Ok(bench)
}

fn build_program(package: &str, name: &str, profile: &str) -> anyhow::Result<PathBuf> {
    let args = ["--package", package, "--bin", name, "--profile", profile];
    cargo::build(args)?
        .pop()
        .with_context(|| format!("cargo built no program called {name}"))
}
