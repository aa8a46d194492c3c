//! The span of the request, which the host owns.

use crate::Status;
use crate::bindings::fanlight::telemetry::tracing as raw;
use crate::exception::Exception;
use crate::recording;
use crate::value::{self, Attribute, Value};

/// Returns the span of the request that is being handled.
pub fn server_span() -> ServerSpan {
    ServerSpan(())
}

/// The span of the request, started and ended by the host.
///
/// What is the host's to say cannot be set: `http.*`, `url.*`, `server.*`,
/// `network.*`, `client.*`, `error.type` and `fanlight.*`.
#[derive(Clone, Copy, Debug)]
pub struct ServerSpan(());

impl ServerSpan {
    /// Tells which route matched, such as `/users/{id}`.
    ///
    /// It names the span and groups the host's metrics, so it has few values:
    /// never the path itself.
    pub fn set_route(self, route: &str) {
        raw::set_server_route(route);
    }

    /// Sets an attribute.
    pub fn set_attribute<'a>(self, key: &'a str, value: impl Into<Value<'a>>) {
        if self.is_recording() {
            let attribute = Attribute::new(key, value);
            raw::set_server_attributes(&[attribute.as_raw()]);
        }
    }

    /// Sets several attributes at once, which is cheaper than one by one.
    pub fn set_attributes(self, attributes: &[Attribute<'_>]) {
        if self.is_recording() {
            value::with_raw(attributes, raw::set_server_attributes);
        }
    }

    /// Records an error, as [`Span::record_exception`](crate::Span::record_exception) does.
    pub fn record_exception<'a>(self, exception: impl Into<Exception<'a>>) {
        if !self.is_recording() {
            return;
        }
        let exception = exception.into();
        raw::record_server_exception(
            exception.as_raw(),
            &value::as_raw(exception.attributes),
            exception.time.map(Into::into),
        );
    }

    /// Records an error under a type's name of its own, such as `ValueError`.
    pub fn record_exception_as(self, exception_type: &str, message: impl std::fmt::Display) {
        if self.is_recording() {
            self.record_exception(Exception::new(exception_type, message.to_string()));
        }
    }

    /// Says how the request turned out; the host's own word stands over it.
    pub fn set_status(self, status: Status<'_>) {
        if self.is_recording() {
            raw::set_server_status(status);
        }
    }

    /// Tells whether anything said to the span is kept.
    ///
    /// It is not where the trace is not sampled. Costly attributes can be
    /// spared then. Only the first answer costs a call to the host.
    pub fn is_recording(self) -> bool {
        recording::is_server_recording()
    }
}
