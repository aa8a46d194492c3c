//! Errors as the host receives them.

use std::any::type_name;
use std::borrow::Cow;
use std::error::Error;
use std::time::SystemTime;

use crate::bindings::fanlight::telemetry::tracing as raw;
use crate::value::Attribute;

/// An error to be recorded on a span.
///
/// A reference to any error becomes one by itself. The message is the error's
/// own text and, after colons, the texts of its sources.
///
/// ```
/// # use fanlight_guest::Exception;
/// let error = "x".parse::<u8>().unwrap_err();
/// let exception = Exception::from(&error);
/// assert_eq!(exception.exception_type, "core::num::error::ParseIntError");
/// assert_eq!(exception.message, "invalid digit found in string");
/// ```
#[derive(Clone, Debug)]
pub struct Exception<'a> {
    /// Its type, such as `ValueError` or `std::io::Error`.
    pub exception_type: Cow<'a, str>,
    /// Its message.
    pub message: Cow<'a, str>,
    /// The stack it was made on; the host adds the component's own stack where
    /// it is absent.
    pub stacktrace: Option<Cow<'a, str>>,
    /// What else there is to say.
    pub attributes: &'a [Attribute<'a>],
    /// When it happened; now, where absent.
    pub time: Option<SystemTime>,
}

impl<'a> Exception<'a> {
    /// Makes an exception of its type's name and a message.
    pub fn new(exception_type: impl Into<Cow<'a, str>>, message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            exception_type: exception_type.into(),
            message: message.into(),
            stacktrace: None,
            attributes: &[],
            time: None,
        }
    }

    /// Brings a stack trace, so that the host adds none.
    #[must_use]
    pub fn stacktrace(mut self, stacktrace: impl Into<Cow<'a, str>>) -> Self {
        self.stacktrace = Some(stacktrace.into());
        self
    }

    /// Adds attributes to the event.
    #[must_use]
    pub fn attributes(mut self, attributes: &'a [Attribute<'a>]) -> Self {
        self.attributes = attributes;
        self
    }

    /// Says when it happened, where that is not now.
    #[must_use]
    pub fn time(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    pub(crate) fn as_raw(&self) -> raw::Exception<'_> {
        raw::Exception {
            exception_type: &self.exception_type,
            message: &self.message,
            stacktrace: self.stacktrace.as_deref(),
        }
    }
}

impl<'a, E: Error + ?Sized> From<&'a E> for Exception<'a> {
    fn from(error: &'a E) -> Self {
        Self::new(
            type_name::<E>(),
            with_sources(error.to_string(), error.source()),
        )
    }
}

/// Joins an error's message and, after colons, the texts of its sources.
pub(crate) fn with_sources(mut message: String, mut source: Option<&dyn Error>) -> String {
    while let Some(error) = source {
        let text = error.to_string();
        // Some errors say what their source says.
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        source = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("no number")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_message_names_the_sources() {
        let error = Outer("x".parse::<u8>().unwrap_err());
        let exception = Exception::from(&error);
        assert_eq!(
            exception.message,
            "no number: invalid digit found in string"
        );
        assert!(exception.exception_type.ends_with("Outer"));
    }
}
