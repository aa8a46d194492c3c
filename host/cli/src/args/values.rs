//! The parsers of values that several flags have. What they refuse comes with an example.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytesize::ByteSize;
use fanlight_server::AdminAddress;
use http::Uri;

/// The most memory that one instance can address: components have 32-bit memories.
const ADDRESSABLE: ByteSize = ByteSize::gib(4);

/// Parses a duration.
pub(crate) fn duration(text: &str) -> Result<humantime::Duration, String> {
    text.parse()
        .map_err(|_| "expected a duration, such as 30s, 500ms or 5m".to_owned())
}

/// Parses a duration that ends.
pub(crate) fn some_duration(text: &str) -> Result<humantime::Duration, String> {
    match duration(text)? {
        none if none.is_zero() => Err("expected a duration greater than zero".to_owned()),
        some => Ok(some),
    }
}

/// Parses a number of bytes.
pub(crate) fn size(text: &str) -> Result<ByteSize, String> {
    text.parse()
        .map_err(|_| "expected a size, such as 64MiB or 512KiB".to_owned())
}

/// Parses the memory of an instance.
pub(crate) fn memory(text: &str) -> Result<ByteSize, String> {
    match size(text)? {
        size if size > ADDRESSABLE => Err(format!("expected at most {ADDRESSABLE}")),
        size => Ok(size),
    }
}

/// Parses an address to listen on.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "expected an IP address and a port, such as 127.0.0.1:8000 or [::]:8000".to_owned()
    })
}

/// Parses the address of the admin port.
pub(crate) fn admin_address(text: &str) -> Result<AdminAddress, String> {
    text.parse()
        .map_err(|_| "expected an IP address and a port, such as 127.0.0.1:9000, or off".to_owned())
}

/// Parses the address of a running server's admin port.
pub(crate) fn admin_url(text: &str) -> Result<String, String> {
    let uri: Option<Uri> = text.parse().ok();
    let has_host = |uri: Uri| uri.scheme_str() == Some("http") && uri.host().is_some();
    match uri.is_some_and(has_host) {
        true => Ok(text.to_owned()),
        false => Err("expected an http:// address, such as http://127.0.0.1:9000".to_owned()),
    }
}

/// An address that a client on this machine can connect to: a wildcard is none.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_some_are_not_zero() {
        assert!(duration("0s").is_ok());
        assert!(some_duration("1ms").is_ok());
        assert!(some_duration("0s").unwrap_err().contains("greater"));
        for text in ["", "30", "soon", "-1s", "1x"] {
            assert!(duration(text).unwrap_err().contains("30s"), "{text:?}");
        }
    }

    #[test]
    fn a_memory_is_one_that_an_instance_can_address() {
        assert_eq!(memory("4GiB"), Ok(ByteSize::gib(4)));
        for text in ["4097MiB", "1000TiB"] {
            assert!(memory(text).unwrap_err().contains("4.0 GiB"), "{text}");
        }
        assert!(memory("lots").unwrap_err().contains("64MiB"));
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_an_example() {
        assert!(address("[::1]:80").is_ok());
        for text in ["8000", "localhost:8000", ":8000", "somewhere"] {
            let refused = address(text).unwrap_err();
            assert!(refused.contains("127.0.0.1:8000"), "{text}: {refused}");
        }
        assert_eq!(admin_address("off"), Ok(AdminAddress::Off));
        assert!(admin_address("9000").unwrap_err().ends_with("or off"));
        assert!(admin_url("http://[::1]:9000/").is_ok());
        for text in ["foo", "https://localhost:9000", "http://", "localhost:9000"] {
            assert!(admin_url(text).is_err(), "{text}");
        }
    }
}
