//! The commands, a file each: flags, what is done, the exit code.

pub(crate) mod client;
pub(crate) mod compile;
pub(crate) mod componentize;
pub(crate) mod dev;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod logs;
pub(crate) mod new;
pub(crate) mod serve;
pub(crate) mod trace;
pub(crate) mod traces;

use std::process::ExitCode;

use crate::cli::{FAILED, failed};
use crate::terminal::OutputClosed;

/// The end of a command that prints: well also where the reader of standard output has
/// left.
fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<OutputClosed>() {
            Some(closed) if closed.is_left() => ExitCode::SUCCESS,
            _ => failed(&error, FAILED),
        },
    }
}
