//! The flags about the headers of requests and responses.

use clap::{Args, ValueEnum};
use fanlight_server::{
    CapturedHeaders, ProxyHeaders, ProxyNetwork, TooManyHeaders, TrustedProxies,
};
use http::HeaderName;

#[derive(Debug, Args)]
#[command(next_help_heading = "Headers")]
pub(crate) struct HeaderArgs {
    /// A proxy, by address or network, whose `Forwarded` and `X-Forwarded-*` headers
    /// count; may be repeated, with commas in the variable [default: none]
    #[arg(
        long,
        env = "FANLIGHT_TRUST_PROXY",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    trust_proxy: Vec<ProxyNetwork>,
    /// The headers that the trusted proxies write; the server ignores the others.
    /// `auto` uses the family that is present; with both present, a value counts only
    /// if they agree
    #[arg(
        long,
        env = "FANLIGHT_PROXY_HEADERS",
        value_name = "FAMILY",
        value_enum,
        default_value_t
    )]
    proxy_headers: ProxyHeadersArg,
    /// A request header to record on the server span; may be repeated, 32 at most,
    /// with commas in the variable [default: none]
    #[arg(
        long,
        env = "FANLIGHT_CAPTURE_REQUEST_HEADER",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = header_name
    )]
    capture_request_header: Vec<HeaderName>,
    /// A response header to record on the server span; may be repeated, 32 at most,
    /// with commas in the variable [default: none]
    #[arg(
        long,
        env = "FANLIGHT_CAPTURE_RESPONSE_HEADER",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = header_name
    )]
    capture_response_header: Vec<HeaderName>,
}

impl HeaderArgs {
    pub(crate) fn trusted_proxies(&self) -> TrustedProxies {
        TrustedProxies::new(self.trust_proxy.iter().copied()).writing(self.proxy_headers.into())
    }

    /// The headers to record.
    ///
    /// # Errors
    /// Where they are too many.
    pub(crate) fn captured(&self) -> Result<CapturedHeaders, TooManyHeaders> {
        CapturedHeaders::new(&self.capture_request_header, &self.capture_response_header)
    }
}

/// [`ProxyHeaders`] as a flag names it.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ProxyHeadersArg {
    #[default]
    Auto,
    Forwarded,
    XForwarded,
}

impl From<ProxyHeadersArg> for ProxyHeaders {
    fn from(named: ProxyHeadersArg) -> Self {
        match named {
            ProxyHeadersArg::Auto => Self::Auto,
            ProxyHeadersArg::Forwarded => Self::Forwarded,
            ProxyHeadersArg::XForwarded => Self::XForwarded,
        }
    }
}

/// Parses a header's name, which never begins with a colon.
fn header_name(text: &str) -> Result<HeaderName, String> {
    let name = text.trim();
    name.parse()
        .map_err(|_| "it is no name of a header, such as x-request-id".to_owned())
}
