//! The flags about what is made of a request's headers.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use http::HeaderName;

use crate::captured_headers::{CapturedHeaders, TooManyHeaders};
use crate::trusted_proxies::{ProxyHeaders, ProxyNetwork, TrustedProxies};

#[derive(Debug, Args)]
#[command(next_help_heading = "Headers")]
pub(super) struct HeaderArgs {
    /// A proxy, by its address or network, whose `Forwarded` and `X-Forwarded-*`
    /// are believed; may be repeated
    #[arg(
        long,
        env = "FANLIGHT_TRUST_PROXY",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    trust_proxy: Vec<ProxyNetwork>,
    /// Which headers the trusted proxies write; the others are not looked at
    #[arg(
        long,
        env = "FANLIGHT_PROXY_HEADERS",
        value_name = "FAMILY",
        value_enum,
        default_value_t
    )]
    proxy_headers: ProxyHeaders,
    /// A header of requests to tell on the server span; may be repeated
    #[arg(
        long,
        env = "FANLIGHT_CAPTURE_REQUEST_HEADER",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = header_name
    )]
    capture_request_header: Vec<HeaderName>,
    /// A header of answers to tell on the server span; may be repeated
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
    pub(super) fn trusted_proxies(&self) -> TrustedProxies {
        TrustedProxies::new(self.trust_proxy.iter().copied()).writing(self.proxy_headers)
    }

    /// The headers to tell.
    ///
    /// # Errors
    /// Where they are too many.
    pub(super) fn captured(&self) -> Result<CapturedHeaders, TooManyHeaders> {
        CapturedHeaders::new(&self.capture_request_header, &self.capture_response_header)
    }
}

impl ValueEnum for ProxyHeaders {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Forwarded, Self::XForwarded]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Auto => "auto",
            Self::Forwarded => "forwarded",
            Self::XForwarded => "x-forwarded",
        }))
    }
}

/// Parses a name; those that begin with a colon are none of HTTP's headers.
fn header_name(text: &str) -> Result<HeaderName, String> {
    let name = text.trim();
    name.parse()
        .map_err(|_| "it is no name of a header, such as x-request-id".to_owned())
}
