//! Tests everything that can be tested on this machine.

use std::ffi::OsString;

use crate::{cargo, jaeger, wasm};

/// Names the Jaeger that the tests ask.
const JAEGER: &str = "FANLIGHT_TEST_JAEGER";

/// Builds what the tests run (guests, Jaeger), then tests the workspace. The
/// server is built by the tests themselves, with the features that they have.
///
/// # Errors
/// When a build or a test fails, or Go is there and Jaeger cannot be built.
pub(crate) fn run(args: &[OsString]) -> anyhow::Result<()> {
    let guests = wasm::build_guests()?;
    eprintln!("xtask: {} guests are built", guests.len());

    let mut tests = cargo::cargo();
    tests.args(["test", "--workspace"]).args(args);
    let jaeger = match std::env::var_os(JAEGER).filter(|it| !it.is_empty()) {
        Some(path) => Some(path.into()),
        None => jaeger::find_or_build()?,
    };
    match jaeger {
        Some(path) => {
            eprintln!("xtask: testing with {}", path.display());
            tests.env(JAEGER, path);
        }
        None => {
            eprintln!("xtask: SKIPPED: the tests that need Jaeger, for Go is not installed");
        }
    }
    cargo::run(&mut tests)
}
