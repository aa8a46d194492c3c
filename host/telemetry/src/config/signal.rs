//! Where one signal goes: what `OTEL_<SIGNAL>_EXPORTER` and
//! `OTEL_EXPORTER_OTLP_*` say. A signal's own variable stands over the common one.

use std::fmt;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT as SPECIFIED_TIMEOUT;

use crate::config::client_tls::ClientTls;
use crate::config::endpoint::{self, Endpoint};
use crate::config::env::{Env, percent_decoded};
use crate::config::exporters::Exporters;
use crate::config::protocol::Protocol;

/// How long an export may take by default: the specification's 10 s.
pub(crate) const DEFAULT_TIMEOUT: Duration = SPECIFIED_TIMEOUT;

/// Where one signal goes.
#[derive(Clone, Debug)]
pub struct SignalConfig {
    /// Whether it is sent by OTLP.
    pub enabled: bool,
    /// Whether it is written to standard output.
    pub console: bool,
    /// The wire protocol.
    pub protocol: Protocol,
    /// The address, for HTTP with the signal's path.
    pub endpoint: String,
    /// Whether the address is the default.
    pub endpoint_is_default: bool,
    /// What each request carries besides: often a key.
    pub headers: HeaderMap,
    /// How requests are compressed.
    pub compression: Compression,
    /// How long one export may take, its retries included.
    pub timeout: Duration,
    /// What `https` trusts and shows.
    pub tls: ClientTls,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By gzip.
    Gzip,
}

impl SignalConfig {
    /// Whether it goes anywhere.
    pub fn is_exported(&self) -> bool {
        self.enabled || self.console
    }

    /// The address as the log may show it: without a user, a password or a
    /// query, which may hold a key.
    pub(crate) fn shown_endpoint(&self) -> String {
        endpoint::shown(&self.endpoint)
    }

    pub(crate) fn is_https(&self) -> bool {
        let scheme = self.endpoint.get(..8).unwrap_or_default();
        scheme.eq_ignore_ascii_case("https://")
    }

    /// Reads the variables of the signal, `TRACES` and its like.
    pub(crate) fn read(env: &mut Env, signal: &str, disabled: bool) -> Self {
        let exporters = Exporters::read(env, signal);
        let protocol = env
            .first(
                &[
                    &format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"),
                    "OTEL_EXPORTER_OTLP_PROTOCOL",
                ],
                "grpc, http/protobuf or http/json",
                Protocol::parse,
            )
            .unwrap_or(Protocol::Grpc);
        let endpoint = Endpoint::read(env, signal, protocol);
        let mut headers = headers(env, signal);
        if let Some(authorization) = endpoint.authorization {
            headers.entry(AUTHORIZATION).or_insert(authorization);
        }
        let timeout = [
            format!("OTEL_EXPORTER_OTLP_{signal}_TIMEOUT"),
            "OTEL_EXPORTER_OTLP_TIMEOUT".to_owned(),
        ]
        .iter()
        .find_map(|name| env.timeout(name));
        let compression = env.first(
            &[
                &format!("OTEL_EXPORTER_OTLP_{signal}_COMPRESSION"),
                "OTEL_EXPORTER_OTLP_COMPRESSION",
            ],
            "gzip or none",
            |text| match text {
                "gzip" => Some(Compression::Gzip),
                "none" => Some(Compression::None),
                _ => None,
            },
        );
        let config = Self {
            enabled: !disabled && exporters.otlp,
            console: !disabled && exporters.console,
            protocol,
            endpoint: endpoint.address,
            endpoint_is_default: endpoint.is_default,
            headers,
            compression: compression.unwrap_or_default(),
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            tls: ClientTls::read(env, signal),
        };
        if config.enabled && config.tls.is_given() && !config.is_https() {
            let what = format!("not used for {signal}, whose address is not https");
            env.warn_of_secret("OTEL_EXPORTER_OTLP_CERTIFICATE and its like", &what);
        }
        config
    }
}

impl fmt::Display for SignalConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.enabled {
            let tls = if self.is_https() { ", TLS" } else { "" };
            write!(
                f,
                "{} (OTLP, {}{tls})",
                self.shown_endpoint(),
                self.protocol
            )?;
        }
        match (self.enabled, self.console) {
            (false, false) => f.write_str("off"),
            (false, true) => f.write_str("standard output"),
            (true, true) => f.write_str(" and standard output"),
            (true, false) => Ok(()),
        }
    }
}

/// `key=value,key=value`, the values percent-decoded. A pair that is no header
/// is left out and warned about, without what may be a secret.
fn headers(env: &mut Env, signal: &str) -> HeaderMap {
    let own = format!("OTEL_EXPORTER_OTLP_{signal}_HEADERS");
    let common = "OTEL_EXPORTER_OTLP_HEADERS";
    let mut headers = HeaderMap::new();
    for name in [own.as_str(), common] {
        let Some(text) = env.text(name) else { continue };
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            match header(pair) {
                Some((key, value)) => {
                    headers.insert(key, value);
                }
                None => env.warn_of_secret(name, "a pair is no header; left out"),
            }
        }
        break;
    }
    headers
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (key, value) = pair.split_once('=')?;
    let key = percent_decoded(key.trim())?;
    let mut value = HeaderValue::from_str(&percent_decoded(value.trim())?).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(key.as_bytes()).ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(vars: &[(&str, &str)]) -> (SignalConfig, Vec<String>) {
        let vars = vars
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let mut env = Env::new(vars);
        let signal = SignalConfig::read(&mut env, "TRACES", false);
        (signal, env.warnings)
    }

    #[test]
    fn headers_are_percent_decoded_and_a_bad_pair_is_told_without_its_value() {
        let (config, warnings) = signal(&[(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "api-key = a%2Cb%3D , authorization=Basic dXNlcg==,,bad key=hush,worse=%zz",
        )]);
        assert_eq!(config.headers["api-key"], "a,b=");
        assert_eq!(config.headers["authorization"], "Basic dXNlcg==");
        assert_eq!(config.headers.len(), 2);
        assert_eq!(warnings.len(), 1);
        assert!(!warnings.concat().contains("hush"), "{warnings:?}");
        assert!(!format!("{config:?}").contains("dXNlcg"), "{config:?}");
    }

    #[test]
    fn the_query_of_a_base_address_stays_behind_the_path() {
        let (config, _) = signal(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://backend/otlp/?key=a"),
        ]);
        assert_eq!(config.endpoint, "http://backend/otlp/v1/traces?key=a");
    }

    #[test]
    fn a_certificate_for_an_address_that_is_not_secure_is_warned_about() {
        let given = ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/ca.pem");
        let endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let scheme = ("OTEL_EXPORTER_OTLP_INSECURE", "false");
        let warned = |address| signal(&[given, scheme, (endpoint, address)]).1.len();
        assert_eq!(warned("http://backend"), 1);
        assert_eq!(warned("https://backend"), 0);
        assert_eq!(warned("backend:4317"), 0);
    }

    #[test]
    fn what_a_signal_cannot_read_of_its_own_is_as_if_unset() {
        let (config, warnings) = signal(&[
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "smoke"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/JSON"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zip"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "-1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "7"),
        ]);
        assert_eq!(config.protocol, Protocol::HttpJson);
        assert_eq!(config.compression, Compression::Gzip);
        assert_eq!(config.timeout, Duration::from_millis(7));
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }
}
