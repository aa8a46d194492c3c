//! The flags of the log on standard error.

use std::io::IsTerminal as _;

use clap::Args;

use crate::cli::boolean;
use crate::log::LogFormat;

#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogArgs {
    /// The form of the log on standard error: lines for people, or one JSON object a
    /// line with `timestamp`, `level`, `target`, `message` and `fields`
    #[arg(
        long,
        env = "FANLIGHT_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value_t
    )]
    pub(crate) log_format: LogFormat,
    /// Write a line on standard error for each request: time, method, route or path,
    /// status, duration, the component's busy time and memory, trace id; `off` writes
    /// none [default: on, if standard error is a terminal]
    #[arg(
        long,
        env = "FANLIGHT_LOG_REQUESTS",
        value_name = "SWITCH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on",
        value_parser = boolean
    )]
    log_requests: Option<bool>,
}

impl LogArgs {
    /// Whether to write a line for each request.
    pub(crate) fn logs_requests(&self) -> bool {
        self.log_requests
            .unwrap_or_else(|| std::io::stderr().is_terminal())
    }
}
