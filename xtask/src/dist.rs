//! The server as it is shipped: profile `dist`, and counts of where its code goes,
//! by which the compiler lays it out and inlines.
//!
//! The counts are not in the repository: a server is built that counts which of its
//! branches are taken, and is asked what the benchmarks ask. They are kept in the
//! cache for the versions in `Cargo.lock`, this compiler and this kind of machine;
//! code that changed since is optimised as it would be without them.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::bench::Load;
use crate::{cache, cargo};

/// The cargo profile.
pub(crate) const PROFILE: &str = "dist";

/// Counts may lag behind the code: the compiler does not warn of each function.
const QUIET: &str = "-Cllvm-args=-no-pgo-warn-mismatch";

/// Builds the server and gives its program. Makes the counts first where there are
/// none for these versions.
///
/// # Errors
/// When a build fails, or the counts cannot be made.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let counts = match kept(&folder()?, &versions()?)? {
        Some(counts) => counts,
        None => {
            eprintln!("xtask: no counts for these versions yet: making them, once");
            profile()?
        }
    };
    build_with(&format!("-Cprofile-use={} {QUIET}", counts.display()))
}

/// Builds the server without counts and gives its program.
///
/// # Errors
/// When the build fails.
pub(crate) fn build_without_profile() -> anyhow::Result<PathBuf> {
    cargo::build_host(PROFILE)
}

/// Counts anew, and gives the file.
///
/// # Errors
/// When a build or the load fails, or `wrk` or the toolchain's tools cannot be had.
pub(crate) fn profile() -> anyhow::Result<PathBuf> {
    let wrk = Command::new("wrk").arg("-v").stdout(Stdio::null()).status();
    // Before ten minutes of building. Its status is one for `-v`.
    wrk.context(
        "counting needs wrk (`apt install wrk`); `cargo xtask dist --without-profile` \
         builds without counts",
    )?;
    let profdata = profdata()?;
    let folder = folder()?;
    // A compiler that is counted as well, by its macros, writes elsewhere.
    let flag = format!("-Cprofile-generate={}", folder.join("other").display());
    let server = build_with(&flag)?;
    let load = Load::build()?;
    let work = tempfile::tempdir_in(&folder).context("cannot make a directory for counts")?;
    let raw = work.path().join("raw");
    let mut train = load.on(&server, "train")?;
    cargo::run(train.env("LLVM_PROFILE_FILE", raw.join("%p-%m.profraw")))?;
    let raw = fs::read_dir(&raw).context("the server has counted nothing")?;
    let raw: Vec<_> = raw
        .map(|file| Ok(file?.path()))
        .collect::<anyhow::Result<_>>()?;
    let merged = work.path().join("merged");
    let mut merge = Command::new(profdata);
    // Counts of zero stay in (no `--sparse`): the compiler moves what was never run
    // out of the way of what was.
    merge.args(["merge", "--output"]).arg(&merged);
    cargo::run(merge.args(raw))?;
    keep(&merged, &folder, &versions()?)
}

/// Where counts are kept.
fn folder() -> anyhow::Result<PathBuf> {
    let folder = cache::directory()?.join("profile");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// What counts depend on, as a part of a file's name: the versions in the lock file,
/// the compiler, and the kind of machine.
fn versions() -> anyhow::Result<String> {
    let lock = fs::read(cargo::workspace().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    Ok(digest(&(lock, rustc(&["-vV"])?)))
}

/// The counts that are there for these versions.
fn kept(folder: &Path, versions: &str) -> anyhow::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(versions) && name.ends_with(".profdata") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Keeps counts in place of the ones for the same versions. Their name tells their
/// content as well: cargo builds anew for a flag that has changed, not for a file.
fn keep(counts: &Path, folder: &Path, versions: &str) -> anyhow::Result<PathBuf> {
    let content = fs::read(counts).with_context(|| format!("cannot read {}", counts.display()))?;
    while let Some(before) = kept(folder, versions)? {
        fs::remove_file(before)?;
    }
    let kept = folder.join(format!("{versions}-{}.profdata", digest(&content)));
    fs::rename(counts, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
    Ok(kept)
}

fn digest(content: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
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

/// The kind of machine that this one is, in the compiler's words.
pub(crate) fn host() -> anyhow::Result<String> {
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
    use std::fs;

    use super::{keep, kept, versions};

    #[test]
    fn counts_of_other_versions_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("merged");
        fs::write(&made, "counts").unwrap();
        let counts = keep(&made, folder.path(), "these").unwrap();
        assert_eq!(fs::read(&counts).unwrap(), b"counts");
        assert_eq!(kept(folder.path(), "these").unwrap(), Some(counts));
        assert_eq!(kept(folder.path(), "those").unwrap(), None);
        assert_eq!(versions().unwrap(), versions().unwrap());
    }

    #[test]
    fn new_counts_replace_the_old_ones_by_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("merged");
        let [first, second] = ["one", "two"].map(|content| {
            fs::write(&made, content).unwrap();
            keep(&made, folder.path(), "these").unwrap()
        });
        assert_ne!(first, second);
        assert!(!first.exists());
        assert_eq!(kept(folder.path(), "these").unwrap(), Some(second));
    }
}
