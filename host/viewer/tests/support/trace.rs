//! Traces in the making.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// What a hostile component or client sends as a name, a key or a value.
pub const HOSTILE: &str = "</title></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&<svg onload=alert(3)>";

pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;

pub fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A trace in the making.
pub struct Trace {
    pub id: u128,
    start: u64,
    spans: Vec<(&'static str, Span)>,
    logs: Vec<LogRecord>,
}

impl Trace {
    /// A request that began at `start`.
    pub fn request(
        id: u128,
        start: u64,
        method: &str,
        route: &str,
        status: u16,
        took: u64,
    ) -> Self {
        let mut trace = Self {
            id,
            start,
            spans: Vec::new(),
            logs: Vec::new(),
        };
        let span = trace.span("fanlight", 0, &format!("{method} {route}"), 0, took);
        let span = trace.at(span);
        span.kind = 2;
        span.attributes = vec![
            text("http.request.method", method),
            text("http.route", route),
            text("url.path", &route.replace("{id}", "17")),
            text("url.scheme", "http"),
            text("server.address", "localhost"),
            number("server.port", 8000),
            text("network.protocol.version", "1.1"),
            text("user_agent.original", "curl/8.9"),
            number("http.response.status_code", status.into()),
            text("fanlight.component.version", "1.4.2"),
            number("fanlight.component.generation", 3),
            text(
                "fanlight.component.digest",
                "sha256:5d41402abc4b2a76b9719d911017c592ae2c1f0f7b1d2e9b7d4d6b2a3c4d5e6f",
            ),
        ];
        if status >= 500 {
            span.attributes
                .push(text("error.type", &status.to_string()));
            span.status = Some(Status {
                code: 2,
                message: String::new(),
            });
        }
        trace
    }

    /// Gives the trace another id.
    pub fn rename(&mut self, id: u128) {
        self.id = id;
        for (_, span) in &mut self.spans {
            span.trace_id = id.to_be_bytes().to_vec();
        }
        for log in &mut self.logs {
            log.trace_id = id.to_be_bytes().to_vec();
        }
    }

    /// Forgets what has been sent: the next span and the next log record come alone.
    pub fn sent(&mut self) {
        for (scope, span) in &mut self.spans {
            // Numbers are those of places.
            (*scope, *span) = ("", Span::default());
        }
        self.logs.clear();
    }

    /// A span of a scope below the span with the number `parent`, or below none.
    /// Returns its number.
    pub fn span(
        &mut self,
        scope: &'static str,
        parent: u64,
        name: &str,
        from: u64,
        to: u64,
    ) -> u64 {
        let number = self.spans.len() as u64 + 1;
        let id = |number: u64| (number << 32 | 0xabcd_0123).to_be_bytes().to_vec();
        self.spans.push((
            scope,
            Span {
                trace_id: self.id.to_be_bytes().to_vec(),
                span_id: id(number),
                parent_span_id: if parent == 0 { Vec::new() } else { id(parent) },
                name: name.to_owned(),
                kind: 1,
                start_time_unix_nano: self.start + from,
                end_time_unix_nano: self.start + to,
                flags: 257,
                ..Default::default()
            },
        ));
        number
    }

    pub fn guest(&mut self, parent: u64, name: &str, from: u64, to: u64) -> u64 {
        self.span("fanlight.guest", parent, name, from, to)
    }

    pub fn at(&mut self, number: u64) -> &mut Span {
        &mut self.spans[usize::try_from(number).unwrap_or_default() - 1].1
    }

    pub fn set(&mut self, number: u64, attributes: Vec<KeyValue>) {
        self.at(number).attributes.extend(attributes);
    }

    pub fn event(&mut self, number: u64, name: &str, at: u64, attributes: Vec<KeyValue>) {
        let event = Event {
            time_unix_nano: self.start + at,
            name: name.to_owned(),
            attributes,
            ..Default::default()
        };
        self.at(number).events.push(event);
    }

    pub fn fail(&mut self, number: u64, message: &str) {
        self.at(number).status = Some(Status {
            code: 2,
            message: message.to_owned(),
        });
    }

    pub fn link(&mut self, number: u64, to: u128) {
        self.at(number).links.push(Link {
            trace_id: to.to_be_bytes().to_vec(),
            span_id: vec![0, 0, 0, 1, 0xab, 0xcd, 1, 0x23],
            ..Default::default()
        });
    }

    pub fn log(
        &mut self,
        number: u64,
        severity: i32,
        at: u64,
        body: &str,
        attributes: Vec<KeyValue>,
    ) {
        let span_id = self.at(number).span_id.clone();
        self.logs.push(LogRecord {
            time_unix_nano: self.start + at,
            severity_number: severity,
            body: Some(value(Value::StringValue(body.to_owned()))),
            attributes,
            trace_id: self.id.to_be_bytes().to_vec(),
            span_id,
            ..Default::default()
        });
    }
}

/// What the host exports of these traces.
pub fn spans_request(traces: &[Trace]) -> ExportTraceServiceRequest {
    let mut scopes: Vec<ScopeSpans> = Vec::new();
    let spans = traces.iter().flat_map(|it| &it.spans);
    for (name, span) in spans.filter(|it| !it.0.is_empty()) {
        let is_of = |it: &&mut ScopeSpans| it.scope.as_ref().is_some_and(|it| it.name == *name);
        match scopes.iter_mut().find(is_of) {
            Some(of_scope) => of_scope.spans.push(span.clone()),
            None => scopes.push(ScopeSpans {
                scope: Some(scope(name)),
                spans: vec![span.clone()],
                ..Default::default()
            }),
        }
    }
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: scopes,
            ..Default::default()
        }],
    }
}

pub fn logs_request(traces: &[Trace]) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope("fanlight.guest")),
                log_records: traces.iter().flat_map(|it| it.logs.clone()).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        ..Default::default()
    }
}

fn resource() -> Resource {
    Resource {
        attributes: vec![
            text("service.name", "orders"),
            text("service.version", "1.4.2"),
            text("telemetry.sdk.language", "rust"),
            text("host.name", "demo"),
        ],
        ..Default::default()
    }
}

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

pub fn pair(key: &str, of: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value(of)),
        ..Default::default()
    }
}

pub fn text(key: &str, text: &str) -> KeyValue {
    pair(key, Value::StringValue(text.to_owned()))
}

pub fn number(key: &str, number: i64) -> KeyValue {
    pair(key, Value::IntValue(number))
}

pub fn list(key: &str, items: &[&str]) -> KeyValue {
    let values = items
        .iter()
        .map(|it| value(Value::StringValue((*it).to_owned())));
    pair(
        key,
        Value::ArrayValue(ArrayValue {
            values: values.collect(),
        }),
    )
}
