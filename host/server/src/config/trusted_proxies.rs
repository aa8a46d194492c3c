//! The proxies whose word on a request's origin is taken, and the headers that
//! they write it in: `--trust-proxy`, `--proxy-headers`.
//!
//! Without a named proxy the server ignores those headers: any client could
//! otherwise claim another address.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use thiserror::Error;

/// The networks that trusted proxies are in, and the headers that they write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Arc<[IpNet]>,
    headers: ProxyHeaders,
}

/// The family of headers in which trusted proxies say where a request comes
/// from. The other one is the client's to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeaders {
    /// Whichever is there; where both are, what both say.
    #[default]
    Auto,
    /// `Forwarded` (RFC 7239), and nothing else.
    Forwarded,
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`, and nothing else.
    XForwarded,
}

/// A network as it is written: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyNetwork(IpNet);

/// What is no network.
#[derive(Debug, Error)]
#[error("neither an address nor a network such as 10.0.0.0/8")]
pub struct NotANetwork;

impl TrustedProxies {
    /// Trusts proxies in these networks.
    pub fn new(networks: impl IntoIterator<Item = ProxyNetwork>) -> Self {
        Self {
            networks: networks.into_iter().map(|ProxyNetwork(it)| it).collect(),
            headers: ProxyHeaders::default(),
        }
    }

    /// The same proxies, which write these headers.
    #[must_use]
    pub fn writing(self, headers: ProxyHeaders) -> Self {
        Self { headers, ..self }
    }

    /// The headers that they write.
    pub(crate) fn headers(&self) -> ProxyHeaders {
        self.headers
    }

    /// Whether no proxy is trusted.
    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether an address is a trusted proxy's.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

impl FromStr for ProxyNetwork {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let text = text.trim();
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| NotANetwork)?,
        };
        Ok(Self(canonical(network).trunc()))
    }
}

/// IPv4 within IPv6 is IPv4, as addresses of peers are here.
pub(crate) fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else {
        return network;
    };
    let narrow = wide.addr().to_ipv4_mapped();
    let length = wide.prefix_len().checked_sub(96);
    match (narrow, length) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(networks: &[&str], address: &str) -> bool {
        let networks = networks.iter().map(|text| text.parse().unwrap());
        TrustedProxies::new(networks).contain(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("::1", "::1", true),
            // A listener for both kinds sees IPv4 within IPv6.
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.200.0.1", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
        ] {
            assert_eq!(trusts(&[network], address), is_in, "{network} {address}");
        }
        assert!(trusts(&["::1", "127.0.0.0/8"], "127.0.0.1"));
        assert!(!trusts(&[], "127.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "*",
            "localhost",
            "10.0.0.0/33",
            "10.0.0",
            "10.0.0.0/",
            "::/129",
        ] {
            assert!(text.parse::<ProxyNetwork>().is_err(), "{text:?}");
        }
    }
}
