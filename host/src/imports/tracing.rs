//! `fanlight:telemetry/tracing`: spans, and what a guest may say of the server span.

use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use wasmtime::component::{Access, Resource};
use wasmtime::{AsContext, Result, WasmBacktrace};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use super::attributes::{convert, convert_counting, cut, time};
use super::bindings::fanlight::telemetry::tracing as wit;
use super::bindings::fanlight::telemetry::types::Attribute;
use super::current_span::ScopeHandle;
use super::guest_spans::SpanHandle;
use super::{GuestTelemetryView, TelemetryImports, scope};
use crate::error::backtrace_text;
use crate::propagation::bytes_of;
use crate::span::{Parent, Span, SpanStart};

/// W3C trace context level 2: the trace id's right half is random.
const RANDOM_FLAG: u8 = 0x02;

impl wit::HostSpan for GuestTelemetryView<'_> {
    fn start(&mut self, name: String, options: wit::SpanOptions) -> Result<Resource<SpanHandle>> {
        let telemetry = &mut *self.telemetry;
        let named;
        let current;
        let parent = match options.parent {
            wit::SpanParent::Current => {
                current = telemetry.current.context();
                Parent::Local(&current)
            }
            wit::SpanParent::Root => Parent::Root,
            wit::SpanParent::Context(context) => match span_context(&context) {
                Some(context) => {
                    named = context;
                    // A span of this very trace was sampled when it was made here.
                    if named.trace_id() == telemetry.server.context().trace_id()
                        && !named.is_remote()
                    {
                        Parent::Local(&named)
                    } else {
                        Parent::Remote(&named)
                    }
                }
                None => Parent::Root,
            },
        };
        let signals = &telemetry.signals;
        let unsampled = matches!(&parent, Parent::Local(parent) if !parent.is_sampled());
        // What is not sampled is not worth converting, nor is it in the budget.
        if unsampled || !telemetry.spans.take_from_budget() {
            let parent = match &parent {
                Parent::Local(parent) | Parent::Remote(parent) => (*parent).clone(),
                Parent::Root => telemetry.server.context().clone(),
            };
            if !unsampled {
                signals.dropped().spans(1);
            }
            // Children of a span that is left out hang below the next one that
            // is kept: its own parent.
            let span = Span::non_recording(if unsampled {
                signals.tracer.non_recording(&parent)
            } else {
                parent
            });
            return Ok(self.table.push(telemetry.spans.keep(span))?);
        }
        let limits = signals.span_limits();
        let links = options
            .links
            .into_iter()
            .filter_map(|link| self::link(link, telemetry))
            .collect();
        let span = signals.tracer.start(SpanStart {
            name: cut(name, limits.text_bytes).into(),
            kind: match options.kind {
                wit::SpanKind::Internal => SpanKind::Internal,
                wit::SpanKind::Server => SpanKind::Server,
                wit::SpanKind::Client => SpanKind::Client,
                wit::SpanKind::Producer => SpanKind::Producer,
                wit::SpanKind::Consumer => SpanKind::Consumer,
            },
            parent,
            attributes: convert(options.attributes, limits, signals.dropped()),
            links,
            time: telemetry.at(options.start_time),
            scope: scope(options.scope, limits),
        });
        Ok(self.table.push(telemetry.spans.keep(span))?)
    }

    fn enter(&mut self, span: Resource<SpanHandle>) -> Result<Resource<ScopeHandle>> {
        let context = self.table.get(&span)?.context.clone();
        let scope = self.telemetry.current.enter(context);
        Ok(self.table.push(scope)?)
    }

    fn set_attributes(&mut self, span: Resource<SpanHandle>, list: Vec<Attribute>) -> Result<()> {
        let handle = self.table.get(&span)?;
        let signals = &self.telemetry.signals;
        if let Some(span) = self.telemetry.spans.get(handle) {
            for attribute in convert(list, signals.span_limits(), signals.dropped()) {
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
        let when = self.telemetry.at(when);
        let signals = &self.telemetry.signals;
        if let Some(span) = self.telemetry.spans.get(handle) {
            let limits = signals.span_limits();
            let (attributes, dropped) = convert_counting(attributes, limits, signals.dropped());
            let name = cut(name, limits.text_bytes);
            span.add_event(Event::new(name, when, attributes, dropped), 0);
        }
        Ok(())
    }

    fn set_status(&mut self, span: Resource<SpanHandle>, status: wit::Status) -> Result<()> {
        let handle = self.table.get(&span)?;
        let limit = self.telemetry.signals.span_limits().text_bytes;
        if let Some(span) = self.telemetry.spans.get(handle) {
            span.set_status(self::status(status, limit));
        }
        Ok(())
    }

    fn update_name(&mut self, span: Resource<SpanHandle>, name: String) -> Result<()> {
        let handle = self.table.get(&span)?;
        let limit = self.telemetry.signals.span_limits().text_bytes;
        if let Some(span) = self.telemetry.spans.get(handle) {
            span.update_name(cut(name, limit).into());
        }
        Ok(())
    }

    fn add_link(&mut self, span: Resource<SpanHandle>, link: wit::Link) -> Result<()> {
        let handle = self.table.get(&span)?;
        let link = self::link(link, self.telemetry);
        if let (Some(span), Some(link)) = (self.telemetry.spans.get(handle), link) {
            span.add_link(link);
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
        if view.telemetry.spans.get(handle).is_none() {
            return Ok(());
        }
        let exception = with_stack(exception, &host);
        let view = host.get();
        let event = view.telemetry.exception(exception, attributes, when);
        let handle = view.table.get(&span)?;
        if let Some(span) = view.telemetry.spans.get(handle) {
            span.add_event(event, 0);
        }
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
        Ok(self.telemetry.server.is_recording())
    }

    fn set_server_route(&mut self, route: String) -> Result<()> {
        let limit = self.telemetry.signals.span_limits().text_bytes;
        self.telemetry.server.set_route(cut(route, limit));
        Ok(())
    }

    fn set_server_attributes(&mut self, attributes: Vec<Attribute>) -> Result<()> {
        let signals = &self.telemetry.signals;
        if self.telemetry.server.is_recording() {
            let (attributes, over) =
                convert_counting(attributes, signals.span_limits(), signals.dropped());
            let dropped = self.telemetry.server.set_guest_attributes(attributes, over);
            signals.dropped().attributes(dropped);
        }
        Ok(())
    }

    fn set_server_status(&mut self, status: wit::Status) -> Result<()> {
        let limit = self.telemetry.signals.span_limits().text_bytes;
        let status = self::status(status, limit);
        self.telemetry.server.set_guest_status(status);
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
        if !host.get().telemetry.server.is_recording() {
            return Ok(());
        }
        let exception = with_stack(exception, &host);
        let view = host.get();
        let event = view.telemetry.exception(exception, attributes, when);
        view.telemetry.server.add_guest_event(event);
        Ok(())
    }
}

impl super::GuestTelemetry {
    /// The time given, or now by the request's clock.
    fn at(&self, when: Option<Datetime>) -> SystemTime {
        when.map_or_else(|| self.server.clock().now(), time)
    }

    fn exception(
        &self,
        exception: wit::Exception,
        attributes: Vec<Attribute>,
        when: Option<Datetime>,
    ) -> Event {
        let limits = self.signals.span_limits();
        let (mut attributes, dropped) =
            convert_counting(attributes, limits, self.signals.dropped());
        let named = [
            ("exception.type", Some(exception.exception_type)),
            ("exception.message", Some(exception.message)),
            ("exception.stacktrace", exception.stacktrace),
        ];
        for (key, text) in named {
            if let Some(text) = text {
                attributes.retain(|attribute| attribute.key.as_str() != key);
                attributes.push(KeyValue::new(key, cut(text, limits.text_bytes)));
            }
        }
        Event::new("exception", self.at(when), attributes, dropped)
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

fn status(status: wit::Status, limit: usize) -> Status {
    match status {
        wit::Status::Unset => Status::Unset,
        wit::Status::Ok => Status::Ok,
        wit::Status::Error(description) => Status::error(cut(description, limit)),
    }
}

fn link(link: wit::Link, telemetry: &super::GuestTelemetry) -> Option<Link> {
    let context = span_context(&link.context)?;
    let signals = &telemetry.signals;
    let limits = signals.span_limits();
    let (attributes, dropped) = convert_counting(link.attributes, limits, signals.dropped());
    Some(Link::new(context, attributes, dropped))
}

/// Reads a context that a guest names; none where an id is no id.
fn span_context(context: &wit::SpanContext) -> Option<SpanContext> {
    let trace_id = TraceId::from_bytes(bytes_of(context.trace_id.as_bytes())?);
    let span_id = SpanId::from_bytes(bytes_of(context.span_id.as_bytes())?);
    let mut flags = TraceFlags::NOT_SAMPLED.to_u8();
    if context.trace_flags.contains(wit::TraceFlags::SAMPLED) {
        flags |= TraceFlags::SAMPLED.to_u8();
    }
    if context.trace_flags.contains(wit::TraceFlags::RANDOM) {
        flags |= RANDOM_FLAG;
    }
    // A state that does not parse is as good as none, as on the wire.
    let state = context.trace_state.parse().unwrap_or(TraceState::NONE);
    let flags = TraceFlags::new(flags);
    let context = SpanContext::new(trace_id, span_id, flags, context.is_remote, state);
    context.is_valid().then_some(context)
}

fn wit_context(context: &SpanContext) -> wit::SpanContext {
    let mut flags = wit::TraceFlags::empty();
    if context.is_sampled() {
        flags |= wit::TraceFlags::SAMPLED;
    }
    if context.trace_flags().to_u8() & RANDOM_FLAG != 0 {
        flags |= wit::TraceFlags::RANDOM;
    }
    wit::SpanContext {
        trace_id: context.trace_id().to_string(),
        span_id: context.span_id().to_string(),
        trace_flags: flags,
        trace_state: context.trace_state().header(),
        is_remote: context.is_remote(),
    }
}
