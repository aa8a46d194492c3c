//! Programs written in Go that the tests ask: pinned versions, each built once,
//! kept outside the checkout.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::{cache, cargo};

/// A program that Go builds.
pub(crate) struct Program {
    /// What it is called, for people.
    pub(crate) name: &'static str,
    /// Its file in the cache.
    pub(crate) file: &'static str,
    /// The version that is pinned.
    pub(crate) version: &'static str,
    /// The oldest Go that builds it: its module says so.
    pub(crate) oldest_go: [u32; 3],
    /// Whether the program that is there is the pinned one.
    pub(crate) is_current: fn(&Path) -> bool,
    /// Builds it in the directory given and tells where it is.
    pub(crate) build: fn(&Path) -> anyhow::Result<PathBuf>,
}

/// A program, or why this machine has none.
pub(crate) enum Lookup {
    /// It is here.
    Found(PathBuf),
    /// It is not there, and Go is not there to build it, or is too old.
    Missing(String),
}

impl Program {
    /// Gives the program, building it when it is not there and Go is.
    ///
    /// # Errors
    /// When it cannot be built.
    pub(crate) fn find_or_build(&self) -> anyhow::Result<Lookup> {
        let program = cache::program(self.file)?;
        if (self.is_current)(&program) {
            return Ok(Lookup::Found(program));
        }
        if let Some(lack) = lack(installed().as_deref(), self.oldest_go) {
            return Ok(Lookup::Missing(lack));
        }
        self.build_to(&program)
            .with_context(|| format!("cannot build {} {}", self.name, self.version))?;
        Ok(Lookup::Found(program))
    }

    /// Gives the program that a variable names, or else this one as
    /// [`find_or_build`](Self::find_or_build) does.
    ///
    /// # Errors
    /// When it cannot be built.
    pub(crate) fn named_or_built(&self, variable: &str) -> anyhow::Result<Lookup> {
        match std::env::var_os(variable).filter(|it| !it.is_empty()) {
            Some(path) => Ok(Lookup::Found(path.into())),
            None => self.find_or_build(),
        }
    }

    /// Gives the program, building it when it is not there.
    ///
    /// # Errors
    /// When it cannot be built, or Go is not installed or too old.
    pub(crate) fn require(&self) -> anyhow::Result<PathBuf> {
        let Self { name, version, .. } = self;
        match self.find_or_build()? {
            Lookup::Found(program) => Ok(program),
            Lookup::Missing(lack) => bail!("{name} {version} is built with Go: {lack}"),
        }
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

/// What `go version` says; none where Go is not installed.
fn installed() -> Option<String> {
    let output = go().arg("version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(said)
}

/// Why the Go that says this of itself does not build a program; none where it does.
fn lack(said: Option<&str>, oldest: [u32; 3]) -> Option<String> {
    let needs = oldest.map(|part| part.to_string()).join(".");
    let Some(said) = said else {
        return Some(format!("needs Go {needs} or newer, and none is installed"));
    };
    let word = said.split_whitespace().nth(2).unwrap_or_default();
    let version = word.strip_prefix("go").unwrap_or(word);
    // What is built from source names no version: it is tried.
    let parts = numbers(version)?;
    (parts < oldest).then(|| format!("needs Go {needs} or newer, this is {version}"))
}

/// The numbers of `1.22`, `1.24.6` or `1.26rc1`.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    for (at, part) in version.splitn(3, '.').enumerate() {
        let end = part.find(|it: char| !it.is_ascii_digit());
        let digits = part.get(..end.unwrap_or(part.len()))?;
        *numbers.get_mut(at)? = digits.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::lack;

    const OLDEST: [u32; 3] = [1, 24, 6];

    #[test]
    fn a_go_that_is_missing_or_too_old_is_named_with_what_is_needed() {
        assert_eq!(
            lack(None, OLDEST).unwrap(),
            "needs Go 1.24.6 or newer, and none is installed"
        );
        assert_eq!(
            lack(Some("go version go1.22 linux/amd64"), OLDEST).unwrap(),
            "needs Go 1.24.6 or newer, this is 1.22"
        );
        assert!(lack(Some("go version go1.24.5 linux/arm64"), OLDEST).is_some());
    }

    #[test]
    fn a_go_that_is_new_enough_lacks_nothing() {
        for version in ["go1.24.6", "go1.25", "go1.26rc1", "go2.0.0", "devel"] {
            let said = format!("go version {version} linux/amd64");
            assert_eq!(lack(Some(&said), OLDEST), None, "{version}");
        }
    }
}
