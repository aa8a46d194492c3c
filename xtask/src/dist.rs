//! The server as it is shipped: profile `dist`, with what the optimiser is told
//! of how it runs.
//!
//! `cargo xtask profile` has a server count which of its branches are taken while
//! it is asked what the benchmarks ask, and writes the counts to the repository,
//! as Go has it with `default.pgo`. They fit the versions in `Cargo.lock` and this
//! compiler on this kind of machine; code that changed since is optimised as it
//! would be without them. The Dockerfile builds in the same way.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::bench::Load;
use crate::{cache, cargo};

/// The cargo profile.
pub(crate) const PROFILE: &str = "dist";
/// The counts, as they are committed.
const COUNTS: &str = "host/dist.profdata";

/// Counts may lag behind the code: the compiler is not to tell of each function.
const QUIET: &str = "-Cllvm-args=-no-pgo-warn-mismatch";

/// Builds the server and gives its program.
///
/// # Errors
/// When the build fails.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let counts = cargo::workspace().join(COUNTS);
    let counts = named_by_content(&counts)?;
    build_with(&format!("-Cprofile-use={} {QUIET}", counts.display()))
}

/// Counts anew, and writes what is to be committed.
///
/// # Errors
/// When a build or the load fails, or the toolchain's tools cannot be had.
pub(crate) fn profile() -> anyhow::Result<()> {
    let profdata = profdata()?;
    let folder = cache::directory()?.join("profile");
    // A compiler that is counted as well, by its macros, writes elsewhere.
    let flag = format!("-Cprofile-generate={}", folder.join("other").display());
    let server = build_with(&flag)?;
    let load = Load::build()?;
    let raw = folder.join("raw");
    if raw.exists() {
        fs::remove_dir_all(&raw)?;
    }
    let mut train = load.on(&server, "train")?;
    cargo::run(train.env("LLVM_PROFILE_FILE", raw.join("%p-%m.profraw")))?;
    let counts = cargo::workspace().join(COUNTS);
    let raw = fs::read_dir(&raw).context("the server has counted nothing")?;
    let raw: Vec<_> = raw
        .map(|file| Ok(file?.path()))
        .collect::<anyhow::Result<_>>()?;
    let mut merge = Command::new(profdata);
    // Counts of zero stay in (no `--sparse`): the compiler moves what was never run
    // out of the way of what was.
    merge.args(["merge", "--output"]).arg(&counts);
    cargo::run(merge.args(raw))?;
    println!("{}", counts.display());
    Ok(())
}

/// Named for the target, or the flags would count build scripts and macros too.
fn build_with(flag: &str) -> anyhow::Result<PathBuf> {
    let flags = match std::env::var("RUSTFLAGS") {
        Ok(flags) => format!("{flags} {flag}"),
        Err(_) => flag.to_owned(),
    };
    let host = host()?;
    let args = [
        "--locked",
        "--package",
        "fanlight",
        "--bin",
        "fanlight",
        "--profile",
        PROFILE,
        "--target",
        &host,
    ];
    cargo::build_with(args, &[("RUSTFLAGS", &flags)])?
        .pop()
        .context("cargo built no program called fanlight")
}

/// A copy that is named by what is in it: cargo builds anew for a flag that has
/// changed, not for a file that has.
fn named_by_content(counts: &Path) -> anyhow::Result<PathBuf> {
    let content = fs::read(counts).with_context(|| format!("cannot read {}", counts.display()))?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let folder = cache::directory()?.join("profile");
    fs::create_dir_all(&folder)?;
    let copy = folder.join(format!("{:016x}.profdata", hasher.finish()));
    if !copy.exists() {
        fs::write(&copy, content)?;
    }
    Ok(copy)
}

/// The kind of machine that this one is, in the compiler's words.
fn host() -> anyhow::Result<String> {
    rustc(&["--print", "host-tuple"])
}

/// The tool that merges counts, of the toolchain itself.
fn profdata() -> anyhow::Result<PathBuf> {
    let sysroot = PathBuf::from(rustc(&["--print", "sysroot"])?);
    let bin = sysroot.join("lib/rustlib").join(host()?).join("bin");
    let tool = bin.join(format!("llvm-profdata{}", std::env::consts::EXE_SUFFIX));
    if !tool.exists() {
        eprintln!("xtask: adding llvm-tools to the toolchain");
        let mut rustup = Command::new("rustup");
        rustup
            .args(["component", "add", "llvm-tools"])
            .current_dir(cargo::workspace());
        cargo::run(&mut rustup)?;
    }
    Ok(tool)
}

fn rustc(args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("rustc")
        .args(args)
        .current_dir(cargo::workspace())
        .output()
        .context("cannot run rustc")?;
    ensure!(output.status.success(), "rustc {args:?} failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{COUNTS, named_by_content};
    use crate::cargo;

    #[test]
    fn counts_are_committed_and_other_counts_have_another_name() {
        let committed = cargo::workspace().join(COUNTS);
        assert!(committed.is_file());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("counts");
        let mut names = [b"one", b"two"].map(|content| {
            std::fs::write(&file, content).unwrap();
            let copy = named_by_content(&file).unwrap();
            assert_eq!(std::fs::read(&copy).unwrap(), content);
            std::fs::remove_file(&copy).unwrap();
            copy
        });
        names.sort();
        assert_ne!(names[0], names[1]);
    }
}
