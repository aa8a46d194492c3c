//! The query of a URL, and the times and durations in it.

use std::time::UNIX_EPOCH;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stands in a query as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':');
/// Parameters beyond these are not read.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&');
        let pairs = pairs.filter(|pair| !pair.is_empty()).take(MAX_PARAMETERS);
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decoded(key), decoded(value)))
                .collect(),
        )
    }

    /// The first value of a key, without blanks around it; empty where it is not given.
    pub(crate) fn text(&self, key: &str) -> &str {
        let found = self.0.iter().find(|(it, _)| it == key);
        found.map_or("", |(_, value)| value.trim())
    }

    /// All values of a key.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.0.iter().filter(move |(it, _)| it == key);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.text(key).parse().ok()
    }

    /// The same parameters with other values; an empty one is left out.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> Self {
        let is_changed = |key: &str| changes.iter().any(|(it, _)| *it == key);
        let kept = self.0.iter().filter(|(key, _)| !is_changed(key)).cloned();
        let added = changes
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self(kept.chain(added).collect())
    }

    /// A link to `path` with these parameters.
    pub(crate) fn link(&self, path: &str) -> String {
        let mut link = path.to_owned();
        let given = self.0.iter().filter(|(_, value)| !value.is_empty());
        for (at, (key, value)) in given.enumerate() {
            link.push(if at == 0 { '?' } else { '&' });
            link.push_str(&escaped(key));
            link.push('=');
            link.push_str(&escaped(value));
        }
        link
    }
}

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// A text for a part of a URL.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Nanoseconds of a duration as Go writes it: `1.5ms`, `2s`, `1h2m`.
pub(crate) fn duration(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("μs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
    ];
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let unit_end = rest.find(|it: char| it.is_ascii_digit() || it == '.');
        let (unit, after) = rest.split_at_checked(unit_end.unwrap_or(rest.len()))?;
        let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        nanos += number * factor;
        rest = after;
    }
    let is_one = !text.is_empty() && nanos < 9.2e18;
    is_one.then(|| rounded(nanos))
}

/// Nanoseconds since 1970 of a time as RFC 3339 writes it.
pub(crate) fn time(text: &str) -> Option<u64> {
    let (local, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, 0),
        None => {
            let at = text.len().checked_sub(6)?;
            let (local, offset) = text.split_at_checked(at)?;
            let (sign, offset) = offset.split_at_checked(1)?;
            let (hours, minutes) = offset.split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            match sign {
                "+" => (local, -seconds),
                "-" => (local, seconds),
                _ => return None,
            }
        }
    };
    let utc = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let nanos = utc.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let nanos = i128::try_from(nanos).ok()? + i128::from(offset) * 1_000_000_000;
    u64::try_from(nanos).ok()
}

fn rounded(nanos: f64) -> u64 {
    // Between 0 and 9.2e18: the conversion is exact enough, and cannot wrap.
    nanos.round() as u64
}

#[cfg(test)]
mod tests {
    use super::{Params, duration, time};

    #[test]
    fn parameters_are_decoded_and_written_again() {
        let params = Params::parse(Some("a=1&b=x+y%26&c&a=2"));
        assert_eq!(params.text("b"), "x y&");
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "2"]);
        let changed = params.with(&[("a", ""), ("d", "<é>")]);
        assert_eq!(changed.link("/p"), "/p?b=x%20y%26&d=%3C%C3%A9%3E");
        assert_eq!(Params::parse(None).link("/p"), "/p");
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, nanos) in [
            ("0", Some(0)),
            ("1.5ms", Some(1_500_000)),
            ("100us", Some(100_000)),
            ("7µs", Some(7_000)),
            ("1h2m3s", Some(3_723_000_000_000)),
            ("12", None),
            ("ms", None),
            ("1x", None),
            ("", None),
            ("-1s", None),
        ] {
            assert_eq!(duration(text), nanos, "{text}");
        }
    }

    #[test]
    fn times_may_have_fractions_and_offsets() {
        for (text, nanos) in [
            ("1970-01-01T00:00:01Z", Some(1_000_000_000)),
            ("1970-01-01T00:00:01.5Z", Some(1_500_000_000)),
            ("1970-01-01T02:00:01+02:00", Some(1_000_000_000)),
            ("zz", None),
            ("", None),
            ("1970-01-01", None),
        ] {
            assert_eq!(time(text), nanos, "{text}");
        }
    }
}
