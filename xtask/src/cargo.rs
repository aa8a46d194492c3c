//! Cargo as a program: what to build, and where it put it. Paths are cargo's own
//! word, so that `CARGO_TARGET_DIR` and configuration files are honoured.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

/// Makes a cargo command that runs at the top of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    // Cargo told this program about its own package. A build script that asks
    // for these (ring's does) would take the answer for a change and have half
    // of the tree built again, here and by the next cargo outside.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// The top of the workspace that this program was run from: two checkouts that
/// share a target directory share the program as well.
pub(crate) fn workspace() -> PathBuf {
    let run_from = std::env::var_os("CARGO_MANIFEST_DIR");
    let xtask = run_from.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    xtask.parent().map_or_else(|| xtask.clone(), PathBuf::from)
}

/// Runs a command to its end.
///
/// # Errors
/// When it does not start, or fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// Builds with these arguments and lists the files that cargo made, or had made
/// already: programs and components.
///
/// # Errors
/// When the build fails; cargo has said why.
pub(crate) fn build<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
) -> anyhow::Result<Vec<PathBuf>> {
    build_with(args, &[])
}

/// The same with variables set.
///
/// # Errors
/// When the build fails; cargo has said why.
pub(crate) fn build_with<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
    variables: &[(&str, &str)],
) -> anyhow::Result<Vec<PathBuf>> {
    let mut command = cargo();
    command
        .arg("build")
        .args(args)
        .envs(variables.iter().copied())
        .arg("--message-format=json-render-diagnostics");
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", shown(&command)))?;
    if !output.status.success() {
        bail!("{} failed ({})", shown(&command), output.status);
    }
    let messages = String::from_utf8(output.stdout).context("cargo's messages are not UTF-8")?;
    let mut files = Vec::new();
    for line in messages.lines() {
        let message: Message = serde_json::from_str(line)
            .with_context(|| format!("cargo's message is not understood: {line}"))?;
        if message.reason == "compiler-artifact" {
            files.extend(message.executable);
            files.extend(
                message
                    .filenames
                    .into_iter()
                    .filter(|it| it.extension() == Some("wasm".as_ref())),
            );
        }
    }
    Ok(files)
}

/// Builds the server by a profile of cargo's and gives its program.
///
/// # Errors
/// When the build fails.
pub(crate) fn build_host(profile: &str) -> anyhow::Result<PathBuf> {
    build([
        "--package",
        "fanlight",
        "--bin",
        "fanlight",
        "--profile",
        profile,
    ])?
    .pop()
    .context("cargo built no program called fanlight")
}

/// Writes a command as one would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::{cargo, shown, workspace};

    #[test]
    fn cargo_runs_at_the_top_of_the_workspace() {
        assert!(workspace().join("rust-toolchain.toml").is_file());
        assert_eq!(cargo().get_current_dir(), Some(workspace().as_path()));
    }

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = std::process::Command::new("go");
        assert_eq!(
            shown(command.args(["build", "-C", "/tmp"])),
            "go build -C /tmp"
        );
    }
}
