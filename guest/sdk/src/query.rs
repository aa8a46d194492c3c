//! Percent-encoding, as paths and query strings use it.
//!
//! Text that needs no decoding is borrowed. Sequences that are not valid are
//! left as they are, and bytes that are not UTF-8 become U+FFFD.

use std::borrow::Cow;

/// Decodes a path: `%20` is a space, `+` is a plus sign.
pub(crate) fn decode_path(path: &str) -> Cow<'_, str> {
    decode(path, b'+')
}

/// Finds the first value of a parameter in a query string.
pub(crate) fn find<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    pairs(query)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

/// Decodes a query string, pair by pair; a key without `=` has an empty value.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, b' '), decode(value, b' '))
        })
}

fn decode(text: &str, plus: u8) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        rest = others;
        let byte = match (first, others) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => first,
            },
            (b'+', _) => plus,
            _ => first,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        .into()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_and_broken_sequences_are_left_alone() {
        for (text, decoded) in [
            ("plain", "plain"),
            ("a%20b", "a b"),
            ("a+b", "a b"),
            ("%C3%A9", "é"),
            ("%c3%a9", "é"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%%41", "%A"),
            ("%ff", "\u{fffd}"),
            ("%2B%26", "+&"),
        ] {
            assert_eq!(decode(text, b' '), decoded, "{text}");
        }
        assert_eq!(decode_path("/a+b%2Fc"), "/a+b/c");
        assert!(matches!(decode("plain", b' '), Cow::Borrowed(_)));
    }

    #[test]
    fn the_first_value_of_a_name_counts() {
        let query = "&n=1&n=2&flag&na%6De=%C3%A9+x&empty=&a=b=c";
        assert_eq!(find(query, "n").as_deref(), Some("1"));
        assert_eq!(find(query, "flag").as_deref(), Some(""));
        assert_eq!(find(query, "name").as_deref(), Some("é x"));
        assert_eq!(find(query, "empty").as_deref(), Some(""));
        assert_eq!(find(query, "a").as_deref(), Some("b=c"));
        assert_eq!(find(query, "none"), None);
        assert_eq!(find("", ""), None);
    }
}
