//! Texts of guests, clients and backends: cut to a length, and as the operator's terminal
//! may see them.

use std::fmt::{self, Write as _};

/// A text without control characters: a guest must not steer the operator's
/// terminal. Lines after the first are indented, so that none of them looks
/// like a line of the host's own.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\n' => f.write_str("\n    ")?,
                '\t' => f.write_char('\t')?,
                control if is_control(control) => write!(f, "{}", control.escape_default())?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The longest part of a text, from its beginning, that is at most `max_bytes` long and
/// ends between two characters.
pub fn truncated(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// Writes a value as one line of at most `max_bytes`, in which control characters are
/// escaped. `…` stands for what is left out.
///
/// The bound holds while the text is made: a full line refuses what is written to it,
/// and the value stops there. A name of some hundred bytes can stand for gigabytes.
pub fn one_line(value: impl fmt::Display, max_bytes: usize) -> String {
    let mut line = BoundedLine {
        text: String::new(),
        max_bytes,
    };
    if write!(line, "{value}").is_err() {
        line.text.push('…');
    }
    line.text
}

/// Refuses what is written once it is full.
struct BoundedLine {
    text: String,
    max_bytes: usize,
}

impl fmt::Write for BoundedLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| {
            let (plain, escaped) = match is_control(character) {
                true => (None, Some(character.escape_default())),
                false => (Some(character), None),
            };
            let bytes = escaped.as_ref().map_or(character.len_utf8(), |it| it.len());
            if self.text.len() + bytes > self.max_bytes {
                return Err(fmt::Error);
            }
            self.text.extend(plain);
            self.text.extend(escaped.into_iter().flatten());
            Ok(())
        })
    }
}

/// Whether a terminal acts on a character rather than showing it: a control character,
/// or one that separates lines or turns the direction of the text around it.
pub fn is_control(character: char) -> bool {
    let separates_or_turns = matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || separates_or_turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_steer_the_terminal_nor_look_like_another_line() {
        assert_eq!(Printable("a\tb\u{1b}[2Jc").to_string(), "a\tb\\u{1b}[2Jc");
        assert_eq!(Printable("a\nINFO b").to_string(), "a\n    INFO b");
        assert_eq!(Printable("a\u{202e}b").to_string(), "a\\u{202e}b");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        for (max_bytes, expected) in [(0, ""), (1, ""), (2, "ä"), (3, "äb"), (9, "äb")] {
            assert_eq!(truncated("äb", max_bytes), expected);
        }
    }

    #[test]
    fn a_line_stays_one_line_and_within_its_bound() {
        assert_eq!(
            one_line("a\u{1b}[31m\nb\u{85}\u{2028}", 99),
            "a\\u{1b}[31m\\nb\\u{85}\\u{2028}"
        );
        assert_eq!(one_line("äöü", 6), "äöü");
        assert_eq!(one_line("äöü", 5), "äö…");
        // An escape is whole or left out.
        assert_eq!(one_line("ab\u{1b}", 7), "ab…");
    }

    #[test]
    fn what_writes_without_end_is_stopped_by_a_full_line() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("again ")?;
                }
            }
        }
        assert_eq!(one_line(Endless, 12), "again again …");
    }
}
