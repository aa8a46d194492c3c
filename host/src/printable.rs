//! Guests' texts as the operator's terminal may see them.

use std::fmt::{self, Write as _};

/// A text without control characters: a guest must not steer the operator's
/// terminal. Lines after the first are indented, so that none of them looks
/// like a line of the host's own.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\n' => f.write_str("\n    ")?,
                '\t' => f.write_char('\t')?,
                control if control.is_control() => write!(f, "{}", control.escape_default())?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_steer_the_terminal_nor_look_like_another_line() {
        assert_eq!(Printable("a\tb\u{1b}[2Jc").to_string(), "a\tb\\u{1b}[2Jc");
        assert_eq!(Printable("a\nINFO b").to_string(), "a\n    INFO b");
    }
}
