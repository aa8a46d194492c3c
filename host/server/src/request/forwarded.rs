//! Where a request comes from, by trusted proxies' headers: `Forwarded` (RFC 7239), or else `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
//!
//! Each proxy adds an entry on the right, which names its own client. So the host
//! reads from the right, past trusted proxies, to the first entry that is none: the
//! client. The client may have written the entries left of it, so they do not count.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::Authority;
use http::{HeaderMap, HeaderName, header};

use crate::config::trusted_proxies::{ProxyHeaders, TrustedProxies};
use crate::request::authority;
use crate::request::peer::{Peer, Scheme};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Where a request comes from, as far as trusted proxies tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    pub(crate) client: Option<Client>,
    /// The scheme that the client spoke.
    pub(crate) scheme: Option<Scheme>,
    /// The host that the client asked for.
    pub(crate) host: Option<String>,
    /// The port that the client asked for.
    pub(crate) port: Option<u16>,
}

/// Whom a trusted proxy was asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) port: Option<u16>,
}

/// An entry of the walk.
enum Node {
    Client(Client),
    /// A node whose address is withheld, or not known.
    Hidden,
}

/// Where the walk has ended: how many entries from the right, and who is there.
struct Found {
    at: usize,
    client: Option<Client>,
}

/// Reads what the headers say, where the peer may be believed.
///
/// Most proxies write one family and let the other pass as the client wrote it.
/// With `auto` and both families present, a value counts only if they agree: one of
/// them may be the client's, and nothing shows which.
pub(crate) fn read(headers: &HeaderMap, peer: Peer, trusted: &TrustedProxies) -> Forwarded {
    if trusted.is_empty() || !trusted.contain(peer.address.ip()) {
        return Forwarded::default();
    }
    let standard = || standard(headers, trusted).unwrap_or_default();
    let usual = || x_forwarded(headers, trusted);
    match trusted.headers() {
        ProxyHeaders::Forwarded => standard(),
        ProxyHeaders::XForwarded => usual(),
        ProxyHeaders::Auto if !headers.contains_key(header::FORWARDED) => usual(),
        ProxyHeaders::Auto if !has_x_forwarded(headers) => standard(),
        ProxyHeaders::Auto => standard().agreed(&usual()),
    }
}

/// Whether any header of the family is there, whatever it says.
fn has_x_forwarded(headers: &HeaderMap) -> bool {
    [
        &X_FORWARDED_FOR,
        &X_FORWARDED_PROTO,
        &X_FORWARDED_HOST,
        &X_FORWARDED_PORT,
    ]
    .into_iter()
    .any(|name| headers.contains_key(name))
}

impl Forwarded {
    /// What both say, each thing by itself. A port belongs to its address or host.
    fn agreed(self, other: &Self) -> Self {
        let client = match (self.client, other.client) {
            (Some(one), Some(other)) if one.address == other.address => Some(Client {
                address: one.address,
                port: one.port.filter(|_| one.port == other.port),
            }),
            _ => None,
        };
        let host = self.host.filter(|host| {
            let other = other.host.as_deref();
            other.is_some_and(|other| other.eq_ignore_ascii_case(host))
        });
        Self {
            client,
            scheme: self.scheme.filter(|_| self.scheme == other.scheme),
            port: self
                .port
                .filter(|_| host.is_some() && self.port == other.port),
            host,
        }
    }
}

/// Walks from the right to the first who is no trusted proxy; where all are,
/// the farthest one is the client. None where an entry on the way is malformed.
fn walk<'a>(
    entries: impl Iterator<Item = Option<&'a str>>,
    parse: impl Fn(&str) -> Option<Node>,
    trusted: &TrustedProxies,
) -> Option<Found> {
    let mut farthest = Found {
        at: 0,
        client: None,
    };
    for (at, entry) in entries.enumerate() {
        let node = match entry {
            Some(text) => parse(text)?,
            None => Node::Hidden,
        };
        match node {
            Node::Hidden => return Some(Found { at, client: None }),
            Node::Client(client) => {
                let client_at = Found {
                    at,
                    client: Some(client),
                };
                if !trusted.contain(client.address) {
                    return Some(client_at);
                }
                farthest = client_at;
            }
        }
    }
    Some(farthest)
}

/// `Forwarded`; none where it is malformed, as far as it is looked at.
fn standard(headers: &HeaderMap, trusted: &TrustedProxies) -> Option<Forwarded> {
    let mut elements = Vec::new();
    for line in headers.get_all(header::FORWARDED).iter().rev() {
        let Some(line) = line.to_str().ok().and_then(parse_elements) else {
            // A line that the client wrote is no reason to doubt the proxy's,
            // which is right of it; a walk that comes this far ends here.
            elements.push(Element::malformed());
            break;
        };
        elements.extend(line.into_iter().rev());
    }
    let names = elements.iter().map(|element| element.node.as_deref());
    let found = walk(names, node, trusted)?;
    // What the client's own proxy leaves out, the next one may know.
    let nearer = || elements.iter().take(found.at + 1).rev();
    let proto = nearer().find_map(|element| element.proto.as_deref());
    let host = nearer().find_map(|element| element.host.as_deref());
    // Proxies hand on what the client called the host: to call it something odd
    // shall not hide his address.
    let (host, port) = host.and_then(host_and_port).unzip();
    Some(Forwarded {
        client: found.client,
        scheme: proto.and_then(scheme),
        host,
        port: port.flatten(),
    })
}

/// `X-Forwarded-*`; what is malformed in one of them costs that one alone.
fn x_forwarded(headers: &HeaderMap, trusted: &TrustedProxies) -> Forwarded {
    let clients = entries(headers, &X_FORWARDED_FOR).map(Some);
    let found = walk(clients, usual_node, trusted);
    // The nearest proxy's word. Further left, nothing tells who wrote an entry:
    // lists of equal length are no sign, for one proxy may have added to the one
    // list alone, and the client have made up for it in the other.
    let nearest = |name| entries(headers, name).next();
    let scheme = nearest(&X_FORWARDED_PROTO).and_then(scheme);
    let host = nearest(&X_FORWARDED_HOST).and_then(host_and_port);
    let port = nearest(&X_FORWARDED_PORT).and_then(number);
    let (host, named) = host.unzip();
    Forwarded {
        client: found.and_then(|found| found.client),
        scheme,
        host,
        port: named.flatten().or(port),
    }
}

/// The entries of all headers of a name, from the right. One that is no text is
/// empty, which is malformed in all of them; the others say what they say.
fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|entry| !entry.is_empty())
        .map(|entry| str::from_utf8(entry).unwrap_or_default())
}

fn scheme(text: &str) -> Option<Scheme> {
    [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
}

fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    // What stands before an @ is no part of a host.
    let rest = text.strip_prefix(authority.host())?;
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(number(digits)?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some((authority::host_of(&authority).to_owned(), port))
}

/// Reads a port; the standard library takes a sign as well.
fn number(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

/// As RFC 7239 §6 has it: IPv6 in brackets, `unknown`, or an obfuscated name;
/// each may have a port.
fn node(text: &str) -> Option<Node> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return Some(client(address.into(), port(rest)?));
    }
    let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
    let port = port(rest)?;
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Some(Node::Hidden);
    }
    let address: Ipv4Addr = name.parse().ok()?;
    Some(client(address.into(), port))
}

/// The same, and IPv6 without brackets, which is how it is usually written.
fn usual_node(text: &str) -> Option<Node> {
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Some(client(address.into(), None)),
        Err(_) => node(text),
    }
}

fn client(address: IpAddr, port: Option<u16>) -> Node {
    Node::Client(Client {
        address: address.to_canonical(),
        port,
    })
}

/// Reads `:port`, or nothing; one that is obfuscated is not known.
fn port(text: &str) -> Option<Option<u16>> {
    let Some(digits) = text.strip_prefix(':') else {
        return text.is_empty().then_some(None);
    };
    if is_obfuscated(digits) {
        return Some(None);
    }
    number(digits).map(Some)
}

/// RFC 7239 §6.3.
fn is_obfuscated(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(allowed))
}

/// One proxy's entry in `Forwarded`.
#[derive(Default)]
struct Element {
    node: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

impl Element {
    /// Stands for what cannot be taken apart: an empty name is no node.
    fn malformed() -> Self {
        Self {
            node: Some(String::new()),
            ..Self::default()
        }
    }
}

/// Takes one line apart; none where it does not keep to RFC 7239 §4. Blanks
/// around a semicolon are let pass, for many write them.
fn parse_elements(line: &str) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    let mut element = None;
    let mut rest = line.trim_start_matches([' ', '\t']);
    while let Some(first) = rest.chars().next() {
        if matches!(first, ',' | ';') {
            if first == ',' {
                elements.extend(element.take());
            }
            rest = rest[1..].trim_start_matches([' ', '\t']);
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = after.find([',', ';', ' ', '\t']).unwrap_or(after.len());
                let (value, after) = after.split_at(end);
                (is_token(value).then(|| value.to_owned())?, after)
            }
        };
        rest = after.trim_start_matches([' ', '\t']);
        if !is_token(name) || !(rest.is_empty() || rest.starts_with([',', ';'])) {
            return None;
        }
        let element: &mut Element = element.get_or_insert_default();
        let known = match name {
            _ if name.eq_ignore_ascii_case("for") => &mut element.node,
            _ if name.eq_ignore_ascii_case("proto") => &mut element.proto,
            _ if name.eq_ignore_ascii_case("host") => &mut element.host,
            _ => continue,
        };
        // A parameter comes once in an element.
        if known.replace(value).is_some() {
            return None;
        }
    }
    elements.extend(element);
    Some(elements)
}

/// Reads a quoted string to its end; gives back what comes after it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(char),
        }
    }
    None
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}
