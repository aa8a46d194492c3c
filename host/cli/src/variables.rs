//! The variables `FANLIGHT_*`: which are read, which are unknown, and which one a value
//! that clap refuses came from.

use std::ffi::{OsStr, OsString};

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error};

const PREFIX: &str = "FANLIGHT_";
/// Read by the program without a flag, or by other programs of the project.
const OTHERS: [&str; 2] = ["FANLIGHT_LOG", "FANLIGHT_BIND"];
/// Prefixes of variables that only tests and benchmarks read.
const FOR_TESTS: [&str; 2] = ["FANLIGHT_TEST_", "FANLIGHT_BENCH_"];
/// How alike two names are at least for one to be taken for the other, misspelled.
const LIKENESS: f64 = 0.9;

/// A variable that begins as those of the program do, and is none of them.
#[derive(Debug, PartialEq)]
pub(crate) struct Unknown {
    pub(crate) name: String,
    /// The known variable that it is most like, if it is like any.
    pub(crate) nearest: Option<String>,
}

/// Finds the variables among `names` that no command reads. Those that Kubernetes sets
/// for a service called `fanlight` or `fanlight-...` are not among them.
pub(crate) fn unknown(command: &Command, names: impl Iterator<Item = OsString>) -> Vec<Unknown> {
    let known = known(command);
    names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(PREFIX))
        .filter(|name| !known.contains(name) && !is_service_link(name))
        .filter(|name| !FOR_TESTS.iter().any(|prefix| name.starts_with(prefix)))
        .map(|name| {
            let likeness = |it: &String| strsim::jaro_winkler(&name, it);
            let nearest = known
                .iter()
                .filter(|it| likeness(it) >= LIKENESS)
                .max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
            Unknown {
                nearest: nearest.cloned(),
                name,
            }
        })
        .collect()
}

/// The variables of all flags, and the others.
fn known(command: &Command) -> Vec<String> {
    let flags = command
        .get_subcommands()
        .flat_map(Command::get_arguments)
        .filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned));
    flags.chain(OTHERS.map(str::to_owned)).collect()
}

/// Whether Kubernetes names a service by it: `..._SERVICE_HOST`, `..._SERVICE_PORT_HTTP`,
/// `..._PORT`, `..._PORT_8000_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    let of_port = name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let port = rest.split('_').next().unwrap_or_default();
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || of_port
}

/// The variable that the value came from which clap refuses, where it did not come from
/// an argument.
pub(crate) fn source_of(
    error: &Error,
    command: &Command,
    arguments: impl Iterator<Item = OsString>,
    is_set: impl Fn(&OsStr) -> bool,
) -> Option<String> {
    let ContextValue::String(argument) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    // As in `--listen <ADDR>`, `--watch[=<PATH>]` and `<COMPONENT>`.
    let end = argument.find([' ', '=', '[']).unwrap_or(argument.len());
    let flag = &argument[..end];
    let arguments: Vec<_> = arguments
        .map(|it| it.to_string_lossy().into_owned())
        .collect();
    let subcommand = arguments
        .iter()
        .find_map(|it| command.get_subcommands().find(|sub| sub.get_name() == it))?;
    let arg = subcommand
        .get_arguments()
        .find(|arg| match arg.get_long() {
            Some(long) => flag.strip_prefix("--") == Some(long),
            None => arg.to_string().starts_with(flag),
        })?;
    let is_argument = arg.get_long().is_some()
        && arguments
            .iter()
            .any(|it| it == flag || it.starts_with(&format!("{flag}=")));
    let variable = arg.get_env()?;
    (!is_argument && is_set(variable)).then(|| variable.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn found(name: &str) -> Vec<Unknown> {
        unknown(&crate::cli::Cli::command(), [name.into()].into_iter())
    }

    #[test]
    fn a_misspelled_variable_is_unknown_and_has_a_nearest_one() {
        for (name, nearest) in [
            ("FANLIGHT_LISTN", Some("FANLIGHT_LISTEN")),
            ("FANLIGHT_MAX_INSTANCE", Some("FANLIGHT_MAX_INSTANCES")),
            ("FANLIGHT_LOGS", Some("FANLIGHT_LOG")),
        ] {
            let nearest = nearest.map(str::to_owned);
            let name = name.to_owned();
            assert_eq!(found(&name), [Unknown { name, nearest }]);
        }
    }

    #[test]
    fn known_variables_and_those_of_kubernetes_are_not_unknown() {
        for name in [
            "FANLIGHT_LISTEN",
            "FANLIGHT_ADMIN_URL",
            "FANLIGHT_LOG",
            "FANLIGHT_TEST_JAEGER",
            "FANLIGHT_SERVICE_HOST",
            "FANLIGHT_SERVICE_PORT",
            "FANLIGHT_SERVICE_PORT_HTTP",
            "FANLIGHT_PORT",
            "FANLIGHT_PORT_8000_TCP_ADDR",
            "FANLIGHT_DEMO_SERVICE_HOST",
            "OTEL_SERVICE_NAME",
        ] {
            assert_eq!(found(name), [], "{name}");
        }
    }
}
