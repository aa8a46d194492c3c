//! Requests that no guest can handle: heads whose framing, address or meaning
//! `wasi:http` cannot express.

use std::net::SocketAddr;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};

use crate::config::RequestLimits;
use crate::error::HandleError;
use crate::request::info::RequestInfo;

/// Names the server as the host that a request of HTTP/1.0 asks, which need not
/// name one: health checks do not (RFC 9112 §3.2 demands it of HTTP/1.1 alone).
pub(crate) fn name_host<B>(request: &mut Request<B>, own: Option<SocketAddr>) {
    let names_none = request.version() <= Version::HTTP_10
        && request.uri().authority().is_none()
        && !request.headers().contains_key(header::HOST);
    if let Some(own) = own.filter(|_| names_none)
        // Without the scope of an IPv6 address, which no authority has.
        && let Ok(host) = HeaderValue::try_from(SocketAddr::new(own.ip(), own.port()).to_string())
    {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// Checks a request's head.
///
/// # Errors
/// Where it is one that no guest can be asked.
pub(crate) fn check(
    head: &Parts,
    info: &RequestInfo,
    limits: &RequestLimits,
) -> Result<(), HandleError> {
    // HTTP/1.1's are bounded where they are parsed.
    if head.headers.len() > limits.max_headers {
        return Err(HandleError::HeadersTooLarge);
    }
    if head.method == Method::CONNECT {
        return Err(HandleError::Unsupported("CONNECT is not supported"));
    }
    if !is_encoding_known(&head.headers) {
        return Err(HandleError::Unsupported(
            "No transfer coding but chunked is supported",
        ));
    }
    if is_upgrade(head.version, &head.headers) {
        return Err(HandleError::Unsupported(
            "Protocol upgrades are not supported",
        ));
    }
    if head.headers.get_all(header::HOST).iter().count() > 1 {
        return Err(HandleError::BadRequest(
            "The request has more than one Host",
        ));
    }
    // On HTTP/1.1 a request has a Host whatever its target is (RFC 9112 §3.2).
    let lacks_host = head.version == Version::HTTP_11 && !head.headers.contains_key(header::HOST);
    if lacks_host || !info.names_a_host() {
        return Err(HandleError::BadRequest("The request has no valid Host"));
    }
    Ok(())
}

/// Whether the client asks for another protocol, and would not go on by this one.
/// `h2c` may be ignored (RFC 9113 §3.1), and curl offers it with every `--http2`;
/// so may TLS (RFC 2817 §3.1), which Apache's client offers. In HTTP/1.0, or
/// where `Connection` does not name it, an offer is none (RFC 9110 §7.8).
fn is_upgrade(version: Version, headers: &HeaderMap) -> bool {
    let is_offered = version == Version::HTTP_11
        && members(headers, &header::CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade"));
    is_offered
        && members(headers, &header::UPGRADE).any(|protocol| {
            let name = protocol.split('/').next().unwrap_or_default();
            !["h2c", "TLS"]
                .iter()
                .any(|it| name.eq_ignore_ascii_case(it))
        })
}

/// The members of a list in header fields; empty ones are none (RFC 9110 §5.6.1).
fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let fields = headers.get_all(name).into_iter();
    let members = fields.flat_map(|field| field.to_str().unwrap_or("?").split(','));
    members.map(str::trim).filter(|member| !member.is_empty())
}

/// Whether the body is in chunks at most. hyper looks at the last coding alone,
/// and would hand over what the others made of the body (RFC 9112 §6.1).
fn is_encoding_known(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => true,
        (Some(only), None) => only.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade(version: Version, connection: &'static str, protocols: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
        headers.insert(header::UPGRADE, HeaderValue::from_static(protocols));
        is_upgrade(version, &headers)
    }

    #[test]
    fn an_offer_that_may_be_ignored_is_and_any_other_upgrade_is_not() {
        let offer = |protocols| upgrade(Version::HTTP_11, "keep-alive, Upgrade", protocols);
        for ignored in [
            "h2c",
            "TLS/1.2",
            "tls/1.0",
            "h2c, TLS/1.2",
            "h2c,",
            ", ",
            "",
        ] {
            assert!(!offer(ignored), "{ignored}");
        }
        for demanded in ["websocket", "h2c, websocket", "TLS/1.2, x/1", "h2"] {
            assert!(offer(demanded), "{demanded}");
        }
        assert!(!upgrade(Version::HTTP_10, "upgrade", "websocket"));
        assert!(!upgrade(Version::HTTP_11, "keep-alive", "websocket"));
    }
}
