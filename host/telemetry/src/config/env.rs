//! Reads variables by the specification's rules for their types: empty means
//! unset, and what does not parse is warned about and as if unset.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

/// A time without end, for who waits: 24 days, the most milliseconds that 31
/// bits hold, as the specification suggests.
const WITHOUT_END: Duration = Duration::from_millis(i32::MAX as u64);

/// The variables, and what is wrong with them.
pub(crate) struct Env {
    vars: HashMap<String, String>,
    pub(crate) warnings: Vec<String>,
}

impl Env {
    pub(crate) fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            vars: vars
                .into_iter()
                .filter(|(name, value)| name.starts_with("OTEL_") && !value.trim().is_empty())
                .collect(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.vars.get(name).map(|value| value.trim().to_owned())
    }

    /// The members of a list, in lower case.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default().to_ascii_lowercase();
        let members = text.split(',').map(str::trim);
        members
            .filter(|member| !member.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The first of these variables that has a value that is known, in lower case;
    /// `expected` lists those for people.
    pub(crate) fn first<T>(
        &mut self,
        names: &[&str],
        expected: &str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        for name in names {
            let Some(value) = self.text(name) else {
                continue;
            };
            match known(&value.to_ascii_lowercase()) {
                Some(value) => return Some(value),
                None => self.warn_unexpected(name, &value, expected),
            }
        }
        None
    }

    pub(crate) fn boolean(&mut self, name: &str) -> bool {
        let Some(value) = self.text(name) else {
            return false;
        };
        if !value.eq_ignore_ascii_case("true") && !value.eq_ignore_ascii_case("false") {
            self.warn(name, &value, "expected true or false; false is used");
        }
        value.eq_ignore_ascii_case("true")
    }

    /// A value that parses; `expected` says for people what does.
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let value = self.text(name)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.warn_unexpected(name, &value, expected);
        }
        parsed
    }

    /// A number of things.
    pub(crate) fn count(&mut self, name: &str) -> Option<usize> {
        self.parsed(name, "a whole number")
    }

    pub(crate) fn positive(&mut self, name: &str) -> Option<usize> {
        let expected = "a whole number greater than zero";
        let parsed = self.parsed(name, expected)?;
        if parsed == 0 {
            self.warn_unexpected(name, "0", expected);
            return None;
        }
        Some(parsed)
    }

    /// A duration, in milliseconds.
    pub(crate) fn millis(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name, "a number of milliseconds, such as 500")
            .map(Duration::from_millis)
    }

    /// The same where zero means that there is no end.
    pub(crate) fn timeout(&mut self, name: &str) -> Option<Duration> {
        let timeout = self.millis(name)?;
        Some(if timeout.is_zero() {
            WITHOUT_END
        } else {
            timeout.min(WITHOUT_END)
        })
    }

    /// Warns about a value in whose place the default counts.
    pub(crate) fn warn_unexpected(&mut self, name: &str, value: &str, expected: &str) {
        let what = format!("expected {expected}; ignored, as if the variable were unset");
        self.warn(name, value, &what);
    }

    pub(crate) fn warn(&mut self, name: &str, value: &str, what: &str) {
        self.warn_once(format!("{name}={value}: {what}"));
    }

    /// Warns without the value.
    pub(crate) fn warn_of_secret(&mut self, name: &str, what: &str) {
        self.warn_once(format!("{name}: {what}"));
    }

    /// Three signals read what they have in common.
    fn warn_once(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// Decodes `%XX`; none where an escape is cut or the result is no UTF-8.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(value: &str) -> Env {
        Env::new([("OTEL_X".to_owned(), value.to_owned())])
    }

    #[test]
    fn a_timeout_of_zero_has_no_end_and_a_negative_one_is_ignored() {
        assert_eq!(env("0").timeout("OTEL_X"), Some(WITHOUT_END));
        assert_eq!(env("7").timeout("OTEL_X"), Some(Duration::from_millis(7)));
        let mut negative = env("-1");
        assert_eq!(negative.timeout("OTEL_X"), None);
        assert_eq!(negative.warnings.len(), 1);
    }

    #[test]
    fn only_true_is_true_and_what_is_neither_is_warned_about() {
        for (value, wanted, warned) in [
            ("TRUE", true, 0),
            ("False", false, 0),
            ("1", false, 1),
            ("yes", false, 1),
            (" ", false, 0),
        ] {
            let mut env = env(value);
            assert_eq!(env.boolean("OTEL_X"), wanted, "{value}");
            assert_eq!(env.warnings.len(), warned, "{value}");
        }
    }
}
