//! Holds dependencies to `deny.toml`: licences, versions, sources, and advisories where
//! their database can be fetched.

use std::path::Path;
use std::process::Command;

use crate::cargo;
use crate::tool::Tool;

const CARGO_DENY: Tool = Tool {
    package: "cargo-deny",
    program: "cargo-deny",
    version: "0.20.2",
    // It runs for a second: to optimise it takes minutes.
    args: &["--debug"],
};

/// What is checked on every machine.
const ALWAYS: [&str; 3] = ["bans", "licenses", "sources"];

/// Checks the dependencies of the workspace.
///
/// # Errors
/// When one is not allowed or has an advisory, or cargo-deny cannot be had.
pub(crate) fn run() -> anyhow::Result<()> {
    let program = CARGO_DENY.install()?;
    // A version that is skipped for nothing is reported as one that is there twice.
    let always = ["check", "--deny", "unnecessary-skip"];
    cargo::run(deny(&program).args(always).args(ALWAYS))?;
    if let Err(error) = cargo::run(deny(&program).args(["fetch", "db"])) {
        eprintln!(
            "xtask: NOT CHECKED: advisories, for their database cannot be fetched: {error:#}"
        );
        return Ok(());
    }
    cargo::run(deny(&program).args(["check", "--disable-fetch", "advisories"]))
}

fn deny(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--locked").current_dir(cargo::workspace());
    // A host that cannot be reached is given up soon.
    command.env("GIT_HTTP_LOW_SPEED_LIMIT", "1");
    command.env("GIT_HTTP_LOW_SPEED_TIME", "30");
    command
}
