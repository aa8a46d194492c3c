//! What guests may call: `--allow-outbound`.
//!
//! A rule names origins, or networks. Addresses are checked after a name is resolved: a
//! rule for a name leads to public addresses alone, unless it names a class of others.

pub(crate) mod address;

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use thiserror::Error;

use crate::config::outbound::address::{AddressClass, reached};
use crate::config::trusted_proxies::canonical;

/// Bounds on what guests call.
#[derive(Clone, Copy, Debug)]
pub struct OutboundLimits {
    /// Calls of one request's guest.
    pub calls_per_request: u32,
    /// Calls of all guests at once; further ones wait for their turn.
    pub calls: usize,
    /// Connections that are kept for later calls.
    pub idle_connections: usize,
    /// The longest wait for a connection: resolution, TCP and TLS. A guest may ask for less.
    pub connect_timeout: Duration,
    /// The longest wait for a response's headers. A guest may ask for less.
    pub first_byte_timeout: Duration,
    /// The longest wait within a response's body. A guest may ask for less.
    pub between_bytes_timeout: Duration,
}

impl Default for OutboundLimits {
    fn default() -> Self {
        Self {
            calls_per_request: 100,
            calls: 1_000,
            idle_connections: 256,
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(30),
            between_bytes_timeout: Duration::from_secs(30),
        }
    }
}

/// What guests may call; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundPolicy {
    rules: Arc<[OutboundRule]>,
}

/// One value of `--allow-outbound`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRule {
    /// `http` or `https`; none: either.
    scheme: Option<&'static str>,
    host: HostRule,
    port: PortRule,
    classes: Classes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostRule {
    Any,
    Name(String),
    /// Each name that ends with it, which begins with a dot.
    Below(String),
    Network(IpNet),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PortRule {
    /// The scheme's own: 80 or 443.
    Default,
    Any,
    Only(u16),
}

/// Classes of addresses beside the public one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Classes {
    loopback: bool,
    private: bool,
    link_local: bool,
}

/// What is no rule.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotARule {
    /// Neither a host nor a network.
    #[error(
        "no host: expected an origin such as https://api.example.com, a host such as *.example.com, or a network such as 10.0.0.0/8"
    )]
    Host,
    /// A scheme that guests cannot call by.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// More than an origin.
    #[error("an origin has no path, query or user")]
    MoreThanOrigin,
    /// Not a port.
    #[error("the port is neither a number from 1 to 65535 nor *")]
    Port,
    /// Not a class of addresses.
    #[error("the class of addresses is none of +loopback, +private and +link-local")]
    Class,
}

/// What one origin may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Whether a rule names the host.
    is_named: bool,
    classes: Classes,
    networks: Vec<IpNet>,
}

impl OutboundPolicy {
    /// Allows what `rules` name.
    pub fn new(rules: impl IntoIterator<Item = OutboundRule>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
        }
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What a call to this origin may lead to; none where no rule speaks for it.
    pub(crate) fn grant(&self, uri: &Uri) -> Option<Grant> {
        let scheme = uri.scheme_str()?;
        let host = host(uri)?;
        let port = port(uri)?;
        let mut grant = Grant {
            is_named: false,
            classes: Classes::default(),
            networks: Vec::new(),
        };
        for rule in self.rules.iter().filter(|it| it.speaks_for(scheme, port)) {
            if let HostRule::Network(network) = rule.host {
                grant.networks.push(network);
            } else if rule.host.names(&host) {
                grant.is_named = true;
                grant.classes = grant.classes.with(rule.classes);
            }
        }
        (grant.is_named || !grant.networks.is_empty()).then_some(grant)
    }
}

impl Grant {
    /// Whether a connection to `address` is allowed.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        let class = AddressClass::of(address);
        let by_name = self.is_named
            && match class {
                AddressClass::Public => true,
                AddressClass::Loopback => self.classes.loopback,
                AddressClass::Private => self.classes.private,
                AddressClass::LinkLocal => self.classes.link_local,
                AddressClass::Metadata | AddressClass::Unusable => false,
            };
        by_name || self.networks.iter().any(|it| names(it, address, class))
    }
}

/// Whether a network names an address with its class. One that holds public addresses
/// names those alone; a metadata service is named by its own address.
fn names(network: &IpNet, address: IpAddr, class: AddressClass) -> bool {
    if !network.contains(&reached(address)) && !network.contains(&address) {
        return false;
    }
    match class {
        AddressClass::Public => true,
        AddressClass::Metadata => network.prefix_len() == network.max_prefix_len(),
        AddressClass::Unusable => false,
        _ => {
            let ends = [network.network(), network.broadcast()].map(AddressClass::of);
            ends == [class; 2]
        }
    }
}

/// The host as rules have it: lower case, without the brackets of an address of IPv6
/// and the dot at a name's end.
pub(crate) fn host(uri: &Uri) -> Option<String> {
    let host = uri.host()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// The port that a call connects to.
pub(crate) fn port(uri: &Uri) -> Option<u16> {
    match (uri.port_u16(), uri.scheme_str()?) {
        (Some(port), _) => Some(port),
        (None, "https") => Some(443),
        (None, "http") => Some(80),
        (None, _) => None,
    }
}

impl OutboundRule {
    fn speaks_for(&self, scheme: &str, port: u16) -> bool {
        let is_port = match self.port {
            PortRule::Any => true,
            PortRule::Only(only) => port == only,
            PortRule::Default => port == if scheme == "https" { 443 } else { 80 },
        };
        is_port && self.scheme.is_none_or(|only| only == scheme)
    }
}

impl HostRule {
    /// Whether the rule names a host, which is an address or a name.
    fn names(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(name) => host == name,
            Self::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
            Self::Network(_) => false,
        }
    }
}

impl Classes {
    fn with(self, other: Self) -> Self {
        Self {
            loopback: self.loopback || other.loopback,
            private: self.private || other.private,
            link_local: self.link_local || other.link_local,
        }
    }
}

impl FromStr for OutboundRule {
    type Err = NotARule;

    /// `[SCHEME://]HOST[:PORT][+CLASS...]`, where HOST is a name, `*.` and a name, `*`,
    /// an address or a network, and PORT a number or `*`.
    fn from_str(text: &str) -> Result<Self, NotARule> {
        let mut parts = text.trim().split('+');
        let origin = parts.next().unwrap_or_default();
        let mut classes = Classes::default();
        for class in parts {
            match class {
                "loopback" => classes.loopback = true,
                "private" => classes.private = true,
                "link-local" => classes.link_local = true,
                _ => return Err(NotARule::Class),
            }
        }
        let (scheme, rest) = match origin.split_once("://") {
            None => (None, origin),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some("http"), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some("https"), rest),
            Some(_) => return Err(NotARule::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['?', '#', '@']) {
            return Err(NotARule::MoreThanOrigin);
        }
        let (host, port) = split_port(rest)?;
        let host = host_rule(host)?;
        let is_local = match &host {
            HostRule::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            HostRule::Below(end) => end == ".localhost" || end.ends_with(".localhost"),
            HostRule::Any | HostRule::Network(_) => false,
        };
        if is_local {
            // What the name is for (RFC 6761 §6.3).
            classes.loopback = true;
        }
        Ok(Self {
            scheme,
            host,
            port,
            classes,
        })
    }
}

/// Splits off the port. An address of IPv6 has colons of its own.
fn split_port(text: &str) -> Result<(&str, PortRule), NotARule> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, after)) => (host, Some(after.strip_prefix(':').ok_or(NotARule::Host)?)),
            None => return Err(NotARule::Host),
        },
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let port = match port {
        None => PortRule::Default,
        Some("*") => PortRule::Any,
        Some(port) => match port.parse() {
            Ok(port @ 1..) => PortRule::Only(port),
            _ => return Err(NotARule::Port),
        },
    };
    Ok((host, port))
}

fn host_rule(text: &str) -> Result<HostRule, NotARule> {
    if text == "*" {
        return Ok(HostRule::Any);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(HostRule::Network(reached(address).into()));
    }
    if let Ok(network) = text.parse::<IpNet>() {
        return Ok(HostRule::Network(canonical(network).trunc()));
    }
    if text.contains('/') {
        return Err(NotARule::MoreThanOrigin);
    }
    let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let (name, is_below) = match text.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (text.as_str(), false),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
    };
    if !name.split('.').all(is_label) {
        return Err(NotARule::Host);
    }
    Ok(if is_below {
        HostRule::Below(format!(".{name}"))
    } else {
        HostRule::Name(text)
    })
}

#[cfg(test)]
mod tests;
