//! `docs/reference/cli.md`, rendered from the command line itself.
//!
//! The test compares the file with what is rendered; `cargo xtask reference` runs it
//! with [`WRITE`] set, and so writes the file.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use crate::cli::Cli;

/// The variable that makes the test write the page instead of comparing it.
const WRITE: &str = "FANLIGHT_WRITE_REFERENCE";

const TITLE: &str = "\
# Command line

`cargo xtask reference` writes this page from the code: change the help texts in `host/cli/src`, not this file.
";

#[test]
fn the_reference_page_says_what_the_command_line_says() {
    // The tests of two checkouts may share a target directory, and so a program.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let path = package.join("../../docs/reference/cli.md");
    let page = page();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == page,
        "docs/reference/cli.md differs from --help: run `cargo xtask reference`"
    );
}

fn page() -> String {
    let mut page = TITLE.to_owned();
    for command in Cli::command().get_subcommands() {
        describe(command, &mut page);
    }
    page
}

/// Appends one command: its purpose, its flags by heading, the text below them.
fn describe(command: &Command, page: &mut String) {
    let about = command.get_about().map(ToString::to_string);
    let about = about.unwrap_or_default();
    let operands: String = command
        .get_positionals()
        .map(|arg| format!(" {}", shown(arg)))
        .collect();
    let name = command.get_name();
    writeln!(page, "\n## fanlight {name}\n\n{about}:\n").unwrap();
    writeln!(page, "```sh\nfanlight {name}{operands} [FLAGS]\n```").unwrap();
    let mut headings = Vec::new();
    for arg in command.get_arguments() {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        if let Some(heading) = heading {
            writeln!(page, "\n### {heading}").unwrap();
        }
        page.push_str("\n| flag | variable | default | meaning |\n|---|---|---|---|\n");
        let args = command.get_arguments();
        for arg in args.filter(|arg| arg.get_help_heading() == heading) {
            page.push_str(&row(arg));
        }
    }
    if let Some(notes) = command.get_after_long_help() {
        writeln!(page, "\n```text\n{notes}\n```").unwrap();
    }
}

fn row(arg: &Arg) -> String {
    let variable = arg
        .get_env()
        .map(|name| format!("`{}`", name.to_string_lossy()));
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    // A default that clap does not know stands at the end of the help.
    let (help, default) = match help.split_once(" [default: ") {
        Some((help, default)) => (help, default.trim_end_matches(']').to_owned()),
        None => (help.as_str(), default(arg)),
    };
    let values: Vec<_> = match takes_value(arg) {
        true => arg.get_possible_values(),
        false => Vec::new(),
    };
    let values: Vec<_> = values
        .iter()
        .map(|it| format!("`{}`", it.get_name()))
        .collect();
    let values = match values.is_empty() {
        true => String::new(),
        false => format!(". Values: {}", values.join(", ")),
    };
    format!(
        "| `{}` | {} | {default} | {help}{values} |\n",
        shown(arg),
        variable.unwrap_or_default()
    )
}

/// The default as the table shows it.
fn default(arg: &Arg) -> String {
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    match (takes_value(arg), defaults.is_empty()) {
        (false, _) => "off".to_owned(),
        (true, true) => String::new(),
        (true, false) => defaults.join(", "),
    }
}

/// The flag, or the operand, with its value.
fn shown(arg: &Arg) -> String {
    let id = arg.get_id().as_str().to_uppercase();
    let value = match arg.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => id,
    };
    match arg.get_long() {
        None => format!("<{value}>"),
        Some(long) if !takes_value(arg) => format!("--{long}"),
        Some(long) if arg.is_require_equals_set() => format!("--{long}[={value}]"),
        Some(long) => format!("--{long} {value}"),
    }
}

fn takes_value(arg: &Arg) -> bool {
    !matches!(arg.get_action(), ArgAction::SetTrue)
}
