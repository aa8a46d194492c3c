//! The trace of a swap: one span for the whole, one for each step.
//!
//! A swap begins a trace of its own, which links to the span of the client that
//! asked for it.

use std::future::Future;

use opentelemetry::trace::{Link, SpanContext, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue};

use crate::component::slot::LoadedComponent;
use crate::component::swap_error::SwapError;
use fanlight_telemetry::HOST_SCOPE;
use fanlight_telemetry::clock::RequestClock;
use fanlight_telemetry::trace::span::Span;
use fanlight_telemetry::trace::tracer::{Parent, SpanStart, Tracer};

/// A swap under way.
pub(crate) struct SwapTrace {
    tracer: Tracer,
    clock: RequestClock,
    span: Span,
}

impl SwapTrace {
    /// Begins the trace; `asked_by` is the client's span, if it named one.
    pub(crate) fn start(
        tracer: &Tracer,
        name: &'static str,
        source: String,
        asked_by: Option<SpanContext>,
    ) -> Self {
        let clock = RequestClock::start();
        let link = asked_by.map(|context| Link::new(context, Vec::new(), 0));
        let span = tracer.start(SpanStart {
            name: name.into(),
            kind: SpanKind::Internal,
            parent: Parent::Root,
            attributes: vec![KeyValue::new("fanlight.swap.source", source)],
            links: link.into_iter().collect(),
            time: clock.started(),
            scope: InstrumentationScope::builder(HOST_SCOPE).build(),
        });
        Self {
            tracer: tracer.clone(),
            clock,
            span,
        }
    }

    pub(crate) fn context(&self) -> &SpanContext {
        self.span.context()
    }

    /// Names the component that is being swapped in.
    pub(crate) fn identify(&mut self, component: &LoadedComponent) {
        for attribute in [
            KeyValue::new("fanlight.component.digest", component.digest_value()),
            KeyValue::new("fanlight.component.version", component.version_value()),
        ] {
            self.span.set_attribute(attribute);
        }
    }

    /// Runs one step under a span of its own, and passes the step that span's context.
    pub(crate) async fn step<T, F>(
        &self,
        name: &'static str,
        work: impl FnOnce(SpanContext) -> F,
    ) -> Result<T, SwapError>
    where
        F: Future<Output = Result<T, SwapError>>,
    {
        let mut span = self.tracer.start(SpanStart {
            name: name.into(),
            kind: SpanKind::Internal,
            parent: Parent::Local(self.span.context()),
            attributes: Vec::new(),
            links: Vec::new(),
            time: self.clock.now(),
            scope: InstrumentationScope::builder(HOST_SCOPE).build(),
        });
        let done = work(span.context().clone()).await;
        if let Err(error) = &done {
            span.set_attribute(KeyValue::new("error.type", error.error_type()));
            span.override_status(Status::error(error.reason()));
        }
        span.end(self.clock.now());
        done
    }

    /// Ends the trace with the outcome.
    pub(crate) fn end(mut self, outcome: &Ending<'_>) {
        let span = &mut self.span;
        span.set_attribute(KeyValue::new("fanlight.swap.outcome", outcome.word));
        if let Some(component) = outcome.serving {
            let generation = i64::try_from(component.generation()).unwrap_or(i64::MAX);
            span.set_attribute(KeyValue::new("fanlight.component.generation", generation));
        }
        if let Some(before) = outcome.before {
            span.set_attribute(KeyValue::new(
                "fanlight.component.previous.version",
                before.version_value(),
            ));
        }
        if let Some((error_type, reason)) = outcome.failure {
            span.set_attribute(KeyValue::new("error.type", error_type));
            span.override_status(Status::error(reason.to_owned()));
        }
        span.end(self.clock.now());
    }
}

/// The outcome of a swap, as its span records it.
pub(crate) struct Ending<'a> {
    /// The value of `fanlight.swap.outcome`.
    pub(crate) word: &'static str,
    /// What is served from now on, where that changed.
    pub(crate) serving: Option<&'a LoadedComponent>,
    /// What was served until then.
    pub(crate) before: Option<&'a LoadedComponent>,
    /// The value of `error.type` and the reason.
    pub(crate) failure: Option<(&'static str, &'a str)>,
}
