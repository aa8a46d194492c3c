//! The configuration file of `fanlight serve` and `fanlight dev`. Its keys are the long flags, and its
//! values become the flags' defaults: a flag or a variable overrides them, and clap's
//! own parsers read them.

use std::fmt::Display;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, Error};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::without_variables;

/// The file that is read where neither flag nor variable names one, if it exists.
pub(crate) const DEFAULT_PATH: &str = "fanlight.toml";
/// The command whose flags are the keys.
const COMMAND: &str = "serve";
/// The command that serves as well, in the folder of a project.
const DEV: &str = "dev";
/// The operand of both: the component of the one, the folder of the other.
const OPERAND: &str = "component";
/// The argument that names the file.
const CONFIG: &str = "config";
/// Tables that other commands read.
const OTHER_TABLES: [&str; 1] = ["dev"];
/// How alike two keys are at least for one to be taken for the other, misspelled.
const LIKENESS: f64 = 0.7;

/// Why there are no matches.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// By clap: an argument, a variable, or a request for help.
    Arguments(Error),
    /// By clap: the value of a key.
    Value {
        error: Error,
        /// The key, the file and the line.
        place: String,
    },
    /// The file cannot be read, or has no such key.
    File(anyhow::Error),
}

/// Parses the arguments, with the configuration file's values below them where the
/// command is `serve`.
pub(crate) fn matches(
    command: &Command,
    arguments: &[std::ffi::OsString],
) -> Result<ArgMatches, Refusal> {
    let strict = |command: Command| {
        command
            .try_get_matches_from(arguments)
            .map_err(Refusal::Arguments)
    };
    // The file may have what is required.
    let lenient = requiring_nothing(command.clone()).try_get_matches_from(arguments);
    let Some(named) = lenient.as_ref().ok().and_then(named) else {
        return strict(command.clone());
    };
    match ConfigFile::find(&named, command).map_err(Refusal::File)? {
        Some(file) => {
            file.check(command)?;
            strict(with_values(command.clone(), &file.entries))
        }
        None => strict(command.clone()),
    }
}

/// The keys of the file, each a flag; and the component, which is none.
pub(crate) fn keys(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let serve = command
        .get_subcommands()
        .find(|it| it.get_name() == COMMAND);
    serve
        .into_iter()
        .flat_map(Command::get_arguments)
        .filter(|arg| !is_outside(arg))
        .map(|arg| (arg.get_long().unwrap_or(arg.get_id().as_str()), arg))
}

/// Whether a flag is no key. A token does not belong in a file that is kept with code:
/// there is a file for it alone.
fn is_outside(arg: &Arg) -> bool {
    [CONFIG, "admin_token", "help", "version"].contains(&arg.get_id().as_str())
}

/// The file that a command reads.
enum Named {
    /// By the arguments or the variable: it has to be there.
    File(PathBuf),
    /// By nothing: it is read if it is there.
    Default(PathBuf),
}

/// The file that is to be read, in the matches of a command that reads one.
fn named(matches: &ArgMatches) -> Option<Named> {
    let (name, matches) = matches.subcommand()?;
    if ![COMMAND, DEV].contains(&name) {
        return None;
    }
    let path = |id| matches.get_one::<PathBuf>(id).cloned();
    Some(match path(CONFIG) {
        Some(file) => Named::File(file),
        None if name == DEV => Named::Default(path(OPERAND).unwrap_or_default().join(DEFAULT_PATH)),
        None => Named::Default(DEFAULT_PATH.into()),
    })
}

struct ConfigFile {
    path: PathBuf,
    entries: Vec<Entry>,
}

/// A key with its values, as a flag would have them.
#[derive(Debug)]
struct Entry {
    /// The argument's id.
    id: String,
    key: String,
    values: Vec<String>,
    line: usize,
}

impl ConfigFile {
    /// Reads the file that is named, or else the default one if it exists.
    fn find(named: &Named, command: &Command) -> anyhow::Result<Option<Self>> {
        let (path, may_lack) = match named {
            Named::File(path) => (path, false),
            Named::Default(path) => (path, true),
        };
        let text = match std::fs::read_to_string(path) {
            Err(error) if may_lack && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let mut entries = entries(&text, command)
            .with_context(|| format!("{} cannot be used", path.display()))?;
        // So that the command knows which file it was.
        entries.push(Entry {
            id: CONFIG.to_owned(),
            key: CONFIG.to_owned(),
            values: vec![path.display().to_string()],
            line: 0,
        });
        let path = path.to_owned();
        Ok(Some(Self { path, entries }))
    }

    /// Parses each value, also those that a flag or a variable overrides.
    fn check(&self, command: &Command) -> Result<(), Refusal> {
        let command = requiring_nothing(without_variables(command.clone(), |_| true));
        for entry in &self.entries {
            let command = with_values(command.clone(), std::slice::from_ref(entry));
            let name = command.get_name().to_owned();
            command
                .try_get_matches_from([&name, COMMAND])
                .map_err(|error| {
                    let Entry { key, line, .. } = entry;
                    let place = format!("`{key}` in {}, line {line}", self.path.display());
                    Refusal::Value { error, place }
                })?;
        }
        Ok(())
    }
}

/// Gives the command's arguments these values where neither the command line nor a
/// variable has one.
fn with_values(command: Command, entries: &[Entry]) -> Command {
    command.mut_subcommands(|command| {
        let is_dev = command.get_name() == DEV;
        if !is_dev && command.get_name() != COMMAND {
            return command;
        }
        command.mut_args(|arg| {
            let id = arg.get_id().as_str();
            let entry = entries.iter().find(|it| it.id == id);
            match entry.filter(|_| !is_dev || id != OPERAND) {
                Some(entry) => arg.required(false).default_values(&entry.values),
                None => arg,
            }
        })
    })
}

/// Makes the command require no argument.
fn requiring_nothing(command: Command) -> Command {
    command.mut_subcommand(COMMAND, |serve| serve.mut_args(|arg| arg.required(false)))
}

/// The entries of a file with this text.
fn entries(text: &str, command: &Command) -> anyhow::Result<Vec<Entry>> {
    let table = DeTable::parse(text).map_err(|error| anyhow!("{}", error.to_string().trim()))?;
    let mut pairs: Vec<_> = table.get_ref().iter().collect();
    // The first that is wrong in the file is the first to be reported.
    pairs.sort_by_key(|(key, _)| key.span().start);
    let mut entries = Vec::new();
    for (key, value) in pairs {
        let line = 1 + text[..key.span().start].matches('\n').count();
        let key = key.get_ref().as_ref();
        if let DeValue::Table(_) = value.get_ref()
            && OTHER_TABLES.contains(&key)
        {
            continue;
        }
        let entry = entry(key, value, line, command);
        entries.push(entry.with_context(|| format!("line {line}"))?);
    }
    Ok(entries)
}

fn entry(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    line: usize,
    command: &Command,
) -> anyhow::Result<Entry> {
    let Some((_, arg)) = keys(command).find(|(known, _)| *known == key) else {
        bail!(unknown(key, value.get_ref(), command));
    };
    let values = match value.get_ref() {
        DeValue::Array(values) if matches!(arg.get_action(), ArgAction::Append) => {
            values.iter().map(scalar).collect()
        }
        DeValue::Array(_) => bail!("`{key}` takes one value, not an array"),
        _ => scalar(value).map(|value| vec![value]),
    };
    let values: Option<Vec<_>> = values;
    let Some(values) = values else {
        bail!("`{key}` takes {}", expected(arg));
    };
    Ok(Entry {
        id: arg.get_id().to_string(),
        key: key.to_owned(),
        values,
        line,
    })
}

/// The message about a key that is not known.
fn unknown(key: &str, value: &DeValue<'_>, command: &Command) -> String {
    if key == "admin-token" {
        return "the token itself is no key: name a file that holds it by `admin-token-file`"
            .to_owned();
    }
    if let DeValue::Table(_) = value {
        return format!(
            "there is no table `{key}`: the keys of `fanlight serve` stand above all tables"
        );
    }
    let likeness = |known: &str| strsim::jaro_winkler(key, known);
    let nearest = keys(command)
        .map(|(known, _)| known)
        .filter(|known| likeness(known) >= LIKENESS)
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    match nearest {
        Some(nearest) => format!("there is no key `{key}`; `{nearest}` is the nearest one"),
        None => format!(
            "there is no key `{key}`: the keys are the long flags of `fanlight serve`, without the dashes"
        ),
    }
}

/// A value as a flag would have it.
fn scalar(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn expected(arg: &Arg) -> impl Display {
    match arg.get_action() {
        ArgAction::SetTrue => "true or false",
        ArgAction::Append => "a string, or an array of strings",
        _ => "a string, a number, true or false",
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn command() -> Command {
        without_variables(Cli::command(), |_| true)
    }

    /// The matches of `fanlight serve` with this file, and what they are refused for.
    fn served(text: &str, arguments: &[&str]) -> Result<ArgMatches, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.toml");
        std::fs::write(&path, text).unwrap();
        let mut all: Vec<OsString> = vec!["fanlight".into(), COMMAND.into(), "--config".into()];
        all.push(path.into());
        all.extend(arguments.iter().map(OsString::from));
        let matches = matches(&command(), &all);
        let refused = |refusal| match refusal {
            Refusal::Arguments(error) => error.to_string(),
            Refusal::Value { error, place } => format!("{error}{place}"),
            Refusal::File(error) => format!("{error:#}"),
        };
        let matches = matches.map_err(refused)?;
        Ok(matches.subcommand_matches(COMMAND).unwrap().clone())
    }

    #[test]
    fn a_project_under_development_is_served_by_the_file_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let text = "component = 'a.wasm'\nlisten = '127.0.0.1:1'\n[dev]\nbuild = 'make'\n";
        std::fs::write(folder.path().join(DEFAULT_PATH), text).unwrap();
        let all: Vec<OsString> = vec!["fanlight".into(), DEV.into(), folder.path().into()];
        let matches = matches(&command(), &all).unwrap();
        let dev = matches.subcommand_matches(DEV).unwrap();
        assert_eq!(raw(dev, "listen"), ["127.0.0.1:1"]);
        // The operand is the folder, not the file's component.
        assert_eq!(raw(dev, OPERAND), [folder.path().to_str().unwrap()]);
    }

    fn raw(matches: &ArgMatches, id: &str) -> Vec<String> {
        let values = matches.get_raw(id).into_iter().flatten();
        values.map(|it| it.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn values_of_every_kind_are_those_of_the_flags() {
        let text = "\
            component = 'a.wasm'\n\
            listen = '127.0.0.1:1'\n\
            max-instances = 1_000\n\
            max-memory = 0x2000000\n\
            metrics-public = true\n\
            watch = true\n\
            trust-proxy = ['10.0.0.0/8', '192.0.2.1']\n\
            capture-request-header = 'x-one'\n\
            [dev]\n\
            build = 'make'\n";
        let matches = served(text, &[]).unwrap();
        for (id, values) in [
            ("component", vec!["a.wasm"]),
            ("listen", vec!["127.0.0.1:1"]),
            ("max_instances", vec!["1000"]),
            ("max_memory", vec!["33554432"]),
            ("watch", vec!["true"]),
            ("trust_proxy", vec!["10.0.0.0/8", "192.0.2.1"]),
            ("capture_request_header", vec!["x-one"]),
            ("linger", vec!["10s"]),
        ] {
            assert_eq!(raw(&matches, id), values, "{id}");
        }
        assert!(matches.get_flag("metrics_public"));
        assert!(!matches.get_flag("no_trace_header"));
    }

    #[test]
    fn a_flag_overrides_the_file_and_replaces_its_array() {
        let text = "component = 'a.wasm'\nlinger = '1s'\ntrust-proxy = ['10.0.0.0/8']\n";
        let flags = ["b.wasm", "--linger", "2s", "--trust-proxy", "192.0.2.1"];
        let matches = served(text, &flags).unwrap();
        for (id, value) in [
            ("component", "b.wasm"),
            ("linger", "2s"),
            ("trust_proxy", "192.0.2.1"),
        ] {
            assert_eq!(raw(&matches, id), [value]);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_one() {
        for (text, said) in [
            (
                "\n# A comment\nlistn = '127.0.0.1:1'\n",
                "line 3: there is no key `listn`; `listen` is the nearest one",
            ),
            (
                "request_timeout = '1s'",
                "line 1: there is no key `request_timeout`; `request-timeout` is",
            ),
            ("qqq = 1", "the keys are the long flags"),
            ("config = 'other.toml'", "there is no key `config`"),
            ("admin-token = 'secret'", "`admin-token-file`"),
            ("[serve]\nlisten = '127.0.0.1:1'", "stand above all tables"),
            ("dev = 1", "there is no key `dev`"),
        ] {
            let refused = served(text, &["a.wasm"]).unwrap_err();
            assert!(refused.contains(said), "{said:?} is not in {refused:?}");
            assert!(refused.contains("some.toml"), "{refused}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_in_the_words_of_the_flag() {
        let flag = served("", &["a.wasm", "--linger", "soon"]).unwrap_err();
        let flag = flag.lines().next().unwrap().to_owned();
        // Also where it would not be used.
        for arguments in [vec!["a.wasm"], vec!["a.wasm", "--linger", "1s"]] {
            let refused = served("\nlinger = 'soon'", &arguments).unwrap_err();
            assert!(refused.starts_with(&flag), "{refused:?}: {flag:?}");
            assert!(refused.contains("`linger` in "), "{refused}");
            assert!(refused.ends_with("some.toml, line 2"), "{refused}");
        }
        for (text, said) in [
            ("metrics-public = 'maybe'", "expected true or false, 1 or 0"),
            ("viewer = 'maybe'", "[possible values: on, off]"),
            ("linger = ['1s', '2s']", "takes one value, not an array"),
            ("linger = 2026-01-01", "`linger` takes a string"),
            ("trust-proxy = [['10.0.0.0/8']]", "an array of strings"),
            ("max-instances = -1", "'-1'"),
            ("linger = ", "TOML parse error at line 1"),
            ("linger = '1s'\nlinger = '1s'", "duplicate key"),
        ] {
            let refused = served(text, &["a.wasm"]).unwrap_err();
            assert!(refused.contains(said), "{said:?} is not in {refused:?}");
        }
    }

    #[test]
    fn what_is_required_still_is_where_the_file_does_not_have_it() {
        let refused = served("linger = '1s'", &[]).unwrap_err();
        assert!(refused.contains("<COMPONENT>"), "{refused}");
    }

    #[test]
    fn a_file_that_is_named_has_to_exist() {
        let arguments = ["fanlight", COMMAND, "a.wasm", "--config", "/absent.toml"];
        let refused = matches(&command(), &arguments.map(OsString::from)).unwrap_err();
        let Refusal::File(error) = refused else {
            panic!("{refused:?}");
        };
        assert!(error.to_string().contains("cannot read /absent.toml"));
    }

    #[test]
    fn every_flag_but_these_is_a_key() {
        let command = command();
        let serve = command.find_subcommand(COMMAND).unwrap();
        let keys: Vec<_> = keys(&command).map(|(key, _)| key).collect();
        let others = serve
            .get_arguments()
            .filter_map(Arg::get_long)
            .filter(|it| !keys.contains(it));
        let others: Vec<_> = others.collect();
        assert_eq!(others, ["config", "admin-token"]);
    }
}
