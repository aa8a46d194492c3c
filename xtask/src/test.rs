//! Tests everything that can be tested on this machine.

use std::ffi::OsString;
use std::process::Command;

use crate::go::Program;
use crate::jaeger::JAEGER;
use crate::otelcol::OTELCOL;
use crate::{cargo, wasm};

/// Names a Collector to use instead of the one that is built.
pub(crate) const OTELCOL_VARIABLE: &str = "FANLIGHT_TEST_OTELCOL";

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
/// When a build or a test fails, or Go is there and cannot build its programs.
pub(crate) fn run(args: &[OsString]) -> anyhow::Result<()> {
    let guests = wasm::build_guests()?;
    eprintln!("xtask: {} guests are built", guests.len());

    let mut tests = cargo::cargo();
    tests.args(["test", "--workspace"]).args(args);
    for (variable, program) in BACKENDS {
        match program.named_or_built(variable)? {
            Some(path) => {
                eprintln!("xtask: testing with {}", path.display());
                tests.env(variable, path);
            }
            None => {
                let name = program.name;
                eprintln!("xtask: SKIPPED: the tests that need {name}, for Go is not installed");
            }
        }
    }
    // Debian has it; the test finds it by itself.
    if Command::new("haproxy").arg("-v").output().is_err() {
        eprintln!("xtask: SKIPPED: the test that needs HAProxy, for it is not installed");
    }
    cargo::run(&mut tests)
}
