//! What a JSON value must be: in an answer, an attribute, an event.

use std::fmt;

use serde_json::Value;

/// A demand on a JSON value.
#[derive(Clone, Debug)]
pub enum Matcher {
    /// Any value at all.
    Present,
    /// Exactly this.
    Is(Value),
    /// A text with this in it.
    Contains(&'static str),
    /// A text that is not empty.
    SomeText,
    /// A number from the first to the second, both included.
    Between(u64, u64),
    /// A list of so many.
    Items(usize),
    /// A list with this text among its items.
    Lists(&'static str),
}

impl Matcher {
    /// Whether `value` is what is demanded.
    #[must_use]
    pub fn accepts(&self, value: &Value) -> bool {
        match self {
            Self::Present => true,
            Self::Is(expected) => value == expected,
            Self::Contains(part) => value.as_str().is_some_and(|text| text.contains(part)),
            Self::SomeText => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::Between(low, high) => value
                .as_f64()
                .is_some_and(|number| *low as f64 <= number && number <= *high as f64),
            Self::Items(count) => value.as_array().is_some_and(|items| items.len() == *count),
            Self::Lists(text) => value
                .as_array()
                .is_some_and(|items| items.iter().any(|item| item.to_string().contains(text))),
        }
    }

    /// Says what is wrong with what stands under `name`; `None` when nothing is.
    #[must_use]
    pub fn difference(&self, name: &str, value: Option<&Value>) -> Option<String> {
        match value {
            None => Some(format!("{name}: expected {self}, but it is not there")),
            Some(value) if self.accepts(value) => None,
            Some(value) => Some(format!("{name}: expected {self}, got {}", shortened(value))),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("a value"),
            Self::Is(value) => write!(f, "{value}"),
            Self::Contains(part) => write!(f, "a text with {part:?}"),
            Self::SomeText => f.write_str("a text"),
            Self::Between(low, high) => write!(f, "a number from {low} to {high}"),
            Self::Items(count) => write!(f, "a list of {count}"),
            Self::Lists(text) => write!(f, "a list with {text:?}"),
        }
    }
}

impl<T: Into<Value>> From<T> for Matcher {
    fn from(value: T) -> Self {
        Self::Is(value.into())
    }
}

/// A stack trace or a whole page would bury the line that tells the difference.
fn shortened(value: &Value) -> String {
    const MOST: usize = 300;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Matcher;

    #[test]
    fn each_demand_takes_what_it_names_and_nothing_else() {
        for (matcher, good, bad) in [
            (Matcher::from(3), json!(3), json!("3")),
            (
                Matcher::Contains("imu"),
                json!("simulate"),
                json!("stimulus".len()),
            ),
            (Matcher::SomeText, json!("a"), json!("")),
            (Matcher::Between(200, 700), json!(200), json!(199.5)),
            (Matcher::Items(2), json!([1, 2]), json!([1])),
            (
                Matcher::Lists("/api/users"),
                json!(["GET /api/users"]),
                json!(["GET /"]),
            ),
        ] {
            assert_eq!(matcher.difference("it", Some(&good)), None);
            assert!(matcher.difference("it", Some(&bad)).is_some(), "{matcher}");
            assert!(matcher.difference("it", None).is_some(), "{matcher}");
        }
    }

    #[test]
    fn a_long_value_is_shortened_in_the_difference() {
        let page = json!("é".repeat(10_000));
        let difference = Matcher::from("x").difference("body", Some(&page)).unwrap();
        assert!(difference.chars().count() < 400, "{difference}");
    }
}
