//! A span of the API: a handle to one of the host's, or to none.

use std::any::type_name;
use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use ::opentelemetry::KeyValue;
use ::opentelemetry::trace::{self, SpanContext};

use super::{attached, values};
use crate::Status;
use crate::bindings::fanlight::telemetry::tracing as raw;
use crate::exception::Exception;
use crate::value::{self, Attribute};

/// A span that the host records; it ends when it is dropped.
///
/// Where the trace is not recorded it carries the identity of its parent.
#[derive(Debug)]
pub struct Span {
    handle: Option<Arc<raw::Span>>,
    context: SpanContext,
}

impl Span {
    pub(super) fn of(handle: raw::Span) -> Self {
        let context = values::from_host(&handle.context());
        let handle = Arc::new(handle);
        attached::remember(&context, &handle);
        Self {
            handle: Some(handle),
            context,
        }
    }

    pub(super) fn unrecorded(context: SpanContext) -> Self {
        Self {
            handle: None,
            context,
        }
    }

    fn event(&self, name: &str, time: Option<SystemTime>, attributes: &[KeyValue]) {
        let Some(handle) = &self.handle else { return };
        let time = time.map(Into::into);
        let mut attributes = values::attributes(attributes);
        if name != "exception" {
            handle.add_event(name, &value::as_raw(&attributes), time);
            return;
        }
        let exception = taken_from(&mut attributes);
        handle.record_exception(exception.as_raw(), &value::as_raw(&attributes), time);
    }
}

impl trace::Span for Span {
    fn add_event<T>(&mut self, name: T, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        self.event(&name.into(), None, &attributes);
    }

    fn record_error(&mut self, error: &dyn Error) {
        if let Some(handle) = &self.handle {
            handle.record_exception(Exception::from(error).as_raw(), &[], None);
        }
    }

    fn add_event_with_timestamp<T>(
        &mut self,
        name: T,
        timestamp: SystemTime,
        attributes: Vec<KeyValue>,
    ) where
        T: Into<Cow<'static, str>>,
    {
        self.event(&name.into(), Some(timestamp), &attributes);
    }

    fn span_context(&self) -> &SpanContext {
        &self.context
    }

    fn is_recording(&self) -> bool {
        self.handle.as_ref().is_some_and(|it| it.is_recording())
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        self.set_attributes([attribute]);
    }

    fn set_attributes(&mut self, attributes: impl IntoIterator<Item = KeyValue>) {
        if let Some(handle) = &self.handle {
            let attributes: Vec<_> = attributes.into_iter().collect();
            handle.set_attributes(&value::as_raw(&values::attributes(&attributes)));
        }
    }

    fn set_status(&mut self, status: trace::Status) {
        if let Some(handle) = &self.handle {
            handle.set_status(match &status {
                trace::Status::Unset => Status::Unset,
                trace::Status::Ok => Status::Ok,
                trace::Status::Error { description } => Status::Error(description),
            });
        }
    }

    fn update_name<T>(&mut self, new_name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        if let Some(handle) = &self.handle {
            handle.update_name(&new_name.into());
        }
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        if let Some(handle) = &self.handle {
            handle.add_link(raw::Link {
                context: &values::to_host(&span_context),
                attributes: &value::as_raw(&values::attributes(&attributes)),
            });
        }
    }

    fn end(&mut self) {
        if let Some(handle) = &self.handle {
            handle.end(None);
        }
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        if let Some(handle) = &self.handle {
            handle.end(Some(timestamp.into()));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            attached::forget(&self.context, handle);
            // A context that is attached may hold the handle for longer.
            handle.end(None);
        }
    }
}

/// Takes an exception out of the attributes that tell of it by the conventions.
fn taken_from<'a>(attributes: &mut Vec<Attribute<'a>>) -> Exception<'a> {
    let mut take = |key| {
        let index = attributes.iter().position(|it| it.key == key)?;
        match attributes.swap_remove(index).value {
            value::Value::String(text) => Some(text),
            _ => None,
        }
    };
    let exception_type = take("exception.type");
    let message = take("exception.message").unwrap_or_default();
    let stacktrace = take("exception.stacktrace");
    // The API records an error without the name of its type.
    let exception_type = exception_type.unwrap_or(type_name::<dyn Error>().into());
    let exception = Exception::new(exception_type, message);
    match stacktrace {
        Some(stacktrace) => exception.stacktrace(stacktrace),
        None => exception,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_taken_out_of_its_attributes() {
        let mut attributes = vec![
            Attribute::new("attempt", 2),
            Attribute::new("exception.message", "no luck"),
            Attribute::new("exception.stacktrace", "at once"),
        ];
        let exception = taken_from(&mut attributes);
        assert_eq!(exception.message, "no luck");
        assert_eq!(exception.exception_type, "dyn core::error::Error");
        assert_eq!(exception.stacktrace.as_deref(), Some("at once"));
        assert_eq!(attributes, [Attribute::new("attempt", 2)]);
    }
}
