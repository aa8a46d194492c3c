//! Writes `docs/reference/cli.md` from the command line's own definition.

use crate::cargo;

/// Runs the test that renders the page, so that it writes it.
///
/// # Errors
/// When the build fails, or the page cannot be written.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut test = cargo::cargo();
    test.args(["test", "--quiet", "--workspace", "--bin", "fanlight"])
        .arg("the_reference_page")
        .env("FANLIGHT_WRITE_REFERENCE", "1");
    cargo::run(&mut test)
}
