//! Tests everything that can be tested on this machine.

use std::ffi::OsString;

use crate::go::Program;
use crate::jaeger::JAEGER;
use crate::otelcol::OTELCOL;
use crate::{cargo, wasm};

/// The programs that the tests ask, and the variables that name them.
const BACKENDS: [(&str, Program); 2] = [
    ("FANLIGHT_TEST_JAEGER", JAEGER),
    ("FANLIGHT_TEST_OTELCOL", OTELCOL),
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
        let path = match std::env::var_os(variable).filter(|it| !it.is_empty()) {
            Some(path) => Some(path.into()),
            None => program.find_or_build()?,
        };
        match path {
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
    cargo::run(&mut tests)
}
