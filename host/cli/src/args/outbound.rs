//! The flags about the calls that components make.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use fanlight_server::{OutboundClient, OutboundLimits, OutboundPolicy, OutboundRule};
use fanlight_telemetry::Telemetry;

use crate::args::values;

#[derive(Debug, Args)]
#[command(next_help_heading = "Calls of components")]
pub(crate) struct OutboundArgs {
    /// What the component may call over HTTP: an origin such as `https://api.example.com`,
    /// a host such as *.example.com or redis.internal:8080, * for any public host, or a
    /// network such as 10.1.0.0/16:8080. Without a port it is 80 and 443; :* is any. A
    /// host leads to public addresses alone unless +loopback, +private or +link-local
    /// follows it. May be repeated, with commas in the variable [default: nothing]
    #[arg(
        long,
        env = "FANLIGHT_ALLOW_OUTBOUND",
        value_name = "RULE",
        value_delimiter = ','
    )]
    allow_outbound: Vec<OutboundRule>,
    /// A file with certificates that the host trusts for these calls beside the
    /// platform's, in PEM
    #[arg(long, env = "FANLIGHT_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Calls of one request's component; further ones are denied
    #[arg(
        long,
        env = "FANLIGHT_MAX_OUTBOUND_CALLS",
        value_name = "N",
        default_value = "100"
    )]
    max_outbound_calls: u32,
    /// Calls of all components at once; further ones wait within
    /// --outbound-connect-timeout
    #[arg(
        long,
        env = "FANLIGHT_MAX_OUTBOUND",
        value_name = "N",
        default_value = "1000"
    )]
    max_outbound: NonZeroU32,
    /// Connections that are kept for later calls
    #[arg(
        long,
        env = "FANLIGHT_MAX_OUTBOUND_IDLE",
        value_name = "N",
        default_value = "256"
    )]
    max_outbound_idle: u32,
    /// The longest wait for a connection; a component may ask for less
    #[arg(
        long,
        env = "FANLIGHT_OUTBOUND_CONNECT_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = values::some_duration
    )]
    outbound_connect_timeout: humantime::Duration,
    /// The longest wait for a response's headers; a component may ask for less
    #[arg(
        long,
        env = "FANLIGHT_OUTBOUND_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = values::some_duration
    )]
    outbound_timeout: humantime::Duration,
    /// The longest wait between two parts of a response's body; a component may ask
    /// for less
    #[arg(
        long,
        env = "FANLIGHT_OUTBOUND_IDLE_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = values::some_duration
    )]
    outbound_idle_timeout: humantime::Duration,
}

impl OutboundArgs {
    /// Whether components may call anything.
    pub(crate) fn grants_calls(&self) -> bool {
        !self.allow_outbound.is_empty()
    }

    /// The client by which components call; none where they may call nothing.
    ///
    /// # Errors
    /// Where the certificates cannot be read.
    pub(crate) fn client(
        &self,
        telemetry: &Telemetry,
    ) -> anyhow::Result<Option<Arc<OutboundClient>>> {
        if !self.grants_calls() {
            return Ok(None);
        }
        let limits = OutboundLimits {
            calls_per_request: self.max_outbound_calls,
            calls: as_usize(self.max_outbound.get()),
            idle_connections: as_usize(self.max_outbound_idle),
            connect_timeout: *self.outbound_connect_timeout,
            first_byte_timeout: *self.outbound_timeout,
            between_bytes_timeout: *self.outbound_idle_timeout,
        };
        let policy = OutboundPolicy::new(self.allow_outbound.iter().cloned());
        let client = OutboundClient::new(policy, limits, self.ca_file.as_deref(), telemetry);
        let named = || match &self.ca_file {
            Some(file) => format!("--ca-file {}", file.display()),
            None => "certificates of the platform".to_owned(),
        };
        Ok(Some(Arc::new(client.with_context(named)?)))
    }
}

fn as_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
