//! Telemetry as the host and a component make it, and a host that says what it serves.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each program that has this module uses a part of it"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fanlight_viewer::{
    Access, Body, ComponentStatus, ComponentVersion, Histogram, HostStatus, Import, Instrument,
    MetricsStatus, Point, PointValue, SwapOutcome, SwapRecord, Viewer,
};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use tokio::net::TcpListener;

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
    for (name, span) in traces.iter().flat_map(|it| &it.spans) {
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

/// A trace of each kind that the pages have to show.
pub fn samples(start: u64) -> Vec<Trace> {
    vec![
        success(0x5b8e_fff7_9803_8103_d269_b633_813f_c60c, start),
        failure(0x7c3e_11a7_9803_8103_d269_b633_813f_c60d, start + 400 * MS),
        thousand(0x8d4f_22b8_9803_8103_d269_b633_813f_c60e, start + 900 * MS),
        hostile(0x9e5a_33c9_9803_8103_d269_b633_813f_c60f, start + 1300 * MS),
    ]
}

/// Nested five levels deep, with events, links and log records.
pub fn success(id: u128, start: u64) -> Trace {
    let mut trace = Trace::request(id, start, "GET", "/orders/{id}", 200, 23 * MS);
    let handle = trace.guest(1, "handle", 300 * US, 22_600 * US);
    let auth = trace.guest(handle, "check session", 500 * US, 2_300 * US);
    trace.set(
        auth,
        vec![
            text("enduser.id", "u-81723"),
            pair("cache.hit", Value::BoolValue(true)),
        ],
    );
    let load = trace.guest(handle, "load order", 2_600 * US, 17_900 * US);
    let cache = trace.guest(load, "GET order:17", 2_700 * US, 3_400 * US);
    trace.set(
        cache,
        vec![
            text("db.system.name", "redis"),
            text("db.operation.name", "GET"),
        ],
    );
    let query = trace.guest(load, "SELECT orders", 3_600 * US, 15_800 * US);
    trace.set(
        query,
        vec![
            text("db.system.name", "postgresql"),
            text(
                "db.query.text",
                "SELECT id, state, total FROM orders WHERE id = $1",
            ),
            number("db.response.returned_rows", 1),
        ],
    );
    trace.at(query).kind = 3;
    let decode = trace.guest(query, "decode rows", 14_900 * US, 15_600 * US);
    trace.event(decode, "row", 15_200 * US, vec![number("columns", 3)]);
    let price = trace.guest(load, "apply discounts", 16_000 * US, 17_700 * US);
    trace.set(
        price,
        vec![
            list("discounts", &["spring", "loyalty"]),
            pair("total", Value::DoubleValue(41.5)),
        ],
    );
    let render = trace.guest(handle, "render json", 18_100 * US, 22_100 * US);
    trace.set(render, vec![number("bytes", 1834)]);
    trace.link(handle, 0x7c3e_11a7_9803_8103_d269_b633_813f_c60d);
    trace.log(
        load,
        9,
        2_650 * US,
        "order is not in the cache",
        vec![text("order.id", "17")],
    );
    trace.log(handle, 5, 18_050 * US, "rendering", Vec::new());
    trace.log(
        1,
        9,
        22_700 * US,
        "orders: GET /orders/17 done",
        vec![text("log.iostream", "stdout")],
    );
    trace
}

/// Fails with an exception.
pub fn failure(id: u128, start: u64) -> Trace {
    let mut trace = Trace::request(id, start, "POST", "/orders", 500, 1_240 * MS);
    let handle = trace.guest(1, "handle", 200 * US, 1_239 * MS);
    let parse = trace.guest(handle, "parse body", 300 * US, 900 * US);
    trace.set(parse, vec![number("bytes", 412)]);
    let pay = trace.guest(handle, "charge card", 2 * MS, 1_236 * MS);
    let call = trace.guest(pay, "POST payments.example", 3 * MS, 1_204 * MS);
    trace.at(call).kind = 3;
    trace.set(
        call,
        vec![
            text("url.full", "https://payments.example/v2/charge"),
            number("http.response.status_code", 503),
        ],
    );
    trace.fail(call, "");
    trace.event(pay, "retry", 600 * MS, vec![number("attempt", 2)]);
    trace.event(
        pay,
        "exception",
        1_235 * MS,
        vec![
            text("exception.type", "PaymentError::Unavailable"),
            text("exception.message", "the payment service answered 503 after 2 attempts"),
            text(
                "exception.stacktrace",
                "   0: orders::payment::charge\n             at src/payment.rs:88:17\n   1: orders::handlers::create_order\n             at src/handlers.rs:142:9\n   2: orders::router::dispatch\n             at src/router.rs:31:5\n   3: <orders::Service as exports::wasi::http::incoming_handler::Guest>::handle",
            ),
        ],
    );
    trace.fail(pay, "the payment service is unavailable");
    trace.fail(handle, "");
    trace.log(
        pay,
        13,
        601 * MS,
        "payment attempt failed, trying again",
        vec![number("attempt", 1)],
    );
    trace.log(
        handle,
        17,
        1_236 * MS,
        "order was not created",
        vec![text("error", "PaymentError::Unavailable")],
    );
    trace
}

/// A thousand spans.
pub fn thousand(id: u128, start: u64) -> Trace {
    let mut trace = Trace::request(id, start, "POST", "/import", 200, 310 * MS);
    let handle = trace.guest(1, "import catalogue", MS, 308 * MS);
    for batch in 0..27 {
        let from = 2 * MS + batch * 11 * MS;
        let parent = trace.guest(handle, &format!("batch {batch}"), from, from + 10_500 * US);
        for item in 0..36 {
            let at = from + item * 280 * US;
            trace.guest(parent, "insert product", at, at + 240 * US);
        }
    }
    trace
}

/// Markup wherever a component or a client can put text.
pub fn hostile(id: u128, start: u64) -> Trace {
    let mut trace = Trace::request(id, start, "GET", HOSTILE, 200, 5 * MS);
    let span = trace.guest(1, HOSTILE, MS, 4 * MS);
    trace.set(
        span,
        vec![
            text(HOSTILE, HOSTILE),
            list("list", &[HOSTILE]),
            text("long", &HOSTILE.repeat(170)),
        ],
    );
    trace.event(span, HOSTILE, 2 * MS, vec![text(HOSTILE, HOSTILE)]);
    trace.event(
        span,
        "exception",
        3 * MS,
        vec![
            text("exception.type", HOSTILE),
            text("exception.message", HOSTILE),
            text("exception.stacktrace", HOSTILE),
        ],
    );
    trace.fail(span, HOSTILE);
    trace.log(span, 17, 2 * MS, HOSTILE, vec![text(HOSTILE, HOSTILE)]);
    trace
}

/// Requests as a shop has them.
pub fn traffic(count: u64, until: u64) -> Vec<Trace> {
    const ROUTES: [(&str, &str, u64); 6] = [
        ("GET", "/", 900 * US),
        ("GET", "/orders/{id}", 6 * MS),
        ("GET", "/products", 14 * MS),
        ("POST", "/orders", 38 * MS),
        ("GET", "/health", 150 * US),
        ("DELETE", "/orders/{id}", 9 * MS),
    ];
    (0..count)
        .map(|at| {
            let noise = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (method, route, usual) =
                ROUTES[usize::try_from(noise >> 61).unwrap_or_default() % ROUTES.len()];
            let factor = 40 + (noise >> 32) % 160 + if noise % 41 == 0 { 900 } else { 0 };
            let took = usual * factor / 100;
            let status = match noise % 53 {
                0 => 500,
                1..4 => 404,
                _ => 200,
            };
            let start = until - (count - at) * 370 * MS - noise % (300 * MS);
            let id = u128::from(noise) << 64 | u128::from(at + 1);
            let mut trace = Trace::request(id, start, method, route, status, took);
            let handle = trace.guest(1, "handle", took / 50, took - took / 40);
            for step in 0..noise % 5 {
                let from = took / 10 + step * took / 7;
                trace.guest(handle, "step", from, from + took / 8);
            }
            if noise % 3 == 0 {
                let severity = if status == 500 { 17 } else { 9 };
                trace.log(
                    handle,
                    severity,
                    took / 2,
                    &format!("{method} {route} answers {status}"),
                    Vec::new(),
                );
            }
            trace
        })
        .collect()
}

/// A host that makes its status up.
pub struct Host {
    /// Of the host: what it counts grows with the time since.
    pub began: SystemTime,
    pub is_hostile: bool,
    pub is_empty: bool,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            began: SystemTime::now() - Duration::from_secs(900),
            is_hostile: false,
            is_empty: false,
        }
    }
}

impl Host {
    fn name(&self, usual: &str) -> String {
        if self.is_hostile {
            HOSTILE.to_owned()
        } else {
            usual.to_owned()
        }
    }

    fn version(&self, version: &str, generation: u64, ago: u64) -> ComponentVersion {
        let import = |name: &str, access| Import {
            name: self.name(name),
            access,
        };
        ComponentVersion {
            version: self.name(version),
            digest: self
                .name("sha256:5d41402abc4b2a76b9719d911017c592ae2c1f0f7b1d2e9b7d4d6b2a3c4d5e6f"),
            generation,
            size: 1_482_113,
            source: self.name("target/wasm32-wasip2/release/orders.wasm"),
            loaded_at: SystemTime::now() - Duration::from_secs(ago),
            in_flight: 4 * u64::from(generation == 3),
            imports: vec![
                import("fanlight:telemetry/tracing@0.1.0", Access::Granted),
                import("fanlight:telemetry/metrics@0.1.0", Access::Granted),
                import("wasi:clocks/monotonic-clock@0.2.12", Access::Granted),
                import("wasi:http/types@0.2.12", Access::Granted),
                import("wasi:random/random@0.2.12", Access::Granted),
                import("wasi:filesystem/types@0.2.12", Access::Denied),
                import("wasi:sockets/tcp@0.2.12", Access::Denied),
            ],
        }
    }
}

impl HostStatus for Host {
    fn component(&self) -> ComponentStatus {
        if self.is_empty {
            return ComponentStatus::default();
        }
        let ago = |seconds| SystemTime::now() - Duration::from_secs(seconds);
        let record = |seconds, outcome, generation, reason: Option<&str>| SwapRecord {
            at: ago(seconds),
            outcome,
            version: self.name("1.4.2"),
            generation,
            source: self.name("upload"),
            reason: reason.map(|it| self.name(it)),
            trace_id: Some("5b8efff798038103d269b633813fc60c".to_owned()),
        };
        ComponentStatus {
            current: Some(self.version("1.4.2", 3, 240)),
            previous: Some(self.version("1.4.1", 2, 640)),
            history: vec![
                record(240, SwapOutcome::Swapped, Some(3), None),
                record(
                    310,
                    SwapOutcome::Refused,
                    None,
                    Some(
                        "the component imports wasi:nn/tensor@0.2.0, which this host does not offer",
                    ),
                ),
                record(640, SwapOutcome::RolledBack, Some(2), None),
            ],
            max_upload_bytes: 64 * 1024 * 1024,
        }
    }

    fn metrics(&self) -> MetricsStatus {
        if self.is_empty {
            return MetricsStatus::default();
        }
        let elapsed = self.began.elapsed().unwrap_or_default().as_secs_f64();
        let requests = (elapsed * 130.0 + 400.0 * (elapsed / 20.0).sin()) as u64 + 500;
        let parts = |share: f64| (requests as f64 * share) as u64;
        let shares = [
            0.11, 0.3, 0.22, 0.13, 0.09, 0.07, 0.04, 0.02, 0.012, 0.005, 0.002, 0.0005, 0.0, 0.0,
            0.0,
        ];
        let duration = Histogram {
            bounds: vec![
                0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
            ],
            counts: shares.iter().map(|it| parts(*it)).collect(),
            sum: elapsed * 2.0,
        };
        let point = |attributes: &[(&str, &str)], value| Point {
            attributes: attributes
                .iter()
                .map(|(key, value)| (self.name(key), self.name(value)))
                .collect(),
            value,
        };
        let instrument = |name: &str, unit: &str, kind: &str, is_guests, points| Instrument {
            name: self.name(name),
            unit: unit.to_owned(),
            description: self.name("what it measures"),
            kind: kind.to_owned(),
            is_guests,
            points,
        };
        MetricsStatus {
            requests,
            errors: parts(0.013),
            active: 4,
            instances: 4 + requests / 50 % 5,
            max_instances: 5000,
            waiting: 0,
            resident_bytes: 118 * 1024 * 1024 + requests % 4_000_000,
            instruments: vec![
                instrument(
                    "orders.created",
                    "{order}",
                    "counter",
                    true,
                    vec![
                        point(&[("region", "eu")], PointValue::Number(parts(0.2) as f64)),
                        point(&[("region", "us")], PointValue::Number(parts(0.11) as f64)),
                    ],
                ),
                instrument(
                    "orders.query.duration",
                    "s",
                    "histogram",
                    true,
                    vec![point(
                        &[("db.system.name", "postgresql")],
                        PointValue::Histogram(duration.clone()),
                    )],
                ),
                instrument(
                    "http.server.request.duration",
                    "s",
                    "histogram",
                    false,
                    vec![point(
                        &[
                            ("http.request.method", "GET"),
                            ("http.route", "/orders/{id}"),
                            ("http.response.status_code", "200"),
                        ],
                        PointValue::Histogram(duration.clone()),
                    )],
                ),
                instrument(
                    "fanlight.instances.live",
                    "{instance}",
                    "up-down counter",
                    false,
                    vec![point(&[], PointValue::Number(4.0))],
                ),
                instrument(
                    "process.memory.usage",
                    "By",
                    "gauge",
                    false,
                    vec![point(&[], PointValue::Number(123_456_789.0))],
                ),
            ],
            duration,
        }
    }

    fn serving_url(&self) -> String {
        self.name("http://127.0.0.1:8000")
    }
}

/// Serves a viewer as the host's admin port does.
pub async fn serve(listener: TcpListener, viewer: Viewer) {
    while let Ok((stream, _)) = listener.accept().await {
        let viewer = viewer.clone();
        let service = service_fn(move |request| {
            let viewer = viewer.clone();
            async move { Ok::<_, Infallible>(answer(request, &viewer).await) }
        });
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // A connection that fails is the client's affair.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, viewer: &Viewer) -> Response<Body> {
    let (head, _) = request.into_parts();
    viewer.respond(Request::from_parts(head, ())).await
}

/// A viewer of a store and a host.
pub fn viewer(store: Arc<fanlight_viewer::Store>, host: Host) -> Viewer {
    let config = fanlight_viewer::ViewerConfig {
        jaeger_url: Some("http://localhost:16686".to_owned()),
    };
    Viewer::new(config, store, Arc::new(host))
}
