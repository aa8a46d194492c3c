//! The commands that write what a package of the program ships with it: completions for
//! shells, and manual pages. Both are made from the definition of the command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _, ValueEnum};
use clap_complete::{aot, generate};

use crate::cli::{Cli, FAILED, failed};
use crate::help;

#[derive(Debug, Args)]
#[command(after_long_help = help::COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl CompletionsArgs {
    pub(crate) fn run(self) -> ExitCode {
        let script = self.shell.script(&mut Cli::command());
        let written = std::io::stdout().write_all(&script);
        done(written.context("cannot write the script"))
    }
}

impl Shell {
    fn script(self, command: &mut Command) -> Vec<u8> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        match self {
            Self::Bash => generate(aot::Bash, command, name, &mut script),
            Self::Fish => generate(aot::Fish, command, name, &mut script),
            Self::Zsh => generate(aot::Zsh, command, name, &mut script),
        }
        script
    }
}

#[derive(Debug, Args)]
#[command(after_long_help = help::MAN)]
pub(crate) struct ManArgs {
    /// The folder that gets the pages; it is made if there is none
    folder: PathBuf,
}

impl ManArgs {
    pub(crate) fn run(self) -> ExitCode {
        let folder = &self.folder;
        let written = pages(folder);
        done(written.with_context(|| format!("cannot write pages to {}", folder.display())))
    }
}

/// Writes a page for the program, and one for each command.
fn pages(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let command = Cli::command().disable_help_subcommand(true);
    let name = command.get_name().to_owned();
    let names = command
        .get_subcommands()
        .map(|it| format!("{name}-{}.1", it.get_name()));
    let names: Vec<_> = names.chain([format!("{name}.1")]).collect();
    clap_mangen::generate_to(command, folder)?;
    for name in names {
        let path = folder.join(name);
        let page = std::fs::read_to_string(&path)?;
        std::fs::write(&path, with_tables(&page))?;
    }
    Ok(())
}

/// Keeps the lines of the text below the flags as they are: there are tables in it.
fn with_tables(page: &str) -> String {
    const EXTRA: &str = "\n.SH EXTRA\n";
    let Some((before, text)) = page.split_once(EXTRA) else {
        return page.to_owned();
    };
    let end = text.find("\n.SH ").map_or(text.len(), |at| at + 1);
    let (text, after) = text.split_at(end);
    format!(
        "{before}\n.SH NOTES\n.nf\n{}\n.fi\n{after}",
        text.trim_end()
    )
}

fn done(written: anyhow::Result<()>) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, FAILED),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command as Program, Stdio};

    use super::*;

    /// Runs a program on some input; none where this machine does not have it. Gives
    /// back whether it succeeded and what it said on standard error.
    fn run(name: &str, arguments: &[&str], input: &[u8]) -> Option<(bool, String)> {
        let mut program = Program::new(name);
        program.args(arguments).stdin(Stdio::piped());
        let mut child = program
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Some((output.status.success(), said))
    }

    #[test]
    fn each_shell_takes_its_script_which_has_commands_and_flags() {
        for (shell, check) in [
            (Shell::Bash, ["bash", "-n"]),
            (Shell::Zsh, ["zsh", "-n"]),
            (Shell::Fish, ["fish", "--no-execute"]),
        ] {
            let script = shell.script(&mut Cli::command());
            let text = String::from_utf8(script.clone()).unwrap();
            for word in ["rollback", "max-instances", "admin-url"] {
                assert!(text.contains(word), "{word}: {shell:?}");
            }
            match run(check[0], &check[1..], &script) {
                Some(outcome) => assert_eq!(outcome, (true, String::new()), "{shell:?}"),
                // Bash is on every machine that has run these tests.
                None => assert_ne!(shell, Shell::Bash),
            }
        }
    }

    #[test]
    fn each_command_has_a_page_that_renders_without_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("share/man1");
        pages(&folder).unwrap();
        let commands = Cli::command();
        let names = commands.get_subcommands().map(Command::get_name);
        let mut files: Vec<_> = names.map(|it| format!("fanlight-{it}.1")).collect();
        files.push("fanlight.1".to_owned());
        for file in files {
            let page = std::fs::read(folder.join(&file)).unwrap();
            let checks = ["-man", "-Tutf8", "-ww", "-z"];
            let Some(outcome) = run("groff", &checks, &page) else {
                continue;
            };
            assert_eq!(outcome, (true, String::new()), "{file}");
        }
        let serve = std::fs::read_to_string(folder.join("fanlight-serve.1")).unwrap();
        assert!(serve.contains("\n.SH NOTES\n.nf\n"), "{serve}");
        for words in ["Exit codes", "FANLIGHT_MAX_INSTANCES", "fanlight.toml"] {
            assert!(serve.contains(words), "{words}");
        }
    }
}
