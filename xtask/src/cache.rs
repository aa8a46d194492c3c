//! Where built tools are kept, outside the checkout, so that a fresh clone finds
//! them.

use std::path::PathBuf;

use anyhow::Context;

/// `$FANLIGHT_CACHE`, or `~/.cache/fanlight`.
///
/// # Errors
/// When neither is known.
pub(crate) fn directory() -> anyhow::Result<PathBuf> {
    match std::env::var_os("FANLIGHT_CACHE").filter(|it| !it.is_empty()) {
        Some(cache) => Ok(PathBuf::from(cache)),
        None => Ok(std::env::home_dir()
            .context("there is no home directory: set FANLIGHT_CACHE")?
            .join(".cache/fanlight")),
    }
}

/// The place of a program, whether it is there or not.
///
/// # Errors
/// When there is no place.
pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    Ok(directory()?
        .join("bin")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}
