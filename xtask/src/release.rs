//! What a release ships for this platform: an archive with the program, its manual pages
//! and completions, the licences of what it is built with, and a list of these (SBOM);
//! checksums beside it.

mod archive;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use toml::de::{DeTable, DeValue};

use crate::package::{self, copy_workspace, metadata};
use crate::tool::Tool;
use crate::{cargo, dist};

const CARGO_ABOUT: Tool = Tool {
    package: "cargo-about",
    program: "cargo-about",
    version: "0.9.3",
    // Optimised: without, it compares texts for an hour.
    args: &["--features", "cli"],
};
const CARGO_CYCLONEDX: Tool = Tool {
    package: "cargo-cyclonedx",
    program: "cargo-cyclonedx",
    version: "0.5.9",
    // It runs for seconds: to optimise it takes minutes.
    args: &["--debug"],
};

/// The texts of licences, with what they apply to.
const LICENSES_TEMPLATE: &str = include_str!("release/licenses.hbs");
/// The package of the program.
const PACKAGE: &str = "fanlight";
/// Its manifest.
const MANIFEST: &str = "host/cli/Cargo.toml";
/// What cargo-cyclonedx writes beside the manifest.
const SBOM: &str = "host/cli/fanlight_bin.cdx.json";
/// Files of the checkout that stand in the archive.
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// `cargo xtask release`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ship this program instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Build without counts of where the code goes
    #[arg(long, conflicts_with = "program")]
    without_profile: bool,
    /// Do not package the crates and build them from their packages first
    #[arg(long)]
    skip_packages: bool,
}

/// Makes the archive, and prints where.
///
/// # Errors
/// When a part of it cannot be made.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !args.skip_packages {
        package::run(package::Check::Whole)?;
    }
    let program = match &args.program {
        Some(program) => std::path::absolute(program)?,
        None if args.without_profile => dist::build_without_profile()?,
        None => dist::build()?,
    };
    let metadata = metadata()?;
    let package = metadata.packages.iter().find(|it| it.name == PACKAGE);
    let version = &package.context("cargo does not know the package")?.version;
    let said = output(Command::new(&program).arg("--version"))?;
    ensure!(
        said.trim() == format!("{PACKAGE} {version}"),
        "{} is of another version: {said}",
        program.display()
    );
    let target = dist::host()?;
    let seconds = commit_time()?;
    let name = format!("{PACKAGE}-{version}-{target}");
    let releases = metadata.target_directory.join("releases");
    let folder = releases.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    fs::copy(&program, folder.join(PACKAGE))
        .with_context(|| format!("cannot copy {}", program.display()))?;
    for document in DOCUMENTS {
        fs::copy(cargo::workspace().join(document), folder.join(document))?;
    }
    generated(&program, &folder)?;
    let work = tempfile::tempdir_in(&releases).context("cannot make a directory to work in")?;
    let licenses = folder.join("THIRD-PARTY-LICENSES.txt");
    third_party_licenses(&target, work.path(), &licenses)?;
    let sbom = folder.join("fanlight.cdx.json");
    bill_of_materials(&target, seconds, work.path(), &sbom)?;

    let archive = releases.join(format!("{name}.tar.gz"));
    archive::pack(&folder, &archive, seconds)?;
    let sums = releases.join(format!("{name}.sha256"));
    fs::write(&sums, archive::checksum(&archive)?)?;
    println!("{}\n{}", archive.display(), sums.display());
    Ok(())
}

/// Has the program write its manual pages and completions.
fn generated(program: &Path, folder: &Path) -> anyhow::Result<()> {
    cargo::run(
        Command::new(program)
            .arg("man")
            .arg(folder.join("man/man1")),
    )?;
    let completions = folder.join("completions");
    fs::create_dir(&completions)?;
    for (shell, file) in [
        ("bash", "fanlight.bash"),
        ("fish", "fanlight.fish"),
        ("zsh", "_fanlight"),
    ] {
        let script = output(Command::new(program).args(["completions", shell]))?;
        fs::write(completions.join(file), script)?;
    }
    Ok(())
}

/// Writes the licences of all that the program is built with. One that deny.toml does
/// not allow is an error.
fn third_party_licenses(target: &str, work: &Path, to: &Path) -> anyhow::Result<()> {
    let program = CARGO_ABOUT.install()?;
    let denied = fs::read_to_string(cargo::workspace().join("deny.toml"))?;
    let (config, template) = (work.join("about.toml"), work.join("licenses.hbs"));
    fs::write(&config, about_config(&denied, target)?)?;
    fs::write(&template, LICENSES_TEMPLATE)?;
    let mut about = Command::new(program);
    about
        .args(["generate", "--locked", "--offline", "--fail"])
        .args(["--manifest-path", MANIFEST, "--config"])
        .arg(&config)
        .arg("--output-file")
        .arg(to)
        .arg(&template)
        .current_dir(cargo::workspace());
    cargo::run(&mut about)
}

/// The configuration of cargo-about that accepts the licences that deny.toml allows.
fn about_config(denied: &str, target: &str) -> anyhow::Result<String> {
    let table = DeTable::parse(denied).context("deny.toml is not understood")?;
    let licenses = table.get_ref().get("licenses").map(|it| it.get_ref());
    let allowed = match licenses {
        Some(DeValue::Table(licenses)) => licenses.get("allow").map(|it| it.get_ref()),
        _ => None,
    };
    let Some(DeValue::Array(allowed)) = allowed else {
        anyhow::bail!("deny.toml has no licenses.allow");
    };
    let allowed = allowed.iter().filter_map(|it| match it.get_ref() {
        DeValue::String(name) => Some(format!("    {name:?},\n")),
        _ => None,
    });
    let allowed: String = allowed.collect();
    // Licences stand at the top of a crate; to compare its code with theirs takes long.
    Ok(format!(
        "accepted = [\n{allowed}]\ntargets = [{target:?}]\nmax-depth = 1\n\
         ignore-build-dependencies = true\nignore-dev-dependencies = true\n\n\
         [private]\nignore = true\n"
    ))
}

/// Writes the list of what the program is built with, as CycloneDX. The tool writes into
/// the workspace, so it gets a copy, whose place the list does not name.
fn bill_of_materials(target: &str, seconds: u64, work: &Path, to: &Path) -> anyhow::Result<()> {
    let program = CARGO_CYCLONEDX.install()?;
    let copy = work.join("workspace");
    copy_workspace(&copy)?;
    let mut cyclonedx = Command::new(program);
    cyclonedx
        .args(["cyclonedx", "--manifest-path", MANIFEST])
        .args(["--format", "json", "--spec-version", "1.5"])
        .args(["--describe", "binaries", "--no-build-deps"])
        .args(["--target", target])
        // What it does not know the licence of by an expression it says on each run.
        .arg("-qq")
        .env("SOURCE_DATE_EPOCH", seconds.to_string())
        .current_dir(&copy);
    cargo::run(&mut cyclonedx)?;
    let list = fs::read_to_string(copy.join(SBOM)).context("cargo-cyclonedx wrote no list")?;
    let place = format!("path+file://{}", copy.display());
    fs::write(to, list.replace(&place, "path+file://"))?;
    Ok(())
}

/// When the commit was made: the time of all files.
fn commit_time() -> anyhow::Result<u64> {
    let mut log = Command::new("git");
    log.args(["log", "-1", "--format=%ct"])
        .current_dir(cargo::workspace());
    let seconds = output(&mut log)?;
    seconds.trim().parse().context("git names no time")
}

/// What a program writes to standard output.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        command.get_program().to_string_lossy(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_that_are_allowed_are_those_of_deny_toml() {
        let denied = fs::read_to_string(cargo::workspace().join("deny.toml")).unwrap();
        let config = about_config(&denied, "x86_64-unknown-linux-gnu").unwrap();
        let config = DeTable::parse(&config).unwrap();
        let DeValue::Array(accepted) = config.get_ref()["accepted"].get_ref() else {
            panic!("{config:?}");
        };
        let names: Vec<_> = accepted
            .iter()
            .filter_map(|it| match it.get_ref() {
                DeValue::String(name) => Some(name.as_ref()),
                _ => None,
            })
            .collect();
        assert!(names.contains(&"Apache-2.0 WITH LLVM-exception"));
        assert_eq!(names.len(), accepted.len());
        assert!(about_config("[licenses]\n", "any").is_err());
    }
}
