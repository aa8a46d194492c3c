//! Where a signal's requests go: `OTEL_EXPORTER_OTLP_ENDPOINT`, and a signal's own.
//!
//! The host warns once about an invalid address, names what it uses instead, and treats
//! the variable as unset. An address never carries a password: that becomes a header.

#[cfg(test)]
mod tests;

use std::num::NonZeroU16;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderValue, Uri};
use reqwest::Url;

use crate::config::env::{Env, percent_decoded};
use crate::config::protocol::Protocol;

/// An address of a collector.
pub(crate) struct Endpoint {
    /// The address, for HTTP with the signal's path.
    pub(crate) address: String,
    /// Whether it is the default.
    pub(crate) is_default: bool,
    /// The user and the password that the variable has in the address.
    pub(crate) authorization: Option<HeaderValue>,
}

/// An address that can be sent to, and a warning about it.
struct Parsed {
    address: String,
    authorization: Option<HeaderValue>,
    warning: Option<String>,
}

const NO_URL: &str = "is not a URL";
const NO_PORT: &str = "has a port that is not a number from 1 to 65535";

impl Endpoint {
    /// Reads the variables of the signal, `TRACES` and its like.
    pub(crate) fn read(env: &mut Env, signal: &str, protocol: Protocol) -> Self {
        let own = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
        let common = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let insecure = insecure(env, signal);
        let mut refused = Vec::new();
        let mut found = None;
        for name in [own.as_str(), common] {
            let Some(text) = env.text(name) else { continue };
            match parsed(&text, protocol, insecure) {
                Ok(parsed) => {
                    found = Some((name, text, parsed));
                    break;
                }
                Err(problem) => refused.push((name, text, problem)),
            }
        }
        let default = format!("http://localhost:{}", protocol.default_port());
        let used = found.as_ref().map_or(&default, |(.., it)| &it.address);
        for (name, text, problem) in refused {
            let what = format!(
                "{problem}; expected http://HOST:PORT or https://HOST:PORT; ignored, {} is used",
                shown(used)
            );
            env.warn(name, &shown(&text), &what);
        }
        let is_default = found.is_none();
        let (is_own, parsed) = match found {
            Some((name, text, parsed)) => {
                if let Some(warning) = &parsed.warning {
                    env.warn(name, &shown(&text), warning);
                }
                (name == own, parsed)
            }
            None => (false, Parsed::plain(default)),
        };
        let address = match protocol {
            // A signal's own address is taken as it stands.
            _ if is_own => parsed.address,
            Protocol::Grpc => parsed.address,
            Protocol::HttpProtobuf | Protocol::HttpJson => {
                let (base, query) = without_query(&parsed.address);
                let base = base.trim_end_matches('/');
                format!("{base}/v1/{}{query}", signal.to_ascii_lowercase())
            }
        };
        Self {
            address,
            is_default,
            authorization: parsed.authorization,
        }
    }
}

impl Parsed {
    fn plain(address: String) -> Self {
        Self {
            address,
            authorization: None,
            warning: None,
        }
    }
}

/// Reads an address; `insecure` is what a missing scheme means, where it is set.
///
/// # Errors
/// What is wrong with it.
fn parsed(text: &str, protocol: Protocol, insecure: Option<bool>) -> Result<Parsed, &'static str> {
    if text.contains(|it: char| it.is_whitespace() || it.is_control() || it == '\\') {
        return Err(NO_URL);
    }
    let is_grpc = protocol == Protocol::Grpc;
    if text.starts_with("unix:") {
        return Err("is a socket of the system, which is not supported");
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    let scheme = match (scheme.as_deref(), insecure) {
        (Some("http"), _) => "http",
        (Some("https"), _) => "https",
        (Some("grpc"), _) if is_grpc => "http",
        (Some("grpcs"), _) if is_grpc => "https",
        (Some(_), _) => return Err("has a scheme that is neither http nor https"),
        (None, Some(true)) if is_grpc => "http",
        (None, _) if is_grpc => "https",
        (None, _) => return Err("has no scheme"),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host_and_port) = match authority.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, authority),
    };
    let (host, port) = match host_and_port.rfind(':') {
        Some(at) if !host_and_port[at..].contains(']') => host_and_port.split_at(at),
        _ => (host_and_port, ""),
    };
    if host.is_empty() {
        return Err("has no host");
    }
    let is_port = |port: &str| port[1..].parse::<NonZeroU16>().is_ok();
    if !port.is_empty() && !is_port(port) {
        return Err(NO_PORT);
    }
    let address = format!("{scheme}://{host_and_port}{path}");
    if Url::parse(&address).is_err() || address.parse::<Uri>().is_err() {
        return Err(NO_URL);
    }
    let plain = format!("http://{host_and_port}");
    let warning = match (text.split_once("://"), insecure) {
        (None, None) => Some(format!(
            "no scheme means TLS; write {plain} for a collector without TLS, https://{host_and_port} \
             for one with TLS"
        )),
        (Some((given, _)), _) if !given.eq_ignore_ascii_case(scheme) => Some(format!(
            "expected http:// or https://; taken as {scheme}://{host_and_port}"
        )),
        _ if is_grpc && !matches!(path, "" | "/") => {
            Some("the path has no effect: gRPC has its own".to_owned())
        }
        _ => None,
    };
    Ok(Parsed {
        address,
        authorization: user.and_then(authorization),
        warning,
    })
}

/// What HTTP makes of a user and a password in an address (RFC 7617).
fn authorization(user: &str) -> Option<HeaderValue> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text: &str| percent_decoded(text).unwrap_or_else(|| text.to_owned());
    let pair = BASE64.encode(format!("{}:{}", decoded(name), decoded(password)));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What an address of gRPC without a scheme means, where a variable sets it.
fn insecure(env: &mut Env, signal: &str) -> Option<bool> {
    let own = format!("OTEL_EXPORTER_OTLP_{signal}_INSECURE");
    let names = [own.as_str(), "OTEL_EXPORTER_OTLP_INSECURE"];
    let set = names.into_iter().find(|name| env.text(name).is_some())?;
    Some(env.boolean(set))
}

/// An address as the log may show it: without a user, a password or a query, which
/// may hold a key.
pub(crate) fn shown(address: &str) -> String {
    let (address, _) = without_query(address);
    let (scheme, rest) = match address.find("://") {
        Some(at) => address.split_at(at + 3),
        None => ("", address),
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}{}", &rest[at + 1..]),
        None => address.to_owned(),
    }
}

/// What stands before the query of an address, and the rest.
fn without_query(address: &str) -> (&str, &str) {
    address.split_at(address.find(['?', '#']).unwrap_or(address.len()))
}
