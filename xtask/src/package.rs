//! Packages the crates that are published, and compiles what is in their packages in
//! place of what is in the checkout.
//!
//! They are compiled in a copy of the workspace, so that features, versions and profiles
//! are the workspace's own and what they depend on is compiled already. `cargo package`
//! by itself builds each from nothing, which takes half an hour.

mod sdk;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::cargo;

/// The crates that are published, and their folders.
const PACKAGES: [(&str, &str); 5] = [
    ("fanlight-relink", "host/relink"),
    ("fanlight-telemetry", "host/telemetry"),
    ("fanlight-viewer", "host/viewer"),
    ("fanlight-server", "host/server"),
    ("fanlight", "host/cli"),
];

/// What each package has to hold beside its code.
const REQUIRED: [&str; 3] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// The features that .ci/run runs the lints with: with them, and all targets, every
/// dependency is compiled already.
const LINTED_FEATURES: &str = "fanlight-server/benchmarks,fanlight-instructions/benchmarks";

/// How packages are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// With what the workspace has compiled.
    Quick,
    /// As `cargo publish` does, too: from nothing.
    Whole,
}

/// Packages the crates and checks what came of it.
///
/// # Errors
/// When a package cannot be made, lacks a file, or does not compile.
pub(crate) fn run(check: Check) -> anyhow::Result<()> {
    sdk::run()?;
    let mut package = cargo::cargo();
    package.args(["package", "--locked", "--allow-dirty"]);
    if check == Check::Quick {
        package.arg("--no-verify");
    }
    for (name, _) in PACKAGES {
        package.args(["--package", name]);
    }
    cargo::run(&mut package)?;
    let Metadata {
        target_directory,
        packages,
    } = metadata()?;
    let made = target_directory.join("package");
    let copy = made.join("workspace");
    copy_workspace(&copy)?;
    for (name, folder) in PACKAGES {
        let version = packages.iter().find(|it| it.name == name);
        let version = &version.context("cargo does not know it")?.version;
        let unpacked = copy.join(folder);
        let file = made.join(format!("{name}-{version}.crate"));
        unpack(&file, &unpacked).with_context(|| format!("cannot unpack {}", file.display()))?;
        for required in REQUIRED {
            let is_there = unpacked.join(required).is_file();
            ensure!(is_there, "{required} is not in {}", file.display());
        }
    }
    patch(&copy.join("Cargo.toml"))?;
    let mut check = cargo::cargo();
    check
        .args(["check", "--workspace", "--all-targets", "--offline"])
        .args(["--features", LINTED_FEATURES])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", &target_directory);
    cargo::run(&mut check)?;
    for (name, _) in PACKAGES {
        eprintln!("xtask: {name} is packaged, and compiles from its package");
    }
    Ok(())
}

/// What cargo says of the workspace.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) target_directory: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Asks cargo about the workspace.
///
/// # Errors
/// When it does not answer.
pub(crate) fn metadata() -> anyhow::Result<Metadata> {
    let mut metadata = cargo::cargo();
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = metadata.output().context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed");
    serde_json::from_slice(&output.stdout).context("cargo's metadata is not understood")
}

/// Copies what git knows of the workspace, and what it would add.
///
/// # Errors
/// When git does not list the files, or one cannot be copied.
pub(crate) fn copy_workspace(to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot clear {}", to.display()))?;
    }
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others"])
        .arg("--exclude-standard")
        .current_dir(cargo::workspace());
    let listed = list.output().context("cannot run git")?;
    ensure!(listed.status.success(), "git does not list the files");
    let listed = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
    for name in listed.split_terminator('\0') {
        let from = cargo::workspace().join(name);
        // It may have been removed.
        let Ok(kind) = fs::symlink_metadata(&from) else {
            continue;
        };
        let to = to.join(name);
        let folder = to.parent().context("a file without a folder")?;
        fs::create_dir_all(folder)?;
        if kind.is_symlink() {
            // Relative, as all of them are: it names the copy.
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
            continue;
        }
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// Unpacks a package in place of a folder.
fn unpack(file: &Path, folder: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(folder)?;
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(file)?));
    // Their times are always the same, by which cargo would take them for compiled.
    archive.set_preserve_mtime(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        // Below a folder of the package's name and version.
        let path: PathBuf = entry.path()?.components().skip(1).collect();
        let to = folder.join(path);
        fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        entry.unpack(to)?;
    }
    Ok(())
}

/// Has packages that depend on one another by version find each other.
fn patch(manifest: &Path) -> anyhow::Result<()> {
    let mut text = fs::read_to_string(manifest)?;
    text.push_str("\n[patch.crates-io]\n");
    for (name, folder) in PACKAGES {
        text.push_str(&format!("{name} = {{ path = {folder:?} }}\n"));
    }
    fs::write(manifest, text).with_context(|| format!("cannot write {}", manifest.display()))
}
