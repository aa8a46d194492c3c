//! The header `tracestate`, of W3C Trace Context level 2.
//!
//! The SDK's [`TraceState`] accepts the keys of level 1 alone: one `@`, with at most 13
//! characters behind it. A state with another key is stored in it as text, so read a
//! state with [`header`] and never with [`TraceState::header`].

use std::borrow::Cow;

use opentelemetry::trace::TraceState;

/// W3C Trace Context §3.3.1.1: at most 32 members; more discard the whole.
const MAX_MEMBERS: usize = 32;
/// The longest state that is handed on. W3C Trace Context §3.3.1.5 wants 512
/// characters kept; a host keeps it with every span of a request.
const MAX_BYTES: usize = 1024;
/// Members over this length are the first to go, by the same section.
const LONG_MEMBER_BYTES: usize = 128;
/// The longest key, and the longest value.
const MAX_PART_BYTES: usize = 256;

/// The key under which a part of a header is stored that the SDK would refuse. The
/// grammar has no such key.
const TEXT_KEY: &str = "";
/// Stand for `,` and `=` in a stored part, since the SDK refuses both. The grammar
/// has neither character.
const STORED_COMMA: &str = "\u{1}";
const STORED_EQUALS: &str = "\u{2}";

/// Reads a `tracestate` that may be spread over several texts. A member that breaks
/// a rule is left out, more than 32 discard the whole, and what is too long loses
/// members. Keys may repeat, as level 2 lets them.
pub fn tracestate<'a>(texts: impl IntoIterator<Item = &'a str>) -> TraceState {
    let mut members = Vec::with_capacity(4);
    let mut count = 0;
    for member in texts.into_iter().flat_map(|text| text.split(',')) {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        count += 1;
        if count > MAX_MEMBERS {
            return TraceState::NONE;
        }
        if let Some((key, value)) = member.split_once('=')
            && is_key(key)
            && is_value(value)
        {
            members.push((key, value));
        }
    }
    shorten(&mut members);
    TraceState::from_key_value(members.iter().copied()).unwrap_or_else(|_| as_text(&members))
}

/// Writes a state as the header's value; empty where it has no member.
pub fn header(state: &TraceState) -> String {
    let is_text = state.into_iter().any(|(key, _)| key == TEXT_KEY);
    if !is_text {
        return state.header();
    }
    let parts = state.into_iter().map(|(_, part)| part);
    parts
        .collect::<String>()
        .replace(STORED_COMMA, ",")
        .replace(STORED_EQUALS, "=")
}

/// The value of a state's header, without an allocation where there is no state, as
/// for nearly all spans.
pub(crate) fn header_or_empty(state: &TraceState) -> Cow<'static, str> {
    match *state == TraceState::NONE {
        true => Cow::Borrowed(""),
        false => Cow::Owned(header(state)),
    }
}

/// Stores the header's text in parts of the length that the SDK accepts. A part may
/// begin and end anywhere: each character is one byte.
fn as_text(members: &[(&str, &str)]) -> TraceState {
    let members = members.iter().map(|(key, value)| [*key, *value]);
    let members: Vec<_> = members.map(|pair| pair.join(STORED_EQUALS)).collect();
    let text = members.join(STORED_COMMA);
    let parts = text.as_bytes().chunks(MAX_PART_BYTES);
    let parts = parts.map(|part| (TEXT_KEY, String::from_utf8_lossy(part)));
    TraceState::from_key_value(parts).unwrap_or(TraceState::NONE)
}

/// Level 2 §3.3.1.3.1: `( lcalpha / DIGIT ) 0*255 keychar`, with `@` among the latter.
fn is_key(key: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_keychar = |byte: u8| is_first(byte) || b"_-*/@".contains(&byte);
    key.len() <= MAX_PART_BYTES
        && key.bytes().next().is_some_and(is_first)
        && key.bytes().all(is_keychar)
}

/// Level 2 §3.3.1.3.2: 1 to 256 printable characters, without comma and equals sign.
/// The caller has trimmed the space at its end.
fn is_value(value: &str) -> bool {
    let is_chr = |byte: u8| matches!(byte, b' '..=b'~') && !b",=".contains(&byte);
    (1..=MAX_PART_BYTES).contains(&value.len()) && value.bytes().all(is_chr)
}

/// Drops members until the rest is short enough: long ones first, from the end.
fn shorten(members: &mut Vec<(&str, &str)>) {
    // Each has its `=`, and a comma before the next.
    let bytes = |(key, value): &(&str, &str)| key.len() + value.len() + 2;
    let mut total: usize = members.iter().map(bytes).sum();
    while total > MAX_BYTES + 1 {
        let long = members
            .iter()
            .rposition(|member| bytes(member) > LONG_MEMBER_BYTES + 1);
        let gone = members.remove(long.unwrap_or(members.len() - 1));
        total -= bytes(&gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_have_an_at_sign_anywhere_but_at_its_beginning() {
        for key in [
            "foo@@bar",
            "foo@bar@baz",
            "0@1",
            "a@",
            "tenant@a-name-of-over-13-bytes",
            "foo@*",
        ] {
            let text = format!("a=1,{key}=x y,b=2");
            let state = tracestate([text.as_str()]);
            assert_eq!(header(&state), text);
            assert_eq!(tracestate([header(&state).as_str()]), state);
        }
        assert_eq!(tracestate(["@foo=1"]), TraceState::NONE);
    }

    #[test]
    fn the_longest_keys_and_values_are_kept_whatever_their_keys_are() {
        for key in ["k".repeat(256), "@".repeat(255)] {
            let key = format!("k{}", &key[key.len() - 255..]);
            let text = format!("{key}={},a@@b=2", "v".repeat(256));
            assert_eq!(header(&tracestate([text.as_str()])), text);
            let over = format!("{key}k=v,{key}={}", "v".repeat(257));
            assert_eq!(tracestate([over.as_str()]), TraceState::NONE);
        }
    }

    #[test]
    fn a_state_of_32_members_is_kept_whatever_their_keys_are() {
        let members = |count| {
            let members: Vec<_> = (0..count).map(|n| format!("k@@{n}=v")).collect();
            members.join(",")
        };
        assert_eq!(header(&tracestate([members(32).as_str()])), members(32));
        assert_eq!(tracestate([members(33).as_str()]), TraceState::NONE);
    }

    #[test]
    fn a_guests_text_is_held_to_the_rules_of_a_header() {
        for text in ["a=x\r\nb: y", "a=é", "a=\u{1}", "=x", "\u{2}=x"] {
            assert_eq!(tracestate([text]), TraceState::NONE, "{text:?}");
        }
    }

    #[test]
    fn a_long_tracestate_loses_long_members_first_and_then_the_last() {
        let member = |key: &str, bytes: usize| format!("{key}={}", "v".repeat(bytes - 2));
        let keys = ["a", "b", "c", "d"];
        let mut members: Vec<_> = keys.iter().map(|key| member(key, 250)).collect();
        members.push(member("e", 20));
        let exact = members.join(",");
        assert_eq!(exact.len(), MAX_BYTES);
        assert_eq!(header(&tracestate([exact.as_str()])), exact);
        members[4].push('v');
        let over = members.join(",");
        members.remove(3);
        assert_eq!(header(&tracestate([over.as_str()])), members.join(","));
        let many: Vec<_> = (0..20).map(|n| member(&format!("k{n}"), 100)).collect();
        let kept = header(&tracestate([many.join(",").as_str()]));
        assert!(many.join(",").starts_with(&kept), "{kept}");
        assert!((900..=MAX_BYTES).contains(&kept.len()));
    }
}
