//! `wasi:otel/tracing`: spans that a guest makes by itself.

use std::borrow::Cow;
use std::sync::Arc;

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use wasmtime::Result;

use crate::guest_api::attributes::{cut, time};
use crate::guest_api::context::{GuestTelemetry, GuestTelemetryView};
use crate::guest_api::convert::without_state;
use crate::guest_api::open_spans::SpansEnded;
use crate::guest_api::wasi_otel::bindings::wasi::otel::tracing as wit;
use crate::guest_api::wasi_otel::completed_spans::{OpenSpan, identity};
use crate::guest_api::wasi_otel::scope::scope;
use fanlight_telemetry::propagation::{RANDOM, bytes_of, trace_state, tracestate};
use fanlight_telemetry::trace::limits::MAX_TEXT_BYTES;
use fanlight_telemetry::{GUEST_SCOPE, sizes};

/// What a span is called of which the host knows nothing but that it started.
const UNFINISHED: &str = "unfinished";

/// W3C Trace Context §3.3.1.1: more than these discard the whole state.
const MAX_STATE_MEMBERS: usize = 32;

impl wit::Host for GuestTelemetryView<'_> {
    fn on_start(&mut self, context: wit::SpanContext) -> Result<()> {
        self.telemetry.start_made_span(&context);
        Ok(())
    }

    fn on_end(&mut self, span: wit::SpanData) -> Result<()> {
        self.telemetry.end_made_span(span);
        Ok(())
    }

    fn current_span_context(&mut self) -> Result<wit::SpanContext> {
        Ok(wit_context(&self.telemetry.current.context()))
    }

    fn outer_span_context(&mut self) -> Result<wit::SpanContext> {
        self.current_span_context()
    }
}

impl GuestTelemetry {
    fn start_made_span(&mut self, context: &wit::SpanContext) {
        let Some(context) = self.made_context(context) else {
            self.signals.dropped().spans(1);
            return;
        };
        if self.made.knows(identity(&context)) {
            return;
        }
        if context.is_sampled() {
            let bytes = size_of::<OpenSpan>() + 2 * sizes::context(&context);
            let has_room = self.room().take(bytes);
            if !self.spans.take_from_budget(has_room) {
                self.signals.dropped().spans(1);
                self.made.refuse_start();
                return;
            }
        } else if !self.spans.take_one(true) {
            return;
        }
        let context = Arc::new(if context.is_sampled() {
            context
        } else {
            // The state of vendors is not exported with it.
            without_state(&context)
        });
        let above = self.current.context();
        let scope = self.current.enter(Arc::clone(&context));
        let now = self.request.clock().now();
        self.made.start(context, above, now, scope);
    }

    fn end_made_span(&mut self, span: wit::SpanData) {
        let Some(context) = self.made_context(&span.span_context) else {
            self.signals.dropped().spans(1);
            return;
        };
        let id = identity(&context);
        if self.made.has_ended(id) {
            return;
        }
        let open = self.made.take(id);
        if let Some(open) = &open {
            self.current.leave(&open.scope);
        }
        if !context.is_sampled() {
            return;
        }
        let name = cut(span.name, MAX_TEXT_BYTES);
        let scope = scope(span.instrumentation_scope, self.signals.dropped());
        let bytes =
            size_of::<SpanData>() + name.len() + sizes::scope(&scope) + sizes::context(&context);
        let has_room = self.room().take(bytes);
        // One that has started is in the budget already.
        let is_kept = match &open {
            Some(_) => has_room,
            None => self.spans.take_one(has_room),
        };
        if !is_kept {
            // One whose start was refused has been counted.
            if open.is_some() || !self.made.was_refused() {
                self.spans.lose();
                self.signals.dropped().spans(1);
            }
            return;
        }
        self.made.end(id);
        let (attributes, over) =
            self.attributes_of(span.attributes, self.signals.span_limits().of_span());
        let start_time = time(span.start_time);
        let data = SpanData {
            span_context: context,
            parent_span_id: span_id(&span.parent_span_id).unwrap_or(SpanId::INVALID),
            parent_span_is_remote: false,
            span_kind: match span.span_kind {
                wit::SpanKind::Client => SpanKind::Client,
                wit::SpanKind::Server => SpanKind::Server,
                wit::SpanKind::Producer => SpanKind::Producer,
                wit::SpanKind::Consumer => SpanKind::Consumer,
                wit::SpanKind::Internal => SpanKind::Internal,
            },
            name: name.into(),
            start_time,
            end_time: time(span.end_time).max(start_time),
            attributes,
            dropped_attributes_count: span.dropped_attributes.saturating_add(over),
            events: self.made_events(span.events, span.dropped_events),
            links: self.made_links(span.links, span.dropped_links),
            status: self.made_status(span.status),
            instrumentation_scope: scope,
        };
        self.signals.tracer.export(data);
    }

    fn made_events(&self, list: Vec<wit::Event>, dropped: u32) -> SpanEvents {
        let limits = self.signals.span_limits();
        let mut events = SpanEvents::default();
        let mut lost = 0;
        for event in list {
            if events.events.len() >= limits.events {
                lost += 1;
                continue;
            }
            let name = cut(event.name, MAX_TEXT_BYTES);
            let (attributes, over) = self.attributes_of(event.attributes, limits.of_event());
            let mut kept = Event::new(name, time(event.time), Vec::new(), over);
            if self.room().take(sizes::event(&kept)) {
                kept.attributes = attributes;
                events.events.push(kept);
            } else {
                lost += 1;
            }
        }
        self.signals.dropped().events(u64::from(lost));
        events.dropped_count = dropped.saturating_add(lost);
        events
    }

    fn made_links(&self, list: Vec<wit::Link>, dropped: u32) -> SpanLinks {
        let limits = self.signals.span_limits();
        let mut links = SpanLinks::default();
        let mut lost = 0;
        for link in list {
            if links.links.len() >= limits.links {
                lost += 1;
                continue;
            }
            let Some(context) = span_context(&link.span_context) else {
                continue;
            };
            let (attributes, over) = self.attributes_of(link.attributes, limits.of_link());
            let mut kept = Link::new(context, Vec::new(), over);
            if self.room().take(sizes::link(&kept)) {
                kept.attributes = attributes;
                links.links.push(kept);
            } else {
                lost += 1;
            }
        }
        self.signals.dropped().links(u64::from(lost));
        links.dropped_count = dropped.saturating_add(lost);
        links
    }

    /// A description that there is no room for is left out.
    fn made_status(&self, status: wit::Status) -> Status {
        match status {
            wit::Status::Unset => Status::Unset,
            wit::Status::Ok => Status::Ok,
            wit::Status::Error(text) => {
                let text = cut(text, MAX_TEXT_BYTES);
                let has_room = self.room().take(text.len());
                Status::error(if has_room { text } else { String::new() })
            }
        }
    }

    /// The context of a span that a guest makes: none where an id is no id, or
    /// the server span's. Where the server span is not sampled, nor is anything
    /// of its trace.
    fn made_context(&self, context: &wit::SpanContext) -> Option<SpanContext> {
        let context = span_context(context)?;
        let server = self.request.span().context();
        if context.span_id() == server.span_id() {
            return None;
        }
        if context.trace_id() != server.trace_id() {
            return Some(context);
        }
        // The guest has no word for it: the id of a trace is random or not, in
        // all of its spans.
        let random = server.trace_flags() & RANDOM;
        let sampled = context.trace_flags() & server.trace_flags() & TraceFlags::SAMPLED;
        Some(SpanContext::new(
            context.trace_id(),
            context.span_id(),
            sampled | random,
            context.is_remote(),
            context.trace_state().clone(),
        ))
    }

    /// Ends the spans whose end never came, the latest first; tells how many
    /// that were.
    pub(crate) fn end_made_spans(&mut self, why: SpansEnded) -> i64 {
        let now = self.request.clock().now();
        let mut unfinished = 0;
        for span in self.made.take_all() {
            self.current.leave(&span.scope);
            if span.context.is_sampled() {
                unfinished += 1;
                self.signals.tracer.export(unfinished_span(span, why, now));
            }
        }
        unfinished
    }
}

fn unfinished_span(span: OpenSpan, why: SpansEnded, now: std::time::SystemTime) -> SpanData {
    let OpenSpan {
        context,
        above,
        started,
        ..
    } = span;
    let parent_span_id = if above.trace_id() == context.trace_id() {
        above.span_id()
    } else {
        SpanId::INVALID
    };
    let mut attributes = vec![KeyValue::new("fanlight.span.unfinished", true)];
    let mut status = Status::Unset;
    if let Some(word) = why.failure() {
        attributes.push(KeyValue::new("error.type", word));
        status = Status::error(word);
    }
    SpanData {
        span_context: (*context).clone(),
        parent_span_id,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: Cow::Borrowed(UNFINISHED),
        start_time: started,
        end_time: now.max(started),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status,
        instrumentation_scope: InstrumentationScope::builder(GUEST_SCOPE).build(),
    }
}

/// Reads a context that a guest names; none where an id is no id.
fn span_context(context: &wit::SpanContext) -> Option<SpanContext> {
    let flags = if context.trace_flags.contains(wit::TraceFlags::SAMPLED) {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::NOT_SAMPLED
    };
    Some(SpanContext::new(
        trace_id(&context.trace_id)?,
        span_id(&context.span_id)?,
        flags,
        context.is_remote,
        state_of(&context.trace_state),
    ))
}

pub(crate) fn trace_id(digits: &str) -> Option<TraceId> {
    let id = TraceId::from_bytes(bytes_of(digits.as_bytes())?);
    (id != TraceId::INVALID).then_some(id)
}

pub(crate) fn span_id(digits: &str) -> Option<SpanId> {
    let id = SpanId::from_bytes(bytes_of(digits.as_bytes())?);
    (id != SpanId::INVALID).then_some(id)
}

/// Reads a state: a member that is bad is left out, as in the header.
fn state_of(members: &[(String, String)]) -> TraceState {
    // What separates members in the header cannot be part of one.
    let is_part = |text: &str| !text.contains([',', '=']) && text.trim() == text;
    if members.len() > MAX_STATE_MEMBERS {
        return TraceState::NONE;
    }
    let texts: Vec<_> = members
        .iter()
        .filter(|(key, value)| is_part(key) && is_part(value) && !value.is_empty())
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    tracestate(texts.iter().map(String::as_str))
}

/// Tells a guest a context.
fn wit_context(context: &SpanContext) -> wit::SpanContext {
    let mut flags = wit::TraceFlags::empty();
    if context.is_sampled() {
        flags |= wit::TraceFlags::SAMPLED;
    }
    let header = trace_state::header(context.trace_state());
    let members = header
        .split(',')
        .filter_map(|member| member.split_once('='));
    wit::SpanContext {
        trace_id: context.trace_id().to_string(),
        span_id: context.span_id().to_string(),
        trace_flags: flags,
        is_remote: context.is_remote(),
        trace_state: members
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(members: &[(&str, &str)]) -> String {
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        trace_state::header(&state_of(&members))
    }

    #[test]
    fn a_state_keeps_its_order_and_a_bad_member_costs_itself_alone() {
        assert_eq!(state(&[("b", "2"), ("a", "1")]), "b=2,a=1");
        assert_eq!(state(&[("b@@c", "2"), ("a", "1")]), "b@@c=2,a=1");
        assert_eq!(state(&[("b", "2"), ("b", "again")]), "b=2,b=again");
        for bad in [("", "x"), ("a", ""), ("a=b", "x"), ("a", "é"), ("a", " x")] {
            assert_eq!(state(&[("b", "2"), bad]), "b=2", "{bad:?}");
        }
        let many: Vec<_> = (0..33).map(|n| format!("k{n}")).collect();
        let many: Vec<_> = many.iter().map(|key| (key.as_str(), "v")).collect();
        assert_eq!(state(&many), "");
        assert_eq!(state(&many[..32]).split(',').count(), 32);
    }

    #[test]
    fn an_id_is_lower_case_of_the_right_length_and_not_zero() {
        assert!(trace_id("0af7651916cd43dd8448eb211c80319c").is_some());
        assert!(span_id("b7ad6b7169203331").is_some());
        for bad in [
            "",
            "0000000000000000",
            "B7AD6B7169203331",
            "b7ad6b71692033310",
        ] {
            assert!(span_id(bad).is_none(), "{bad}");
            assert!(trace_id(bad).is_none(), "{bad}");
        }
    }
}
