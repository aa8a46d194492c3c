//! Reads and writes W3C Baggage, strictly.
//!
//! A member that breaks a rule of the W3C Baggage recommendation is left out
//! and the rest is kept. Whatever was read is within the recommendation's
//! limits and is written back as what reads the same.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

static BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// W3C Baggage §3.3.2: what a platform has to pass on, and here the most.
pub const MAX_MEMBERS: usize = 64;
/// The same, for the bytes of the whole as it is written.
pub const MAX_BYTES: usize = 8192;
/// What a value may not hold as it is; the percent sign begins an escape.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'%')
    .add(b',')
    .add(b';')
    .add(b'\\');

/// Values that a caller wants to be passed on to all services below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage {
    members: Vec<Member>,
    /// What they take when they are written, each with the comma after it.
    bytes: usize,
}

/// One key, its value, and what was said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// A token, as RFC 9110 has it.
    pub key: String,
    /// The value, decoded.
    value: String,
    /// The properties as they came, in their order.
    properties: Vec<String>,
}

impl Baggage {
    /// Adds what all `baggage` headers hold. Where a key comes twice, the last
    /// one counts.
    pub(crate) fn add_header(&mut self, headers: &HeaderMap) {
        for value in headers.get_all(&BAGGAGE) {
            for member in value.as_bytes().split(|byte| *byte == b',') {
                if let Some(member) = Member::parse(member) {
                    self.insert(member);
                }
            }
        }
    }

    /// Writes the header anew, whatever was there; none where there is nothing
    /// to say.
    pub(crate) fn inject(&self, headers: &mut HeaderMap) {
        headers.remove(&BAGGAGE);
        if let Some(value) = self.header() {
            headers.insert(&BAGGAGE, value);
        }
    }

    /// The members, in the order in which they came.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    fn header(&self) -> Option<HeaderValue> {
        let members: Vec<_> = self.members.iter().map(Member::written).collect();
        Some(members.join(","))
            .filter(|text| !text.is_empty())
            .and_then(|text| HeaderValue::try_from(text).ok())
    }

    /// Keeps a member where there is room.
    fn insert(&mut self, member: Member) {
        let known = self.members.iter().position(|it| it.key == member.key);
        let freed = known.map_or(0, |at| self.members[at].written().len() + 1);
        let taken = self.bytes - freed + member.written().len() + 1;
        // The last comma is not written.
        if taken > MAX_BYTES + 1 {
            return;
        }
        match known {
            Some(at) => self.members[at] = member,
            None if self.members.len() >= MAX_MEMBERS => return,
            None => self.members.push(member),
        }
        self.bytes = taken;
    }
}

impl Member {
    /// Parses `key = value *( ; property )`, with spaces and tabs around each.
    fn parse(member: &[u8]) -> Option<Self> {
        let mut parts = member.split(|byte| *byte == b';');
        let (key, value) = split_pair(parts.next()?)?;
        let properties = parts.map(property).collect::<Option<Vec<_>>>()?;
        Some(Self {
            key: token(key)?.to_owned(),
            // Octets that are no UTF-8 become U+FFFD, as the recommendation says.
            value: percent_decode(octets(value)?.as_bytes())
                .decode_utf8_lossy()
                .into_owned(),
            properties,
        })
    }

    fn written(&self) -> String {
        let mut text = format!("{}={}", self.key, utf8_percent_encode(&self.value, ESCAPED));
        for property in &self.properties {
            // Writing to a string does not fail.
            let _ = write!(text, ";{property}");
        }
        text
    }
}

/// Checks `key` or `key = value`; gives it back without the spaces.
fn property(property: &[u8]) -> Option<String> {
    match split_pair(property) {
        Some((key, value)) => Some(format!("{}={}", token(key)?, octets(value)?)),
        None => token(property.trim_ascii()).map(str::to_owned),
    }
}

/// Splits at the first equals sign: a value may hold more of them.
fn split_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
}

/// RFC 9110 §5.6.2.
fn token(text: &[u8]) -> Option<&str> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_token = !text.is_empty() && text.iter().all(allowed);
    is_token.then(|| std::str::from_utf8(text).ok())?
}

/// `*baggage-octet`: visible ASCII without quote, comma, semicolon, backslash.
fn octets(text: &[u8]) -> Option<&str> {
    let allowed = |byte: &u8| byte.is_ascii_graphic() && !b"\",;\\".contains(byte);
    text.iter()
        .all(allowed)
        .then(|| std::str::from_utf8(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(headers: &HeaderMap) -> Baggage {
        let mut baggage = Baggage::default();
        baggage.add_header(headers);
        baggage
    }

    fn read(values: &[&str]) -> Baggage {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&BAGGAGE, HeaderValue::from_str(value).unwrap());
        }
        extract(&headers)
    }

    fn written(values: &[&str]) -> String {
        let header = read(values).header();
        header.map_or_else(String::new, |it| it.to_str().unwrap().to_owned())
    }

    #[test]
    fn members_of_all_headers_are_read_and_written_in_order() {
        assert_eq!(
            written(&["a=1, b = 2 ;p; q = 3", "c==x="]),
            "a=1,b=2;p;q=3,c==x="
        );
        assert_eq!(written(&[]), "");
    }

    #[test]
    fn values_are_decoded_and_encoded_again() {
        let baggage = read(&["name=Am%C3%A9lie%20%25", "bad=%C3(", "odd=50%"]);
        let values: Vec<_> = baggage.members().iter().map(|it| &it.value).collect();
        assert_eq!(values, ["Amélie %", "\u{fffd}(", "50%"]);
        assert_eq!(
            baggage.header().unwrap(),
            "name=Am%C3%A9lie%20%25,bad=%EF%BF%BD(,odd=50%25"
        );
    }

    #[test]
    fn a_bad_member_is_left_out_and_the_rest_is_kept() {
        for bad in [
            "",
            "b",
            "=2",
            "b c=2",
            "b=2 3",
            "b=\"2\"",
            "b=\\",
            "b=2;",
            "b=2;p q",
            "b=2;p=\"x\"",
            "b@=2",
        ] {
            assert_eq!(written(&[&format!("a=1,{bad},c=3")]), "a=1,c=3", "{bad:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append(&BAGGAGE, HeaderValue::from_bytes(b"a=1,b=\xff").unwrap());
        assert_eq!(extract(&headers).header().unwrap(), "a=1");
    }

    #[test]
    fn the_last_value_of_a_key_counts() {
        assert_eq!(written(&["a=1;p,b=2,a=3"]), "a=3,b=2");
    }

    #[test]
    fn members_over_a_limit_are_left_out() {
        let many = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>();
        assert_eq!(read(&[&many(65).join(",")]).members().len(), 64);
        let fits = format!("a={}", "x".repeat(MAX_BYTES - 2));
        assert_eq!(written(&[&fits]), fits);
        assert_eq!(written(&[&format!("{fits}x"), "b=1"]), "b=1");
        // What is counted is what is written: each of these takes three bytes.
        assert_eq!(written(&[&format!("a={}", "%".repeat(4000)), "b=1"]), "b=1");
    }
}
