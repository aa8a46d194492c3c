//! Log records, which carry the trace and span id of the current span.
//!
//! Lines printed to the standard output and error become log records without
//! any of this.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use crate::Severity;
use crate::bindings::fanlight::telemetry::logs as raw;
use crate::bindings::fanlight::telemetry::types::InstrumentationScope;
use crate::value::{Attribute, Value, as_raw};

/// Emits a log record of a [`Severity`]: a format string with its arguments, all
/// of them by position or all by name, and attributes after a semicolon.
///
/// [`trace!`](crate::trace), [`debug!`](crate::debug), [`info!`](crate::info),
/// [`warn!`](crate::warn), [`error!`](crate::error) and
/// [`fatal!`](crate::fatal) are short for it. For everything else there is
/// [`LogRecord`].
///
/// ```no_run
/// # use fanlight_guest::{Severity, info, log};
/// let (user, cart) = (7, ["book"]);
/// info!("user {user} checked out"; "cart.size" = cart.len());
/// log!(Severity::Warn2, "slow answer");
/// ```
#[macro_export]
macro_rules! log {
    // First: as an expression, an argument with a name is an assignment.
    ($severity:expr, $format:literal $(, $name:ident = $argument:expr)+ $(,)? $(; $($key:tt = $value:expr),* $(,)?)?) => {
        $crate::LogRecord::formatted($severity, ::core::format_args!($format $(, $name = $argument)+))
            .attributes($crate::attributes![$($($key = $value),*)?])
            .emit()
    };
    ($severity:expr, $format:literal $(, $argument:expr)* $(,)? $(; $($key:tt = $value:expr),* $(,)?)?) => {
        $crate::LogRecord::formatted($severity, ::core::format_args!($format $(, $argument)*))
            .attributes($crate::attributes![$($($key = $value),*)?])
            .emit()
    };
}

/// Emits a log record of severity trace, as [`log!`](crate::log!) does.
#[macro_export]
macro_rules! trace {
    ($($record:tt)+) => { $crate::log!($crate::Severity::Trace, $($record)+) };
}

/// Emits a log record of severity debug, as [`log!`](crate::log!) does.
#[macro_export]
macro_rules! debug {
    ($($record:tt)+) => { $crate::log!($crate::Severity::Debug, $($record)+) };
}

/// Emits a log record of severity info, as [`log!`](crate::log!) does.
#[macro_export]
macro_rules! info {
    ($($record:tt)+) => { $crate::log!($crate::Severity::Info, $($record)+) };
}

/// Emits a log record of severity warn, as [`log!`](crate::log!) does.
#[macro_export]
macro_rules! warn {
    ($($record:tt)+) => { $crate::log!($crate::Severity::Warn, $($record)+) };
}

/// Emits a log record of severity error, as [`log!`](crate::log!) does.
#[macro_export]
macro_rules! error {
    ($($record:tt)+) => { $crate::log!($crate::Severity::Error, $($record)+) };
}

/// Emits a log record of severity fatal, as [`log!`](crate::log!) does.
#[macro_export]
macro_rules! fatal {
    ($($record:tt)+) => { $crate::log!($crate::Severity::Fatal, $($record)+) };
}

/// One thing that happened.
///
/// ```no_run
/// # use fanlight_guest::{LogRecord, Severity};
/// LogRecord::new(Severity::Info, "signed in")
///     .event_name("user.login")
///     .attribute("user.id", 7)
///     .emit();
/// ```
#[derive(Clone, Debug)]
#[must_use = "the record goes to the host with `emit`"]
pub struct LogRecord<'a> {
    severity: Severity,
    body: Value<'a>,
    attributes: Vec<Attribute<'a>>,
    event_name: Option<&'a str>,
    time: Option<SystemTime>,
    scope: Option<InstrumentationScope<'a>>,
}

impl<'a> LogRecord<'a> {
    /// Makes a record of a severity and a body.
    pub fn new(severity: Severity, body: impl Into<Value<'a>>) -> Self {
        Self {
            severity,
            body: body.into(),
            attributes: Vec::new(),
            event_name: None,
            time: None,
            scope: None,
        }
    }

    /// What [`log!`](crate::log!) does.
    #[doc(hidden)]
    pub fn formatted(severity: Severity, text: fmt::Arguments<'_>) -> Self {
        let body = text
            .as_str()
            .map_or_else(|| Cow::Owned(fmt::format(text)), Cow::Borrowed);
        Self::new(severity, body)
    }

    /// Adds an attribute.
    pub fn attribute(mut self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        self.attributes.push(Attribute::new(key, value));
        self
    }

    /// Adds attributes.
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = Attribute<'a>>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    /// Names the kind of event, such as `user.login`: few values.
    pub fn event_name(mut self, name: &'a str) -> Self {
        self.event_name = Some(name);
        self
    }

    /// Says when it happened, where that is not now.
    pub fn time(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Names the library that speaks and its version.
    pub fn scope(mut self, name: &'a str, version: &'a str) -> Self {
        self.scope = Some(InstrumentationScope {
            name,
            version: Some(version),
        });
        self
    }

    /// Hands the record to the host.
    pub fn emit(self) {
        raw::emit(raw::LogRecord {
            severity: self.severity,
            body: self.body.as_raw(),
            attributes: &as_raw(&self.attributes),
            event_name: self.event_name,
            time: self.time.map(Into::into),
            scope: self.scope,
        });
    }
}
