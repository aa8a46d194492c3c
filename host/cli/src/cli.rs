//! The command line: raw arguments become resolved configuration, and errors
//! become exit codes.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::client::{ClientArgs, HealthArgs, SwapArgs};
use crate::commands::compile::CompileArgs;
use crate::commands::componentize::ComponentizeArgs;
use crate::commands::dev::DevArgs;
use crate::commands::generate::{CompletionsArgs, ManArgs};
use crate::commands::inspect::InspectArgs;
use crate::commands::logs::LogsArgs;
use crate::commands::new::NewArgs;
use crate::commands::serve::ServeArgs;
use crate::commands::trace::TraceArgs;
use crate::commands::traces::TracesArgs;
use crate::config_file::{self, Refusal};
use crate::help;
use crate::log::LogFormat;
use crate::variables;

/// Exit code of a run that failed.
pub(crate) const FAILED: u8 = 1;
/// Exit code of bad use: flags, environment, a component that cannot be served.
pub(crate) const BAD_USE: u8 = 2;

/// Serves WebAssembly components over HTTP and lets you see inside them.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a component
    Serve(Box<ServeArgs>),
    /// Has a running server serve another component
    Swap(SwapArgs),
    /// Has a running server serve the previous component again
    Rollback(ClientArgs),
    /// Sends a request and prints its trace, or prints a trace of a running server
    #[command(after_long_help = help::TRACE)]
    Trace(Box<TraceArgs>),
    /// Lists the recent traces of a running server
    #[command(after_long_help = help::TRACES)]
    Traces(TracesArgs),
    /// Prints the log records of a running server
    #[command(after_long_help = help::LOGS)]
    Logs(LogsArgs),
    /// Compiles a component ahead of time, so that `serve` starts at once
    Compile(CompileArgs),
    /// Says what a component asks for, and whether it would be served
    Inspect(InspectArgs),
    /// Asks a running server whether it is ready; exit code 0 says yes
    Health(HealthArgs),
    /// Makes a project: a component that builds, with a test
    New(NewArgs),
    /// Builds a project and serves it, and swaps in what each save builds
    Dev(Box<DevArgs>),
    /// Makes a component of a module that a compiler built for wasip1, such as Go's
    Componentize(ComponentizeArgs),
    /// Prints a script that completes commands and flags in a shell
    Completions(CompletionsArgs),
    /// Writes manual pages
    Man(ManArgs),
}

impl Command {
    /// The form of the log on standard error.
    fn log_format(&self) -> LogFormat {
        match self {
            Self::Serve(args) => args.log_format(),
            Self::Dev(args) => args.log_format(),
            _ => LogFormat::default(),
        }
    }
}

impl Cli {
    /// Reads the process's arguments, `FANLIGHT_*` variables and the configuration
    /// file. An empty variable is unset, as OpenTelemetry has it for `OTEL_*`. Bad use
    /// ends the process.
    pub(crate) fn read() -> Self {
        let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|it| it.is_empty());
        let command = without_variables(Self::command(), is_empty);
        let arguments: Vec<_> = std::env::args_os().collect();
        let read = config_file::matches(&command, &arguments)
            .and_then(|matches| Self::from_arg_matches(&matches).map_err(Refusal::Arguments));
        // clap names the flag alone.
        let (error, source) = match read {
            Ok(cli) => return cli,
            Err(Refusal::Arguments(error)) => {
                let is_set = |name: &OsStr| std::env::var_os(name).is_some();
                let variable =
                    variables::source_of(&error, &command, arguments.into_iter(), is_set);
                (error, variable.map(|it| format!("the variable {it}")))
            }
            Err(Refusal::Value { error, place }) => (error, Some(place)),
            Err(Refusal::File(error)) => {
                let line = format!("error: {error:#}\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
                std::process::exit(i32::from(BAD_USE))
            }
        };
        let _ = error.print();
        if let Some(source) = source {
            let line = format!("The value is that of {source}.\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        std::process::exit(error.exit_code())
    }

    /// Runs the command; its exit code says how it went.
    pub(crate) fn run(self) -> ExitCode {
        let _flushed = crate::stderr::begin();
        let log = crate::log::init(self.command.log_format());
        let names = std::env::vars_os().map(|(name, _)| name);
        for unknown in variables::unknown(&Self::command(), names) {
            let name = &unknown.name;
            match unknown.nearest {
                Some(nearest) => tracing::warn!(
                    "there is no variable {name}, so it is ignored; {nearest} is the nearest one"
                ),
                None => tracing::warn!("there is no variable {name}, so it is ignored"),
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return failed(&anyhow::Error::from(error), FAILED),
        };
        let code = match self.command {
            Command::Serve(args) => runtime.block_on(args.run(&log)),
            Command::Swap(args) => runtime.block_on(args.run()),
            Command::Rollback(args) => runtime.block_on(args.roll_back()),
            Command::Trace(args) => runtime.block_on(args.run()),
            Command::Traces(args) => runtime.block_on(args.run()),
            Command::Logs(args) => runtime.block_on(args.run()),
            Command::Compile(args) => args.run(),
            Command::Inspect(args) => args.run(),
            Command::Health(args) => runtime.block_on(args.run()),
            Command::New(args) => args.run(),
            Command::Dev(args) => runtime.block_on(args.run(&log)),
            Command::Componentize(args) => args.run(),
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
        };
        // All that has to end has ended; a thread that reads a file, say from a
        // share that hangs, is not waited for.
        runtime.shutdown_background();
        code
    }
}

/// Makes a command ignore the variables that are `ignored`.
pub(crate) fn without_variables(
    command: clap::Command,
    ignored: impl Fn(&OsStr) -> bool + Copy,
) -> clap::Command {
    command
        .mut_args(|arg| {
            let is_ignored = arg.get_env().is_some_and(ignored);
            if is_ignored {
                arg.env(None::<&'static str>)
            } else {
                arg
            }
        })
        .mut_subcommands(|command| without_variables(command, ignored))
}

/// Parses a variable that stands for a flag without a value.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("expected true or false, 1 or 0, yes or no, on or off".to_owned()),
    }
}

pub(crate) fn failed(error: &anyhow::Error, code: u8) -> ExitCode {
    let line = format!("error: {error:#}");
    crate::stderr::say(&crate::log::line(tracing::Level::ERROR, &line));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_unset_for_every_flag() {
        let all = Cli::command();
        let none = without_variables(Cli::command(), |_| true);
        let mut flags = 0;
        for (all, none) in all.get_subcommands().zip(none.get_subcommands()) {
            flags += all
                .get_arguments()
                .filter(|it| it.get_env().is_some())
                .count();
            assert!(none.get_arguments().all(|arg| arg.get_env().is_none()));
            assert_eq!(all.get_arguments().count(), none.get_arguments().count());
        }
        assert!(flags > 20, "{flags}");
    }

    #[test]
    fn a_boolean_variable_is_one_of_eight_words() {
        for (word, value) in [("true", true), ("1", true), ("YES", true), ("on", true)]
            .into_iter()
            .chain([
                ("false", false),
                ("0", false),
                ("no", false),
                ("Off", false),
            ])
        {
            assert_eq!(boolean(word), Ok(value), "{word}");
        }
        for word in ["", "disabled", "never", "none", "maybe", "2"] {
            assert!(boolean(word).is_err(), "{word}");
        }
    }
}
