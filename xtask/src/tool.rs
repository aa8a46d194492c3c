//! Programs that cargo installs: pinned versions, each once, kept outside the
//! checkout.

use std::path::PathBuf;
use std::process::Command;

use crate::{cache, cargo};

/// A program that a crate has.
pub(crate) struct Tool {
    /// The crate.
    pub(crate) package: &'static str,
    /// The program, which says its name and version by `--version`.
    pub(crate) program: &'static str,
    /// The version that is pinned.
    pub(crate) version: &'static str,
    /// More for `cargo install`.
    pub(crate) args: &'static [&'static str],
}

impl Tool {
    /// Gives the program, installing it when it is not there.
    ///
    /// # Errors
    /// When it cannot be installed.
    pub(crate) fn install(&self) -> anyhow::Result<PathBuf> {
        let Self {
            package,
            program: name,
            version,
            args,
        } = self;
        let program = cache::program(name)?;
        // Some commands of cargo take their own name first, as cargo gives it to them.
        let as_command = name.strip_prefix("cargo-");
        let is_current = [None, as_command].iter().any(|first| {
            let mut asked = Command::new(&program);
            let said = asked.args(*first).arg("--version").output();
            said.is_ok_and(|output| {
                let said = String::from_utf8_lossy(&output.stdout);
                // Some add when they were built.
                said.split_whitespace().nth(1) == Some(version)
            })
        });
        if !is_current {
            eprintln!("xtask: installing {package} {version}: once");
            let mut install = cargo::cargo();
            install
                .args(["install", package, "--locked", "--force"])
                .args(["--version", version])
                .args(*args)
                .arg("--root")
                .arg(cache::directory()?)
                .env_remove("CARGO_TARGET_DIR");
            cargo::run(&mut install)?;
        }
        Ok(program)
    }
}
