//! Checks that the wings of `host/server`, `host/telemetry` and `host/viewer` use one
//! another from the top down.
//!
//! Between crates cargo holds the direction of dependencies; between modules of one
//! crate nothing does. The check reads the sources as text: paths that begin with
//! `crate::`, or with as many `super::` as lead there. Comments and tests do not count.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::{cargo, circles};

/// A crate whose wings have an order.
struct Crate {
    sources: &'static str,
    /// From the top down; those of one floor may use each other.
    floors: &'static [&'static [&'static str]],
    /// The crate's root, and what benchmarks, fuzzers and tests come in by: above all
    /// wings.
    doors: &'static [&'static str],
}

const SERVER: Crate = Crate {
    sources: "host/server/src",
    floors: &[
        &["admin"],
        &["http"],
        &["component"],
        &["sandbox"],
        &["outbound"],
        &["guest_api"],
        &["request"],
        &["config", "error"],
    ],
    doors: &["lib", "benchmarks", "fuzzing", "turn"],
};

const TELEMETRY: Crate = Crate {
    sources: "host/telemetry/src",
    floors: &[
        &["metrics"],
        &["trace"],
        &["logs"],
        &["export"],
        &["console"],
        &["otlp"],
        &["config"],
        &["sizes"],
        &["propagation"],
        &["clock", "observer", "sanitize", "scope", "thread_number"],
    ],
    doors: &["lib", "shutdown", "benchmarks"],
};

const VIEWER: Crate = Crate {
    sources: "host/viewer/src",
    floors: &[
        &["viewer"],
        &["pages"],
        &["jaeger"],
        &["otlp_json"],
        &["query"],
        &["model"],
        &["store"],
        &["samples", "body"],
        &["events", "status"],
        &["assets", "config", "params", "value", "wire"],
    ],
    doors: &["lib"],
};

/// Checks each wing.
///
/// # Errors
/// Where a wing uses one above it, or a file belongs to no wing.
pub(crate) fn check() -> anyhow::Result<()> {
    let mut count = 0;
    for of in [&SERVER, &TELEMETRY, &VIEWER] {
        let sources = cargo::workspace().join(of.sources);
        for file in files(&sources)? {
            let inside = file.strip_prefix(&sources)?;
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            for violation in of.violations_in(inside, &text) {
                eprintln!("{}/{violation}", of.sources);
                count += 1;
            }
        }
    }
    if count > 0 {
        bail!("{count} uses of wings that are above; the order is in each crate's lib.rs");
    }
    for sources in [SERVER.sources, TELEMETRY.sources, VIEWER.sources] {
        if let Some(circle) = circles::find(&uses_in(sources)?) {
            bail!("files of {sources} use each other: {}", circle.join(", "));
        }
    }
    Ok(())
}

/// What each file of a crate uses of the others, but for the crate's root.
fn uses_in(sources: &str) -> anyhow::Result<circles::Uses> {
    let sources = cargo::workspace().join(sources);
    let files = files(&sources)?;
    let module = |file: &Path| file.strip_prefix(&sources).map(circles::module);
    let modules: BTreeSet<_> = files.iter().flat_map(|file| module(file)).collect();
    let mut uses = circles::Uses::new();
    for file in &files {
        let code = without_tests(&without_comments(&fs::read_to_string(file)?));
        let own = module(file)?;
        uses.insert(own.clone(), circles::used(&code, &own, &modules));
    }
    Ok(uses)
}

/// The sources below a directory, without files of tests, in the order of their names.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

impl Crate {
    /// A line for each use of a wing above the file's own.
    fn violations_in(&self, file: &Path, text: &str) -> Vec<String> {
        let module = file.with_extension("");
        let depth = module.components().count();
        let own = module.iter().next().unwrap_or_default().to_string_lossy();
        if self.doors.contains(&&*own) {
            return Vec::new();
        }
        let shown = file.display();
        let Some(own_floor) = self.floor(&own) else {
            return vec![format!("{shown}: {own} has no floor in xtask/src/wings.rs")];
        };
        let code = without_tests(&without_comments(text));
        let uses = uses(&code, depth).into_iter();
        let upward =
            uses.filter(|(_, wing)| self.floor(wing).is_none_or(|floor| floor < own_floor));
        upward
            .map(|(line, wing)| match self.floor(&wing) {
                Some(_) => format!("{shown}:{line}: {own} uses {wing}, which is above it"),
                None => format!("{shown}:{line}: {own} uses {wing}, which is no wing"),
            })
            .collect()
    }

    /// Counted from the top.
    fn floor(&self, wing: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&wing))
    }
}

/// The wings that are used, each with its line. A module of depth 1 is a wing itself.
fn uses(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut root = "super::".repeat(depth);
    let mut found = paths(code, "crate::");
    found.extend(paths(code, &root));
    // What is deeper still is a module of the file's own.
    root.push_str("super::");
    found.extend(paths(code, &root));
    found.sort();
    found.dedup();
    found
}

/// What stands behind each `root`: one name, or those of a list in braces.
fn paths(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        let before = code.get(..at).unwrap_or_default();
        if before.ends_with(|it: char| it.is_alphanumeric() || it == '_' || it == ':') {
            continue;
        }
        let line = before.matches('\n').count() + 1;
        let after = code.get(at + root.len()..).unwrap_or_default();
        match after.strip_prefix('{') {
            Some(list) => found.extend(names_in_list(list).map(|name| (line, name))),
            None => found.push((line, name(after))),
        }
    }
    // Of `super::super::`, what stands behind the first `super::`.
    found.retain(|(_, name)| name != "super");
    found
}

/// The first names of the paths in a list whose brace is open.
fn names_in_list(list: &str) -> impl Iterator<Item = String> {
    let mut open = 1_u32;
    let mut first = true;
    let mut names = Vec::new();
    for (at, character) in list.char_indices() {
        match character {
            '{' => open += 1,
            '}' => open -= 1,
            ',' if open == 1 => first = true,
            it if first && open == 1 && !it.is_whitespace() => {
                first = false;
                names.push(name(list.get(at..).unwrap_or_default()));
            }
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    names.into_iter()
}

fn name(path: &str) -> String {
    let end = path.find(|it: char| !it.is_alphanumeric() && it != '_');
    path.get(..end.unwrap_or(path.len()))
        .unwrap_or_default()
        .to_owned()
}

/// Lines stay, so that they can be counted.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| match line.find("//") {
        // Not that of an address.
        Some(at) if !line.get(..at).unwrap_or_default().ends_with(':') => {
            line.get(..at).unwrap_or_default()
        }
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Blanks what follows each `#[cfg(test)]`: to the end of its statement or block.
fn without_tests(code: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let mut left = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, test)) = rest.split_once(TEST) {
        left.push_str(before);
        let item = test.get(..end_of_item(test)).unwrap_or_default();
        left.extend(item.matches('\n'));
        rest = test.get(item.len()..).unwrap_or_default();
    }
    left + rest
}

fn end_of_item(code: &str) -> usize {
    let mut open = 0_u32;
    for (at, character) in code.char_indices() {
        match character {
            '{' => open += 1,
            // Of a field or an arm in tests alone, what is around it ends.
            '}' if open == 0 => return at,
            '}' => {
                open -= 1;
                if open == 0 {
                    return at + 1;
                }
            }
            ';' | ',' if open == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{SERVER, TELEMETRY, VIEWER, check};

    fn violations(file: &str, text: &str) -> Vec<String> {
        SERVER.violations_in(Path::new(file), text)
    }

    #[test]
    fn no_wing_uses_one_above_it() {
        check().unwrap();
    }

    #[test]
    fn a_wing_uses_itself_and_those_below() {
        let text = "use crate::sandbox::call::Call;\nuse crate::{config, error::HandleError};\n";
        assert!(violations("sandbox/trial.rs", text).is_empty());
        assert!(violations("http.rs", text).is_empty());
    }

    #[test]
    fn the_use_of_a_wing_above_is_found_on_its_line() {
        let found = violations("sandbox/call.rs", "\nuse crate::component::slot::Slot;\n");
        assert_eq!(
            found,
            ["sandbox/call.rs:2: sandbox uses component, which is above it"]
        );
        let in_code = "fn f() -> crate::http::Io { crate::admin::f() }";
        assert_eq!(violations("request/info.rs", in_code).len(), 2);
    }

    #[test]
    fn the_wings_of_telemetry_have_an_order_of_their_own() {
        let violations = |file, text| TELEMETRY.violations_in(Path::new(file), text);
        assert!(violations("export/pipeline.rs", "use crate::otlp::OtlpClient;").is_empty());
        assert_eq!(
            violations("otlp/grpc.rs", "use crate::export::log::ExportHealth;"),
            ["otlp/grpc.rs:1: otlp uses export, which is above it"]
        );
        assert_eq!(violations("trace/span.rs", "use crate::Dropped;").len(), 1);
    }

    #[test]
    fn the_pages_of_the_viewer_do_not_use_what_answers_requests() {
        let violations = |file, text| VIEWER.violations_in(Path::new(file), text);
        assert!(violations("pages/trace.rs", "use crate::store::Store;").is_empty());
        assert_eq!(
            violations("pages/trace.rs", "use crate::viewer::X;").len(),
            1
        );
        assert_eq!(
            violations("store.rs", "use crate::model::TraceModel;").len(),
            1
        );
    }

    #[test]
    fn each_path_of_a_list_counts() {
        let text = "use crate::{\n    config::{self, Limits},\n    admin, error,\n    http::{io, tls},\n};";
        let found = violations("guest_api/logs.rs", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("admin") && found[1].contains("http"));
    }

    #[test]
    fn paths_that_climb_to_the_root_count() {
        assert_eq!(violations("request.rs", "use super::http::io;").len(), 1);
        let climbs = "use super::super::http::io;";
        assert_eq!(violations("request/info.rs", climbs).len(), 1);
        assert!(violations("request/info.rs", "use super::http;").is_empty());
    }

    #[test]
    fn a_file_of_no_wing_and_a_name_of_the_root_are_found() {
        assert_eq!(violations("utils.rs", "").len(), 1);
        assert_eq!(violations("http/io.rs", "use crate::Server;").len(), 1);
    }

    #[test]
    fn comments_and_tests_do_not_count() {
        let text = "//! See [`crate::http`].\nfn f() {} // crate::admin\n\
                    #[cfg(test)]\nuse crate::admin;\n\
                    #[cfg(test)]\nmod tests {\n    use crate::http;\n    fn f() { if true {} }\n}\n";
        assert!(violations("config/limits.rs", text).is_empty());
        let after = format!("{text}use crate::http;\n");
        let found = violations("config/limits.rs", &after);
        assert_eq!(
            found,
            ["config/limits.rs:10: config uses http, which is above it"]
        );
    }
}
