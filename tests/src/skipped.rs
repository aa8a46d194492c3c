//! Tests that this machine cannot run say so, where it is seen.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;

/// Names a file that gets a line for each test that was skipped.
pub const VARIABLE: &str = "FANLIGHT_TEST_SKIPPED";

/// Says that a test is skipped, and why.
///
/// # Panics
/// Where the file for skipped tests cannot be written.
pub fn skip(test: &str, why: impl Display) {
    let line = format!("SKIPPED: {test}: {why}\n");
    // The harness keeps what the macros print.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os(VARIABLE) {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("the file for skipped tests can be written");
    }
}

/// The same for a test that must run in CI.
///
/// # Panics
/// In CI.
pub fn skip_outside_ci(test: &str, why: impl Display) {
    assert!(
        std::env::var_os("CI").is_none_or(|value| value.is_empty()),
        "{test} cannot run, and CI may not skip it: {why}"
    );
    skip(test, why);
}
