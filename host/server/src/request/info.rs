//! What a request's head says for spans and metrics, by the semantic conventions.
//! Knows headers, nothing of spans.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderValue, Method, Request, Version, header};
use opentelemetry::{KeyValue, StringValue};

use crate::config::trusted_proxies::TrustedProxies;
use crate::request::authority;
use crate::request::forwarded::{Client, Forwarded};
use crate::request::peer::{Peer, Scheme};
use fanlight_telemetry::config::known_methods::KnownMethods;
use fanlight_telemetry::sanitize::truncated;

/// Query parameters whose values are secrets: the semantic conventions' list.
const SECRET_PARAMETERS: [&str; 7] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
];

/// Attributes that a request's span has at its end, as a rule: they are never moved.
const USUAL_ATTRIBUTES: usize = 24;
/// An address of IPv6 in full, with one of IPv4 within it.
const LONGEST_ADDRESS: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();

/// What spans and metrics need of the request's head.
pub(crate) struct RequestInfo {
    method: Cow<'static, str>,
    method_is_known: bool,
    scheme: Scheme,
    version: &'static str,
    /// The authority that the client named: `:authority`, then `Host`.
    named: Option<Authority>,
    /// What is only told by proxies that are trusted; most requests have none.
    forwarded: Option<Box<Forwarded>>,
}

impl RequestInfo {
    pub(crate) fn of<B>(
        request: &Request<B>,
        peer: Peer,
        known: &KnownMethods,
        trusted: &TrustedProxies,
    ) -> Self {
        let (method, method_is_known) = match known.name(request.method()) {
            Some(name) => (name, true),
            None => (Cow::Borrowed("_OTHER"), false),
        };
        let forwarded = crate::request::forwarded::read(request.headers(), peer, trusted);
        Self {
            method,
            method_is_known,
            scheme: forwarded.scheme.unwrap_or(peer.scheme),
            version: protocol_version(request.version()),
            named: authority(request),
            forwarded: (forwarded != Forwarded::default()).then(|| Box::new(forwarded)),
        }
    }

    /// The method as the span's name has it: `HTTP` stands for unknown ones.
    pub(crate) fn name_method(&self) -> &str {
        if self.method_is_known {
            &self.method
        } else {
            "HTTP"
        }
    }

    pub(crate) fn span_name(&self) -> Cow<'static, str> {
        if self.method_is_known {
            self.method.clone()
        } else {
            Cow::Borrowed("HTTP")
        }
    }

    /// Whether the client named a host, and one that can be.
    pub(crate) fn names_a_host(&self) -> bool {
        self.named.is_some()
    }

    /// The scheme that the client spoke, as far as it is known.
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub(crate) fn version(&self) -> &'static str {
        self.version
    }

    /// The method, or what stands for one that is not known.
    pub(crate) fn method(&self) -> &Cow<'static, str> {
        &self.method
    }

    /// What a request is counted by while it runs.
    pub(crate) fn active_attributes(&self) -> [KeyValue; 2] {
        let method: StringValue = match &self.method {
            Cow::Borrowed(known) => (*known).into(),
            Cow::Owned(other) => other.clone().into(),
        };
        [
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.scheme", self.scheme.as_str()),
        ]
    }

    /// Who asked the first of the trusted proxies.
    fn client(&self) -> Option<Client> {
        self.forwarded.as_ref()?.client
    }

    /// The host and port that the client asked for: by trusted proxies, or
    /// else by the request itself. A port that is not written is not recorded.
    fn server(&self) -> (Option<&str>, Option<u16>) {
        let (host, port) = match &self.forwarded {
            Some(forwarded) => (forwarded.host.as_deref(), forwarded.port),
            None => (None, None),
        };
        match (host, &self.named) {
            (None, Some(named)) => (Some(authority::host_of(named)), port.or(named.port_u16())),
            _ => (host, port),
        }
    }
}

/// The attributes that are known from the head: what a sampler may look at.
pub(crate) fn request_attributes<B>(
    request: &Request<B>,
    facts: &RequestInfo,
    peer: Peer,
    limit: usize,
) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(USUAL_ATTRIBUTES);
    attributes.extend(facts.active_attributes());
    if !facts.method_is_known {
        let original = cut(request.method().as_str(), limit);
        attributes.push(KeyValue::new("http.request.method_original", original));
    }
    attributes.push(KeyValue::new("url.path", cut(request.uri().path(), limit)));
    if let Some(query) = request.uri().query() {
        attributes.push(KeyValue::new("url.query", cut(&redacted(query), limit)));
    }
    let (host, port) = facts.server();
    if let Some(host) = host {
        attributes.push(KeyValue::new("server.address", cut(host, limit)));
        if let Some(port) = port {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
    }
    attributes.push(KeyValue::new("network.protocol.version", facts.version));
    let peer_address = StringValue::from(text_of(peer.address.ip().to_canonical()));
    match facts.client() {
        Some(Client { address, port }) => {
            attributes.push(KeyValue::new("client.address", address.to_string()));
            if let Some(port) = port {
                attributes.push(KeyValue::new("client.port", i64::from(port)));
            }
        }
        None => attributes.push(KeyValue::new("client.address", peer_address.clone())),
    }
    attributes.push(KeyValue::new("network.peer.address", peer_address));
    let port = i64::from(peer.address.port());
    attributes.push(KeyValue::new("network.peer.port", port));
    if let Some(agent) = request.headers().get(header::USER_AGENT) {
        let agent = String::from_utf8_lossy(agent.as_bytes());
        attributes.push(KeyValue::new("user_agent.original", cut(&agent, limit)));
    }
    attributes
}

/// An address as a shared text, made without the buffers of a formatted one.
fn text_of(address: IpAddr) -> Arc<str> {
    let mut text = AddressText {
        bytes: [0; LONGEST_ADDRESS],
        length: 0,
    };
    // There is room for the longest.
    let _ = write!(text, "{address}");
    std::str::from_utf8(&text.bytes[..text.length])
        .unwrap_or_default()
        .into()
}

/// Where an address is written.
struct AddressText {
    bytes: [u8; LONGEST_ADDRESS],
    length: usize,
}

impl fmt::Write for AddressText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// The authority, if it is one of HTTP. A target of it alone is CONNECT's, and one
/// that has it makes up for no `Host` that cannot be. In HTTP/1.1 the target's is
/// the one that counts where `Host` names another (RFC 9112 §3.2.2); in HTTP/2 such
/// a request is malformed (RFC 9113 §8.3.1).
fn authority<B>(request: &Request<B>) -> Option<Authority> {
    let uri = request.uri();
    let authority = match uri.authority() {
        Some(_) if uri.scheme().is_none() && request.method() != Method::CONNECT => None,
        Some(authority) => {
            let host = request.headers().get(header::HOST);
            let is_right = match host.filter(|it| !it.is_empty()).map(named) {
                None => true,
                Some(None) => false,
                Some(Some(host)) => {
                    request.version() != Version::HTTP_2
                        || authority::is_same(authority, &host, uri.scheme())
                }
            };
            is_right.then(|| authority.clone())
        }
        None => named(request.headers().get(header::HOST)?),
    };
    authority.filter(authority::is_of_http)
}

fn named(host: &HeaderValue) -> Option<Authority> {
    let authority = host.to_str().ok()?.parse().ok();
    authority.filter(authority::is_of_http)
}

/// Cuts a text at `limit` bytes, at a character's border.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    truncated(text, limit).to_owned()
}

pub(crate) fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => "3",
    }
}

/// Replaces the values of secret parameters by `REDACTED`.
pub(crate) fn redacted(query: &str) -> Cow<'_, str> {
    let is_secret = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        SECRET_PARAMETERS.contains(&name) && pair.contains('=')
    };
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(pair) => format!("{name}=REDACTED"),
        _ => pair.to_owned(),
    });
    Cow::Owned(pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_query_are_redacted_and_nothing_else_is_touched() {
        assert_eq!(redacted("a=1&b"), "a=1&b");
        assert_eq!(
            redacted("sig=abc&a=1&signature=kept"),
            "sig=REDACTED&a=1&signature=kept"
        );
        assert_eq!(
            redacted("X-Amz-Signature=a&X-Amz-Signature=b"),
            "X-Amz-Signature=REDACTED&X-Amz-Signature=REDACTED"
        );
    }

    #[test]
    fn the_longest_addresses_are_told_whole() {
        for address in [
            "127.0.0.1",
            "255.255.255.255",
            "::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "::ffff:255.255.255.255",
            "1:203:405:607:809:a0b:c0d:e0f",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(*text_of(address), *address.to_string());
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
