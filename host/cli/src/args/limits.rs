//! The flags that set bounds, and the limits that they become.

use std::num::{NonZeroU16, NonZeroU32};

use bytesize::ByteSize;
use clap::Args;

use crate::args::values;
use fanlight_server::GuestLimits;
use fanlight_server::{RequestLimits, ServerLimits};

use crate::args::component::ComponentArgs;

#[derive(Debug, Args)]
#[command(next_help_heading = "Bounds on a request")]
pub(crate) struct RequestArgs {
    /// The time from the request's head to the component's response headers; then
    /// the client gets 504
    #[arg(
        long,
        env = "FANLIGHT_REQUEST_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s", value_parser = values::some_duration)]
    request_timeout: humantime::Duration,
    /// How long a component may go on after the last byte of its response
    #[arg(
        long,
        env = "FANLIGHT_LINGER",
        value_name = "DURATION",
        default_value = "10s", value_parser = values::duration)]
    linger: humantime::Duration,
    /// How long a request waits for a free instance, within --request-timeout; then
    /// the client gets 503
    #[arg(
        long,
        env = "FANLIGHT_QUEUE_TIMEOUT",
        value_name = "DURATION",
        default_value = "1s", value_parser = values::duration)]
    queue_timeout: humantime::Duration,
    #[command(flatten)]
    pub(crate) component: ComponentArgs,
    /// The body of a request; a larger one gets 413 [default: no limit]
    #[arg(long, env = "FANLIGHT_MAX_BODY", value_name = "SIZE", value_parser = values::size)]
    max_body: Option<ByteSize>,
    /// The header fields of a request; a request with more gets 431
    #[arg(
        long,
        env = "FANLIGHT_MAX_HEADERS",
        value_name = "N",
        default_value = "100"
    )]
    max_headers: NonZeroU16,
    /// The head of a request, from 8KiB to 1MiB; a larger one gets 431
    #[arg(long, env = "FANLIGHT_MAX_HEADER_BYTES", value_name = "SIZE", default_value = "32KiB", value_parser = head_size)]
    max_header_bytes: ByteSize,
    /// Measure processor time in one of this many instances; 0 measures none
    #[arg(
        long,
        env = "FANLIGHT_CPU_SAMPLE_PERIOD",
        value_name = "N",
        default_value = "64"
    )]
    cpu_sample_period: u32,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Bounds on the server")]
pub(crate) struct ServerArgs {
    /// Connections open at once
    #[arg(
        long,
        env = "FANLIGHT_MAX_CONNECTIONS",
        value_name = "N",
        default_value = "10000"
    )]
    max_connections: NonZeroU32,
    /// How long a request's head may take, and how long a connection may be idle
    #[arg(
        long,
        env = "FANLIGHT_HEADER_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s", value_parser = values::duration)]
    header_timeout: humantime::Duration,
    /// How long a response body may move no byte to the client
    #[arg(
        long,
        env = "FANLIGHT_STREAM_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s", value_parser = values::duration)]
    stream_idle_timeout: humantime::Duration,
    /// How long running requests may take after SIGTERM or SIGINT
    #[arg(
        long,
        env = "FANLIGHT_SHUTDOWN_GRACE",
        value_name = "DURATION",
        default_value = "30s", value_parser = values::duration)]
    shutdown_grace: humantime::Duration,
    /// How long the server, not ready, still accepts connections after SIGTERM or
    /// SIGINT
    #[arg(
        long,
        env = "FANLIGHT_SHUTDOWN_DELAY",
        value_name = "DURATION",
        default_value = "0s", value_parser = values::duration)]
    shutdown_delay: humantime::Duration,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Bounds on a component's telemetry")]
pub(crate) struct GuestArgs {
    /// The spans of one request; more are not recorded
    #[arg(
        long,
        env = "FANLIGHT_MAX_SPANS",
        value_name = "N",
        default_value = "1000"
    )]
    max_spans: usize,
    /// The log records and printed lines of one request; more are dropped
    #[arg(
        long,
        env = "FANLIGHT_MAX_LOG_RECORDS",
        value_name = "N",
        default_value = "1000"
    )]
    max_log_records: usize,
    /// The bytes of one request's spans and log records; what exceeds them is dropped
    #[arg(
        long,
        env = "FANLIGHT_MAX_TELEMETRY",
        value_name = "SIZE",
        default_value = "8MiB", value_parser = values::size)]
    max_telemetry: ByteSize,
    /// The instruments of all components; more are refused
    #[arg(
        long,
        env = "FANLIGHT_MAX_INSTRUMENTS",
        value_name = "N",
        default_value = "1000"
    )]
    max_instruments: usize,
    /// The series of all instruments; further ones are counted without attributes
    #[arg(
        long,
        env = "FANLIGHT_MAX_SERIES",
        value_name = "N",
        default_value = "10000"
    )]
    max_series: usize,
}

impl RequestArgs {
    pub(crate) fn limits(&self) -> RequestLimits {
        RequestLimits {
            request_timeout: self.request_timeout.into(),
            linger: self.linger.into(),
            queue_timeout: self.queue_timeout.into(),
            max_instances: self.component.max_instances,
            max_memory_bytes: bytes(self.component.max_memory),
            max_table_elements: self.component.max_table_elements(),
            max_body_bytes: self.max_body.map(|size| size.as_u64()),
            max_headers: usize::from(self.max_headers.get()),
            max_header_bytes: bytes(self.max_header_bytes),
            cpu_sample_period: NonZeroU32::new(self.cpu_sample_period),
            ..RequestLimits::default()
        }
    }
}

impl ServerArgs {
    pub(crate) fn limits(&self) -> ServerLimits {
        ServerLimits {
            max_connections: self.max_connections.get() as usize,
            header_timeout: self.header_timeout.into(),
            stream_idle_timeout: self.stream_idle_timeout.into(),
            shutdown_grace: self.shutdown_grace.into(),
            shutdown_delay: self.shutdown_delay.into(),
        }
    }
}

impl GuestArgs {
    pub(crate) fn limits(&self) -> GuestLimits {
        GuestLimits {
            spans: self.max_spans,
            log_records: self.max_log_records,
            telemetry_bytes: bytes(self.max_telemetry),
            instruments: self.max_instruments,
            series: self.max_series,
        }
    }
}

pub(crate) fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

/// Parses the bound on a head. HTTP/1.1 reads into a buffer that has its own
/// least size, which is hyper's.
fn head_size(text: &str) -> Result<ByteSize, String> {
    let size = values::size(text)?;
    if (ByteSize::kib(8)..=ByteSize::mib(1)).contains(&size) {
        Ok(size)
    } else {
        Err("expected a size from 8KiB to 1MiB".to_owned())
    }
}
