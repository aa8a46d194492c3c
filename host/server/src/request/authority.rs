//! What an authority is in HTTP: a host, and a port that can be one. Parsers of
//! URIs are laxer.

use std::net::Ipv6Addr;

use http::uri::{Authority, Scheme};

/// Whether a request may name this authority: a host (RFC 9110 §4.2.1), then
/// nothing or a port, and no user (RFC 9112 §3.2, RFC 9113 §8.3.1).
pub(crate) fn is_of_http(authority: &Authority) -> bool {
    let text = authority.as_str();
    let (is_host, after) = if let Some(literal) = text.strip_prefix('[') {
        let Some((address, after)) = literal.split_once(']') else {
            return false;
        };
        (is_ip_literal(address), after)
    } else {
        let host = text.split(':').next().unwrap_or_default();
        (is_name(host), &text[host.len()..])
    };
    is_host && (after.is_empty() || after.strip_prefix(':').is_some_and(is_port))
}

/// Whether two authorities are one, where these are of URIs of this scheme
/// (RFC 9110 §4.2.3).
pub(crate) fn is_same(one: &Authority, other: &Authority, scheme: Option<&Scheme>) -> bool {
    let port = |authority: &Authority| match (authority.port_u16(), scheme) {
        (None, Some(scheme)) if *scheme == Scheme::HTTP => Some(80),
        (None, Some(scheme)) if *scheme == Scheme::HTTPS => Some(443),
        (port, _) => port,
    };
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

/// The host of an authority: an address of IPv6 without its brackets.
pub(crate) fn host_of(authority: &Authority) -> &str {
    let host = authority.host();
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Digits, which may be none (RFC 3986 §3.2.3), of a number that TCP has.
fn is_port(text: &str) -> bool {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits && (text.is_empty() || text.parse::<u16>().is_ok())
}

/// A registered name or an IPv4 address (RFC 3986 §3.2.2), without `%`, which
/// `http` takes in no host.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_plain)
}

/// What stands between brackets: an IPv6 address, or one of a later version.
fn is_ip_literal(text: &str) -> bool {
    let Some(future) = text.strip_prefix(['v', 'V']) else {
        return text.parse::<Ipv6Addr>().is_ok();
    };
    future.split_once('.').is_some_and(|(version, address)| {
        !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !address.is_empty()
            && address.bytes().all(|byte| byte == b':' || is_plain(byte))
    })
}

/// `unreserved` and `sub-delims` of RFC 3986.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(text: &str) -> bool {
        text.parse().is_ok_and(|authority| is_of_http(&authority))
    }

    #[test]
    fn a_host_with_or_without_a_port_is_an_authority() {
        for text in [
            "a",
            "a.example",
            "a_b-c~d",
            "a:80",
            "a:0080",
            "a:65535",
            // RFC 3986 §3.2.3 lets the port be empty.
            "a:",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:8000",
            "[::ffff:1.2.3.4]:",
            "[v1.a:b]",
        ] {
            assert!(is_taken(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_no_authority() {
        for text in [
            "",
            ":80",
            "a:b",
            "a:99999",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:8 0",
            "a:80:80",
            "a b",
            " a",
            "a\t",
            "u@a",
            "u:p@a",
            "@a",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a%20b",
            "[]",
            "[::1",
            "::1",
            "[::1]a",
            "[::1]:b",
            "[::1]:99999",
            "[1.2.3.4]",
            "[::g]",
            "[::1%25lo]",
            "[v.a]",
            "[v1.]",
            "[a]",
        ] {
            assert!(!is_taken(text), "{text}");
        }
    }

    #[test]
    fn a_default_port_and_the_case_of_a_host_make_no_difference() {
        let is_same = |one: &str, other: &str, scheme: Option<Scheme>| {
            is_same(
                &one.parse().unwrap(),
                &other.parse().unwrap(),
                scheme.as_ref(),
            )
        };
        assert!(is_same("a", "A", None));
        assert!(is_same("a", "a:80", Some(Scheme::HTTP)));
        assert!(is_same("a:", "a:443", Some(Scheme::HTTPS)));
        assert!(!is_same("a", "a:443", Some(Scheme::HTTP)));
        assert!(!is_same("a", "a:80", None));
        assert!(!is_same("a", "b", Some(Scheme::HTTP)));
    }
}
