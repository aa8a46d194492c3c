//! What trusted proxies say of where a request comes from: `Forwarded`
//! (RFC 7239), or else `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
//!
//! Each proxy adds an entry on the right, which names whoever asked it. So the
//! walk is from the right, past trusted proxies, to the first who is none: the
//! client. What stands left of him is his own to write, and has no say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::uri::Authority;
use http::{HeaderMap, HeaderName, header};

use super::{Peer, Scheme};
use crate::trusted_proxies::TrustedProxies;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Where a request comes from, as far as trusted proxies tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) client: Option<Client>,
    /// The scheme that the client spoke.
    pub(super) scheme: Option<Scheme>,
    /// The host that the client asked for.
    pub(super) host: Option<String>,
    /// The port that the client asked for.
    pub(super) port: Option<u16>,
}

/// Whom a trusted proxy was asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
}

/// An entry of the walk.
enum Node {
    Client(Client),
    /// Somebody whose address is withheld, or not known.
    Hidden,
}

/// Where the walk has ended: how many entries from the right, and who is there.
struct Found {
    at: usize,
    client: Option<Client>,
}

/// Reads what the headers say, where the peer may be believed.
///
/// What is malformed is ignored as a whole. Of the two families the standard
/// one counts; but where they name different clients, one of them came from the
/// client himself, through proxies that know the other alone: then neither does.
pub(super) fn read(headers: &HeaderMap, peer: Peer, trusted: &TrustedProxies) -> Forwarded {
    if trusted.is_empty() || !trusted.contain(peer.address.ip()) {
        return Forwarded::default();
    }
    let usual = || x_forwarded(headers, trusted);
    if !headers.contains_key(header::FORWARDED) {
        return usual().unwrap_or_default();
    }
    let Some(forwarded) = standard(headers, trusted) else {
        return Forwarded::default();
    };
    let other = headers.contains_key(&X_FORWARDED_FOR).then(usual).flatten();
    match other {
        Some(other) if address(&other) != address(&forwarded) => Forwarded::default(),
        _ => forwarded,
    }
}

fn address(forwarded: &Forwarded) -> Option<IpAddr> {
    forwarded.client.map(|client| client.address)
}

/// Walks from the right to the first who is no trusted proxy; where all are,
/// the farthest one is the client. None where an entry is malformed.
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

/// `Forwarded`; none where it is malformed.
fn standard(headers: &HeaderMap, trusted: &TrustedProxies) -> Option<Forwarded> {
    let mut elements = Vec::new();
    for line in headers.get_all(header::FORWARDED) {
        parse_elements(line.to_str().ok()?, &mut elements)?;
    }
    elements.reverse();
    let names = elements.iter().map(|element| element.node.as_deref());
    let found = walk(names, node, trusted)?;
    // What the client's own proxy leaves out, the next one may know.
    let nearer = || elements.iter().take(found.at + 1).rev();
    let proto = nearer().find_map(|element| element.proto.as_deref());
    let host = nearer().find_map(|element| element.host.as_deref());
    let (host, port) = host.map(host_and_port).transpose().ok()?.unzip();
    Some(Forwarded {
        client: found.client,
        scheme: proto.map(scheme).transpose().ok()?,
        host,
        port: port.flatten(),
    })
}

/// `X-Forwarded-*`; none where one of them is malformed.
fn x_forwarded(headers: &HeaderMap, trusted: &TrustedProxies) -> Option<Forwarded> {
    let clients = list(headers, &X_FORWARDED_FOR)?;
    let entries = clients.iter().rev().map(|entry| Some(*entry));
    let found = walk(entries, usual_node, trusted)?;
    // Where each proxy has added to a list, the entry beside the client's is
    // meant; otherwise what the nearest one says.
    let beside = |name| {
        let entries = list(headers, name)?;
        let at = if entries.len() == clients.len() {
            found.at
        } else {
            0
        };
        Some(entries.iter().rev().nth(at).copied())
    };
    let proto = beside(&X_FORWARDED_PROTO)?;
    let host = beside(&X_FORWARDED_HOST)?;
    let port = beside(&X_FORWARDED_PORT)?;
    let (host, named) = host.map(host_and_port).transpose().ok()?.unzip();
    let port = port.map(number).transpose().ok()?;
    Some(Forwarded {
        client: found.client,
        scheme: proto.map(scheme).transpose().ok()?,
        host,
        port: named.flatten().or(port),
    })
}

/// The entries of all headers of a name; none where there is other than ASCII.
fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Vec<&'a str>> {
    let mut entries = Vec::new();
    for line in headers.get_all(name) {
        let texts = line.to_str().ok()?.split(',');
        let texts = texts.map(|text| text.trim_matches([' ', '\t']));
        entries.extend(texts.filter(|text| !text.is_empty()));
    }
    Some(entries)
}

/// What is not what it should be.
struct Malformed;

fn scheme(text: &str) -> Result<Scheme, Malformed> {
    [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
        .ok_or(Malformed)
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), Malformed> {
    let authority: Authority = text.parse().map_err(|_| Malformed)?;
    // What stands before an @ is no part of a host.
    let rest = text.strip_prefix(authority.host()).ok_or(Malformed)?;
    let port = rest.strip_prefix(':').map(number).transpose()?;
    if port.is_none() && !rest.is_empty() {
        return Err(Malformed);
    }
    Ok((super::host_of(&authority).to_owned(), port))
}

/// Reads a port; the standard library takes a sign as well.
fn number(digits: &str) -> Result<u16, Malformed> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let number = is_number.then(|| digits.parse().ok()).flatten();
    number.ok_or(Malformed)
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
    number(digits).ok().map(Some)
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

/// Takes one line apart; none where it does not keep to RFC 7239 §4. Blanks
/// around a semicolon are let pass, for many write them.
fn parse_elements(line: &str, elements: &mut Vec<Element>) -> Option<()> {
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
    Some(())
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

#[cfg(test)]
mod tests;
