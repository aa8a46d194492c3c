//! What is known of a span before it starts.

use std::time::SystemTime;

use crate::bindings::fanlight::telemetry::tracing as raw;
use crate::bindings::fanlight::telemetry::types::InstrumentationScope;
use crate::recording;
use crate::span::Span;
use crate::value::{self, Attribute, Value};
use crate::{SpanContext, SpanKind};

/// The description of a span, made by [`Span::builder`].
///
/// ```no_run
/// # use fanlight_guest::{Span, SpanKind};
/// # let (cause, other) = (fanlight_guest::current_context(), fanlight_guest::current_context());
/// let span = Span::builder("handle_message")
///     .kind(SpanKind::Consumer)
///     .attribute("messaging.system", "kafka")
///     .link(&cause, [])
///     .parent(&other)
///     .start();
/// let _guard = span.enter();
/// ```
#[derive(Clone, Debug)]
#[must_use = "the span starts with `start`"]
pub struct SpanBuilder<'a> {
    name: &'a str,
    kind: SpanKind,
    attributes: Vec<Attribute<'a>>,
    links: Vec<(&'a SpanContext, Vec<Attribute<'a>>)>,
    parent: raw::SpanParent<'a>,
    start_time: Option<SystemTime>,
    scope: Option<InstrumentationScope<'a>>,
}

impl<'a> SpanBuilder<'a> {
    pub(crate) fn new(name: &'a str) -> Self {
        Self {
            name,
            kind: SpanKind::Internal,
            attributes: Vec::new(),
            links: Vec::new(),
            parent: raw::SpanParent::Current,
            start_time: None,
            scope: None,
        }
    }

    /// Says what part the span plays between caller and callee.
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds an attribute, which a sampler may look at.
    pub fn attribute(mut self, key: &'a str, value: impl Into<Value<'a>>) -> Self {
        self.attributes.push(Attribute::new(key, value));
        self
    }

    /// Adds attributes.
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = Attribute<'a>>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    /// Refers to another span without being its child.
    pub fn link(
        mut self,
        context: &'a SpanContext,
        attributes: impl IntoIterator<Item = Attribute<'a>>,
    ) -> Self {
        self.links.push((context, attributes.into_iter().collect()));
        self
    }

    /// Hangs the span below this one instead of the current one.
    pub fn parent(mut self, context: &'a SpanContext) -> Self {
        self.parent = raw::SpanParent::Context(context);
        self
    }

    /// Hangs the span below none: it begins a trace of its own.
    pub fn root(mut self) -> Self {
        self.parent = raw::SpanParent::Root;
        self
    }

    /// Says when the span started, where that is not now.
    pub fn start_time(mut self, time: SystemTime) -> Self {
        self.start_time = Some(time);
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

    /// Starts the span, which does not become the current one.
    ///
    /// Attributes and links that the host would not record do not cross to it.
    pub fn start(mut self) -> Span {
        let says_more = !self.attributes.is_empty() || !self.links.is_empty();
        let is_below_current = matches!(self.parent, raw::SpanParent::Current);
        if says_more && is_below_current && !recording::may_record() {
            self.attributes.clear();
            self.links.clear();
        }
        let link_attributes: Vec<_> = self
            .links
            .iter()
            .map(|(_, attributes)| value::as_raw(attributes))
            .collect();
        let links: Vec<_> = self
            .links
            .iter()
            .zip(&link_attributes)
            .map(|((context, _), attributes)| raw::Link {
                context,
                attributes,
            })
            .collect();
        Span::start(
            self.name,
            raw::SpanOptions {
                kind: self.kind,
                attributes: &value::as_raw(&self.attributes),
                links: &links,
                parent: self.parent,
                start_time: self.start_time.map(Into::into),
                scope: self.scope,
            },
        )
    }
}
