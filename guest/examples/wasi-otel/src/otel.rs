//! What `wit-bindgen` makes of `wasi:otel`, and short ways to its records.

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    reason = "generated code"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "wasi:otel/imports",
        generate_all,
    });
}

pub(crate) use bindings::wasi::clocks::wall_clock::Datetime;
pub(crate) use bindings::wasi::otel::{logs, metrics, tracing, types};

use tracing::{SpanContext, SpanData, SpanKind, Status, TraceFlags};
use types::{InstrumentationScope, KeyValue};

/// A point in time that tests can expect: so many milliseconds after
/// 2023-11-14T22:13:20Z.
pub(crate) fn at(milliseconds: u32) -> Datetime {
    Datetime {
        seconds: 1_700_000_000 + u64::from(milliseconds / 1_000),
        nanoseconds: milliseconds % 1_000 * 1_000_000,
    }
}

pub(crate) fn attribute(key: &str, json: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: json.into(),
    }
}

pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "by-hand".into(),
        version: Some("1.2".into()),
        schema_url: None,
        attributes: Vec::new(),
    }
}

/// A sampled span of the current trace, with an id made of this number.
pub(crate) fn context(id: u64) -> SpanContext {
    SpanContext {
        span_id: format!("{id:016x}"),
        trace_flags: TraceFlags::SAMPLED,
        is_remote: false,
        trace_state: Vec::new(),
        ..tracing::current_span_context()
    }
}

/// A span that has ended, with nothing said of it.
pub(crate) fn ended(name: &str, span_context: SpanContext, parent_span_id: &str) -> SpanData {
    SpanData {
        span_context,
        parent_span_id: parent_span_id.into(),
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: at(0),
        end_time: at(1),
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        status: Status::Unset,
        instrumentation_scope: scope(),
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
    }
}

/// A span that has started.
pub(crate) struct Open {
    name: &'static str,
    pub(crate) context: SpanContext,
    parent: String,
}

impl Open {
    /// Starts one below the current span, as an SDK does.
    pub(crate) fn start(name: &'static str, id: u64) -> Self {
        let parent = tracing::current_span_context().span_id;
        let context = context(id);
        tracing::on_start(&context);
        Self {
            name,
            context,
            parent,
        }
    }

    pub(crate) fn end(self) {
        tracing::on_end(&ended(self.name, self.context, &self.parent));
    }
}
