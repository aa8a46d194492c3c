//! The layer itself: what `tracing` says goes to the host.
//!
//! Invariant: a span is entered on the host exactly while it is entered in
//! `tracing`, at whatever order it is left.

use std::sync::Arc;
use std::time::SystemTime;

use ::tracing::span::{Attributes, Id, Record};
use ::tracing::subscriber::Interest;
use ::tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::Events;
use super::fields::{EventFields, Outcome, SpanFields, severity};
use crate::bindings::fanlight::telemetry::{logs, tracing as raw, types};
use crate::entered::{self, Foreign};
use crate::exception::Exception;
use crate::stack::{Enter, EntryId};
use crate::value::{self, Attribute};
use crate::{Span, SpanKind, Status, recording};

pub(super) struct HostLayer {
    events: Events,
}

/// Lets through what the host records, so that the rest is never made.
pub(super) struct Recorded {
    spans: bool,
    events: bool,
}

/// What the layer keeps with a span of `tracing`.
struct HostSpan {
    span: Span,
    foreign: Foreign,
    /// How often it is entered, and its place on the host meanwhile.
    depth: usize,
    entry: Option<EntryId>,
    /// The spans below it that `tracing` has not closed: it keeps this one open
    /// until then, however long ago it was left.
    open_children: usize,
    left_at: Option<SystemTime>,
    /// The outcome that its fields gave, if any.
    outcome: Outcome,
}

/// Where an event happened.
enum Place {
    Span(Arc<raw::Span>),
    Server,
}

impl Recorded {
    pub(super) fn new(is_recording: bool, events: Events) -> Self {
        Self {
            spans: is_recording,
            events: is_recording || events != Events::OfSpans,
        }
    }

    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_event() {
            self.events
        } else {
            self.spans
        }
    }
}

impl<S> Filter<S> for Recorded {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.takes(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.takes(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let takes_something = self.spans || self.events;
        // A hint that is missing would hide that of the filter beside this one.
        Some(if takes_something {
            LevelFilter::TRACE
        } else {
            LevelFilter::OFF
        })
    }
}

impl HostLayer {
    pub(super) fn new(events: Events) -> Self {
        Self { events }
    }
}

impl<S> Layer<S> for HostLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let explicit = attributes.parent().and_then(|id| ctx.span(id));
        let explicit = explicit.and_then(|parent| nearest(&parent, |it| it.span.context()));
        // What is entered in `tracing` is entered on the host, and perhaps a
        // span of this crate above it. A root is not told from a span whose
        // parent is disabled, which belongs to the request.
        let parent = explicit
            .as_ref()
            .map_or(raw::SpanParent::Current, raw::SpanParent::Context);
        let host = HostSpan::start(attributes, parent);
        span.extensions_mut().replace(host);
        with_parent(&span, |parent| parent.open_children += 1);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        // Before the extensions are borrowed: a value that is debugged may
        // enter the span itself.
        let mut fields = SpanFields::default();
        values.record(&mut fields);
        if let Some(host) = span.extensions_mut().get_mut::<HostSpan>() {
            host.say(fields);
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: Context<'_, S>) {
        let followed = ctx.span(follows).and_then(|span| {
            let extensions = span.extensions();
            extensions.get::<HostSpan>().map(|host| host.span.context())
        });
        let (Some(span), Some(context)) = (ctx.span(id), followed) else {
            return;
        };
        if let Some(host) = span.extensions().get::<HostSpan>() {
            host.span.add_link(&context, &[]);
        }
    }

    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(host) = span.extensions_mut().get_mut::<HostSpan>() {
            host.enter();
        }
    }

    fn on_exit(&self, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(host) = span.extensions_mut().get_mut::<HostSpan>() {
            host.exit();
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = EventFields::new(*metadata.level());
        event.record(&mut fields);
        let named = event.parent().and_then(|id| ctx.span(id));
        let named = named.and_then(|span| nearest(&span, |it| Arc::clone(it.span.handle())));
        // An event that names its span is not always within it.
        let elsewhere = named.clone();
        let current = || entered::topmost().map(|(_, handle)| handle);
        let place = named.or_else(current).map_or(Place::Server, Place::Span);
        if recording::may_record() {
            if self.events != Events::LogRecords {
                place.take(metadata, &fields);
            }
            if *metadata.level() == Level::ERROR {
                let why = fields.why();
                let mut scope = ctx.event_scope(event).into_iter().flatten();
                let is_told = scope.any(|span| {
                    let mut extensions = span.extensions_mut();
                    let host = extensions.get_mut::<HostSpan>();
                    host.is_some_and(|host| host.is_at(&place) && host.is_told_but_of(why))
                });
                if let Place::Span(span) = &place
                    && !is_told
                {
                    span.set_status(Status::Error(why));
                }
            }
        }
        if self.events != Events::OfSpans || matches!(place, Place::Server) {
            let _scope = elsewhere.as_ref().map(Enter::enter);
            emit(metadata, &fields);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let host = span.extensions_mut().remove::<HostSpan>();
        if let Some(host) = host {
            with_parent(&span, |parent| {
                parent.open_children = parent.open_children.saturating_sub(1)
            });
            if let Some(left_at) = host.left_at {
                host.span.end_at(left_at);
            }
            // Dropped, it ends.
        }
    }
}

/// Changes the next span above this one that the host knows.
fn with_parent<S>(span: &SpanRef<'_, S>, change: impl FnOnce(&mut HostSpan))
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if let Some(parent) = span.parent()
        && let Some(host) = parent.extensions_mut().get_mut()
    {
        change(host);
    }
}

/// Asks the next span, from this one upwards, that the host knows.
fn nearest<'span, S, T>(span: &SpanRef<'span, S>, ask: impl Fn(&HostSpan) -> T) -> Option<T>
where
    S: Subscriber + LookupSpan<'span>,
{
    span.scope()
        .find_map(|span| span.extensions().get::<HostSpan>().map(&ask))
}

impl HostSpan {
    fn start(attributes: &Attributes<'_>, parent: raw::SpanParent<'_>) -> Self {
        let metadata = attributes.metadata();
        let mut fields = SpanFields::default();
        attributes.record(&mut fields);
        if let Some(file) = metadata.file() {
            fields
                .attributes
                .push(Attribute::new("code.file.path", file));
        }
        if let Some(line) = metadata.line() {
            fields
                .attributes
                .push(Attribute::new("code.line.number", line));
        }
        let options = raw::SpanOptions {
            kind: fields.kind.unwrap_or(SpanKind::Internal),
            attributes: &value::as_raw(&fields.attributes),
            links: &[],
            parent,
            start_time: None,
            scope: Some(scope(metadata)),
        };
        let name = fields.name.as_deref().unwrap_or(metadata.name());
        let span = Span::start(name, options);
        if let Some(status) = fields.outcome.status() {
            span.set_status(status);
        }
        Self {
            foreign: Foreign::new(Arc::clone(span.handle())),
            span,
            depth: 0,
            entry: None,
            open_children: 0,
            left_at: None,
            outcome: fields.outcome,
        }
    }

    /// Says what became known later. Its kind cannot be changed any more.
    fn say(&mut self, fields: SpanFields) {
        if let Some(name) = &fields.name {
            self.span.update_name(name);
        }
        if fields.outcome.status().is_some() {
            self.outcome.add(fields.outcome);
            if let Some(status) = self.outcome.status() {
                self.span.set_status(status);
            }
        }
        if !fields.attributes.is_empty() {
            self.span.set_attributes(&fields.attributes);
        }
    }

    fn is_at(&self, place: &Place) -> bool {
        matches!(place, Place::Span(handle) if Arc::ptr_eq(handle, self.span.handle()))
    }

    /// Whether fields gave its outcome, which overrides an event's; without one it
    /// keeps what the event says.
    fn is_told_but_of(&mut self, why: &str) -> bool {
        let is_told = self.outcome.status().is_some();
        if !is_told {
            self.outcome.event = Some(why.to_owned());
        }
        is_told
    }

    fn enter(&mut self) {
        self.depth += 1;
        if self.depth == 1 {
            self.left_at = None;
            self.entry = Some(self.foreign.enter());
        }
    }

    fn exit(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0
            && let Some(entry) = self.entry.take()
        {
            entered::exit(entry);
            // Without children it is closed as soon as nobody has it any more.
            self.left_at = (self.open_children > 0).then(SystemTime::now);
        }
    }
}

impl Place {
    /// Tells the span what happened.
    fn take(&self, metadata: &Metadata<'_>, fields: &EventFields) {
        // First: of two that have the same key, the later one is kept.
        let mut attributes = vec![
            text("level", metadata.level().as_str()),
            text("target", metadata.target()),
        ];
        if fields.exception.is_some() {
            attributes.extend(fields.message.as_deref().map(|it| text("message", it)));
        }
        attributes.extend(value::as_raw(&fields.attributes));
        if let Some(exception) = &fields.exception {
            self.take_exception(exception, &attributes);
        } else if let Self::Span(span) = self {
            let name = fields.message.as_deref().unwrap_or(metadata.name());
            span.add_event(name, &attributes, None);
        }
    }

    fn take_exception(&self, exception: &Exception<'_>, attributes: &[types::Attribute<'_>]) {
        match self {
            Self::Span(span) => span.record_exception(exception.as_raw(), attributes, None),
            Self::Server => raw::record_server_exception(exception.as_raw(), attributes, None),
        }
    }
}

/// Emits a log record of an event.
fn emit(metadata: &Metadata<'_>, fields: &EventFields) {
    let mut attributes = value::as_raw(&fields.attributes);
    let mut body = fields.message.as_deref();
    if let Some(exception) = &fields.exception {
        attributes.push(text("exception.type", &exception.exception_type));
        attributes.push(text("exception.message", &exception.message));
        body = body.or(Some(&exception.message));
    }
    logs::emit(logs::LogRecord {
        severity: severity(*metadata.level()),
        body: types::Value::String(body.unwrap_or(metadata.name())),
        attributes: &attributes,
        event_name: None,
        time: None,
        scope: Some(scope(metadata)),
    });
}

fn text<'a>(key: &'a str, text: &'a str) -> types::Attribute<'a> {
    types::Attribute {
        key,
        value: types::Value::String(text),
    }
}

/// The library that speaks: the target, which is its module unless it says else.
fn scope<'a>(metadata: &'a Metadata<'_>) -> types::InstrumentationScope<'a> {
    types::InstrumentationScope {
        name: metadata.target(),
        version: None,
    }
}
