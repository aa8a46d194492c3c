//! Tests everything that can be tested on this machine, and ends with what could not.
//!
//! In CI (variable `CI`) a missing Jaeger or Collector is an error.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::go::{Lookup, Program};
use crate::jaeger::JAEGER;
use crate::otelcol::OTELCOL;
use crate::{cargo, wasm};

/// Names a Collector to use instead of the one that is built.
pub(crate) const OTELCOL_VARIABLE: &str = "FANLIGHT_TEST_OTELCOL";
/// Names the file that gets a line for each test that is skipped: see
/// `tests/src/skipped.rs`.
const SKIPPED_VARIABLE: &str = "FANLIGHT_TEST_SKIPPED";

/// The programs that the tests ask, and the variables that name them.
const BACKENDS: [(&str, Program); 2] = [
    ("FANLIGHT_TEST_JAEGER", JAEGER),
    (OTELCOL_VARIABLE, OTELCOL),
];

/// Builds what the tests run (guests, Jaeger, the Collector), then tests the
/// workspace. The server is built by the tests themselves, with the features
/// that they have.
///
/// # Errors
/// When a build or a test fails, or Jaeger or the Collector is missing in CI.
pub(crate) fn run(args: &[OsString]) -> anyhow::Result<()> {
    let mut tests = cargo::cargo();
    tests.args(["test", "--workspace"]).args(args);
    // First: what is missing is said before half an hour of building.
    for (variable, program) in BACKENDS {
        match program.named_or_built(variable)? {
            Lookup::Found(path) => {
                eprintln!("xtask: testing with {}", path.display());
                tests.env(variable, path);
            }
            Lookup::Missing(lack) if is_ci() => {
                bail!("CI tests with {}, which is not there: {lack}", program.name)
            }
            Lookup::Missing(lack) => eprintln!("xtask: no {}: {lack}", program.name),
        }
    }
    let guests = wasm::build_guests()?;
    eprintln!("xtask: {} guests are built", guests.len());

    let folder = tempfile::tempdir().context("cannot make a directory for the tests")?;
    let skipped = folder.path().join("skipped");
    let tested = cargo::run(tests.env(SKIPPED_VARIABLE, &skipped));
    for line in summary(&skipped)? {
        eprintln!("{line}");
    }
    tested
}

pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// What was skipped, a line for each and one for all, which is the last.
fn summary(skipped: &Path) -> anyhow::Result<Vec<String>> {
    // No test that was skipped made the file.
    if !skipped.exists() {
        return Ok(vec!["xtask: no test was skipped".to_owned()]);
    }
    let text = fs::read_to_string(skipped).context("cannot read what was skipped")?;
    let mut lines: Vec<_> = text.lines().map(|line| format!("xtask: {line}")).collect();
    lines.sort();
    let names = lines.iter().map(|line| {
        let name = line.split(": ").nth(2);
        name.unwrap_or(line)
    });
    let names: Vec<_> = names.collect();
    let last = format!("xtask: {} skipped: {}", names.len(), names.join(", "));
    lines.push(last);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn the_last_line_names_what_was_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skipped");
        assert_eq!(summary(&file).unwrap(), ["xtask: no test was skipped"]);
        std::fs::write(
            &file,
            "SKIPPED: b_test: no swap: refused\nSKIPPED: a_test: no Jaeger\n",
        )
        .unwrap();
        assert_eq!(
            summary(&file).unwrap(),
            [
                "xtask: SKIPPED: a_test: no Jaeger",
                "xtask: SKIPPED: b_test: no swap: refused",
                "xtask: 2 skipped: a_test, b_test",
            ]
        );
    }
}
