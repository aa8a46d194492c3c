//! Programs written in Go that the tests ask: pinned versions, each built once,
//! kept outside the checkout.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::{cache, cargo};

/// A program that Go builds.
pub(crate) struct Program {
    /// What it is called, for people.
    pub(crate) name: &'static str,
    /// Its file in the cache.
    pub(crate) file: &'static str,
    /// The version that is pinned.
    pub(crate) version: &'static str,
    /// Whether the program that is there is the pinned one.
    pub(crate) is_current: fn(&Path) -> bool,
    /// Builds it in the directory given and tells where it is.
    pub(crate) build: fn(&Path) -> anyhow::Result<PathBuf>,
}

impl Program {
    /// Gives the program, building it when it is not there. `None` when it is not
    /// there and Go is not either.
    ///
    /// # Errors
    /// When it cannot be built.
    pub(crate) fn find_or_build(&self) -> anyhow::Result<Option<PathBuf>> {
        let program = cache::program(self.file)?;
        if (self.is_current)(&program) {
            return Ok(Some(program));
        }
        if !is_installed() {
            return Ok(None);
        }
        self.build_to(&program)
            .with_context(|| format!("cannot build {} {}", self.name, self.version))?;
        Ok(Some(program))
    }

    /// Gives the program that a variable names, or else this one as
    /// [`find_or_build`](Self::find_or_build) does.
    ///
    /// # Errors
    /// When it cannot be built.
    pub(crate) fn named_or_built(&self, variable: &str) -> anyhow::Result<Option<PathBuf>> {
        match std::env::var_os(variable).filter(|it| !it.is_empty()) {
            Some(path) => Ok(Some(path.into())),
            None => self.find_or_build(),
        }
    }

    /// Gives the program, building it when it is not there.
    ///
    /// # Errors
    /// When it cannot be built, or Go is not installed.
    pub(crate) fn require(&self) -> anyhow::Result<PathBuf> {
        let Self { name, version, .. } = self;
        self.find_or_build()?
            .with_context(|| format!("{name} {version} is built with Go: install Go first"))
    }

    fn build_to(&self, program: &Path) -> anyhow::Result<()> {
        let Self { name, version, .. } = self;
        eprintln!("xtask: building {name} {version}: once, in about ten minutes");
        let bin = program.parent().context("the cache has no directory")?;
        std::fs::create_dir_all(bin).with_context(|| format!("cannot make {}", bin.display()))?;
        let work = tempfile::tempdir_in(bin).context("cannot make a directory to build in")?;
        let built = (self.build)(work.path())?;
        // Renamed when it is whole, so that nobody runs half a program.
        std::fs::rename(&built, program)
            .with_context(|| format!("cannot put it to {}", program.display()))
    }
}

/// Go as it is installed: it must not fetch another version of itself.
pub(crate) fn go() -> Command {
    let mut go = Command::new("go");
    go.env("GOTOOLCHAIN", "local");
    go
}

/// Makes an empty module: outside any, Go would not say where it puts one.
///
/// # Errors
/// When Go does not.
pub(crate) fn empty_module(directory: &Path) -> anyhow::Result<()> {
    cargo::run(
        go().args(["mod", "init", "fetch"])
            .current_dir(directory)
            .stderr(Stdio::null()),
    )
}

fn is_installed() -> bool {
    let version = go().arg("version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}
