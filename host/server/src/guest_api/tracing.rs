//! `fanlight:telemetry/tracing`: spans, and what a guest may set on the server span.

use std::sync::Arc;

use wasmtime::component::{Access, Resource};
use wasmtime::{AsContext, Result, WasmBacktrace};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use crate::error::backtrace::backtrace_text;
use crate::guest_api::attributes::cut;
use crate::guest_api::bindings::fanlight::telemetry::tracing as wit;
use crate::guest_api::bindings::fanlight::telemetry::types::Attribute;
use crate::guest_api::budget::OverBudget;
use crate::guest_api::context::{GuestTelemetryView, TelemetryImports};
use crate::guest_api::convert::wit_context;
use crate::guest_api::current_span::ScopeHandle;
use crate::guest_api::open_spans::SpanHandle;
use fanlight_telemetry::trace::limits::MAX_TEXT_BYTES;

/// The longest route, in bytes: it stands in every series of the host's metrics.
const MAX_ROUTE: usize = 255;

impl wit::HostSpan for GuestTelemetryView<'_> {
    fn start(&mut self, name: String, options: wit::SpanOptions) -> Result<Resource<SpanHandle>> {
        let handle = self.telemetry.start_span(name, options);
        Ok(self.table.push(handle)?)
    }

    fn start_entered(
        &mut self,
        name: String,
        kind: wit::SpanKind,
        attributes: Vec<Attribute>,
    ) -> Result<Resource<SpanHandle>> {
        let options = wit::SpanOptions {
            kind,
            attributes,
            links: Vec::new(),
            parent: wit::SpanParent::Current,
            start_time: None,
            scope: None,
        };
        let mut handle = self.telemetry.start_span(name, options);
        let context = Arc::clone(&handle.context);
        handle.entered = Some(self.telemetry.current.enter(context));
        Ok(self.table.push(handle)?)
    }

    fn leave(&mut self, span: Resource<SpanHandle>) -> Result<()> {
        if let Some(scope) = self.table.get_mut(&span)?.entered.take() {
            self.telemetry.current.leave(&scope);
        }
        Ok(())
    }

    fn enter(&mut self, span: Resource<SpanHandle>) -> Result<Resource<ScopeHandle>> {
        let context = Arc::clone(&self.table.get(&span)?.context);
        let scope = self.telemetry.current.enter(context);
        Ok(self.table.push(scope)?)
    }

    fn set_attributes(&mut self, span: Resource<SpanHandle>, list: Vec<Attribute>) -> Result<()> {
        let handle = self.table.get(&span)?;
        let telemetry = &mut *self.telemetry;
        if telemetry.spans.get(handle).is_none() {
            return Ok(());
        }
        let (attributes, over) = telemetry.converted(list);
        if let Some(span) = telemetry.spans.get(handle) {
            span.lose_attributes(over);
            for attribute in attributes {
                span.set_attribute(attribute);
            }
        }
        Ok(())
    }

    fn add_event(
        &mut self,
        span: Resource<SpanHandle>,
        name: String,
        attributes: Vec<Attribute>,
        when: Option<Datetime>,
    ) -> Result<()> {
        let handle = self.table.get(&span)?;
        let telemetry = &mut *self.telemetry;
        if !telemetry.spans.takes_event(handle) {
            return Ok(());
        }
        let event = telemetry.event(name, attributes, when);
        telemetry.spans.add_event(handle, event);
        Ok(())
    }

    fn set_status(&mut self, span: Resource<SpanHandle>, status: wit::Status) -> Result<()> {
        let handle = self.table.get(&span)?;
        let status = self.telemetry.status(status);
        if let Some(span) = self.telemetry.spans.get(handle) {
            span.set_status(status);
        }
        Ok(())
    }

    fn update_name(&mut self, span: Resource<SpanHandle>, name: String) -> Result<()> {
        let handle = self.table.get(&span)?;
        let telemetry = &mut *self.telemetry;
        let name = cut(name, MAX_TEXT_BYTES);
        let has_room = telemetry.room().take(name.len());
        if let Some(span) = telemetry.spans.get(handle).filter(|_| has_room) {
            span.update_name(name.into());
        }
        Ok(())
    }

    fn add_link(&mut self, span: Resource<SpanHandle>, link: wit::Link) -> Result<()> {
        let handle = self.table.get(&span)?;
        let telemetry = &mut *self.telemetry;
        if telemetry.spans.get(handle).is_none() {
            return Ok(());
        }
        let link = telemetry.link(link);
        if let Some(span) = telemetry.spans.get(handle) {
            match link {
                Ok(Some(link)) => span.add_link(link),
                Ok(None) => {}
                Err(OverBudget) => span.lose_link(),
            }
        }
        Ok(())
    }

    fn context(&mut self, span: Resource<SpanHandle>) -> Result<wit::SpanContext> {
        Ok(wit_context(&self.table.get(&span)?.context))
    }

    fn is_recording(&mut self, span: Resource<SpanHandle>) -> Result<bool> {
        let handle = self.table.get(&span)?;
        Ok(self.telemetry.spans.get(handle).is_some())
    }

    fn end(&mut self, span: Resource<SpanHandle>, when: Option<Datetime>) -> Result<()> {
        let handle = self.table.get(&span)?;
        if let Some(mut span) = self.telemetry.spans.take(handle) {
            span.end(self.telemetry.at(when));
        }
        Ok(())
    }

    fn drop(&mut self, span: Resource<SpanHandle>) -> Result<()> {
        let handle = self.table.delete(span)?;
        if let Some(scope) = &handle.entered {
            self.telemetry.current.leave(scope);
        }
        if let Some(mut span) = self.telemetry.spans.take(&handle) {
            span.end(self.telemetry.at(None));
        }
        Ok(())
    }
}

impl<T> wit::HostSpanWithStore<T> for TelemetryImports {
    fn record_exception(
        mut host: Access<'_, T, Self>,
        span: Resource<SpanHandle>,
        exception: wit::Exception,
        attributes: Vec<Attribute>,
        when: Option<Datetime>,
    ) -> Result<()> {
        let view = host.get();
        let handle = view.table.get(&span)?;
        if !view.telemetry.spans.takes_event(handle) {
            return Ok(());
        }
        let exception = with_stack(exception, &host);
        let view = host.get();
        let event = view.telemetry.exception(exception, attributes, when);
        let handle = view.table.get(&span)?;
        view.telemetry.spans.add_event(handle, event);
        Ok(())
    }
}

impl wit::HostScope for GuestTelemetryView<'_> {
    fn drop(&mut self, scope: Resource<ScopeHandle>) -> Result<()> {
        let scope = self.table.delete(scope)?;
        self.telemetry.current.leave(&scope);
        Ok(())
    }
}

impl wit::Host for GuestTelemetryView<'_> {
    fn current_context(&mut self) -> Result<wit::SpanContext> {
        Ok(wit_context(&self.telemetry.current.context()))
    }

    fn is_server_span_recording(&mut self) -> Result<bool> {
        Ok(self.telemetry.request.span().is_recording())
    }

    fn set_server_route(&mut self, route: String) -> Result<()> {
        self.telemetry.request.set_route(cut(route, MAX_ROUTE));
        Ok(())
    }

    fn set_server_attributes(&mut self, attributes: Vec<Attribute>) -> Result<()> {
        let telemetry = &*self.telemetry;
        if telemetry.request.span().is_recording() {
            let (attributes, over) = telemetry.converted(attributes);
            let limit = telemetry.request.max_guest_attributes();
            let span = telemetry.request.span();
            let dropped = span.set_guest_attributes(attributes, limit, over);
            telemetry.signals.dropped().attributes(dropped);
        }
        Ok(())
    }

    fn set_server_status(&mut self, status: wit::Status) -> Result<()> {
        let status = self.telemetry.status(status);
        self.telemetry.request.span().set_guest_status(status);
        Ok(())
    }
}

impl<T> wit::HostWithStore<T> for TelemetryImports {
    fn record_server_exception(
        mut host: Access<'_, T, Self>,
        exception: wit::Exception,
        attributes: Vec<Attribute>,
        when: Option<Datetime>,
    ) -> Result<()> {
        if !host.get().telemetry.request.span().takes_guest_event() {
            return Ok(());
        }
        let exception = with_stack(exception, &host);
        let view = host.get();
        match view.telemetry.exception(exception, attributes, when) {
            Ok(event) => view.telemetry.request.span().add_guest_event(event),
            Err(OverBudget) => view.telemetry.request.span().lose_guest_event(),
        }
        Ok(())
    }
}

/// Adds the guest's own stack, innermost function first, where none is given.
fn with_stack(mut exception: wit::Exception, store: impl AsContext) -> wit::Exception {
    if exception.stacktrace.is_none() {
        let backtrace = WasmBacktrace::force_capture(store);
        exception.stacktrace = Some(backtrace_text(&backtrace));
    }
    exception
}
