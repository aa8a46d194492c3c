//! The server span of a request: made from its head, changed by host and
//! guest, ended with the last byte of the answer.
//!
//! A guest cannot forge what is the host's: host attributes are kept apart,
//! written last and have room of their own, and the host's error stands over
//! a guest's `Ok`. Every request ends in exactly one span and one set of
//! metric points, whatever happens to it.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::uri::Authority;
use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use opentelemetry::trace::{Event, SpanContext, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue};

use crate::error::HandleError;
use crate::propagation;
use crate::span::{Parent, RequestClock, Span, SpanStart, Tracer, put};
use crate::telemetry::HOST_SCOPE;

/// Attributes that the host may still set after the guest used all its room.
const HOST_ATTRIBUTES: usize = 32;
/// Events that the host may still add after the guest used all its room.
const HOST_EVENTS: usize = 8;

/// The bounds of latency histograms, in seconds: the semantic conventions' own.
const LATENCY_BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Query parameters whose values are secrets: the semantic conventions' list.
const SECRET_PARAMETERS: [&str; 7] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
];

/// The instruments for requests that are served.
#[derive(Debug)]
pub(crate) struct ServerMetrics {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    request_body: Histogram<u64>,
    response_body: Histogram<u64>,
    rejected: Counter<u64>,
}

impl ServerMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            duration: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_description("Duration of HTTP server requests")
                .with_boundaries(LATENCY_BOUNDS.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter("http.server.active_requests")
                .with_unit("{request}")
                .with_description("Number of active HTTP server requests")
                .build(),
            request_body: meter
                .u64_histogram("http.server.request.body.size")
                .with_unit("By")
                .with_description("Size of HTTP server request bodies")
                .build(),
            response_body: meter
                .u64_histogram("http.server.response.body.size")
                .with_unit("By")
                .with_description("Size of HTTP server response bodies")
                .build(),
            rejected: meter
                .u64_counter("fanlight.connection.failed")
                .with_unit("{connection}")
                .with_description("Connections that ended with a protocol error or a timeout")
                .build(),
        }
    }

    /// Counts a connection that hyper ended: what it rejects itself has no span.
    pub(crate) fn connection_failed(&self) {
        self.rejected.add(1, &[]);
    }
}

/// The span of one request, shared by the handler, the body and the guest.
#[derive(Clone)]
pub(crate) struct ServerSpan {
    shared: Arc<Shared>,
}

struct Shared {
    context: SpanContext,
    clock: RequestClock,
    request: RequestFacts,
    metrics: Arc<ServerMetrics>,
    limits_attributes: usize,
    request_bytes: AtomicU64,
    state: Mutex<State>,
}

/// What metrics need of the request's head.
struct RequestFacts {
    method: Cow<'static, str>,
    method_is_known: bool,
    scheme: &'static str,
    version: &'static str,
}

struct State {
    span: Span,
    host: Vec<KeyValue>,
    guest: Vec<KeyValue>,
    dropped: u32,
    guest_status: Status,
    route: Option<StringValue>,
    status_code: Option<StatusCode>,
    failure: Option<Failure>,
    ended: bool,
}

/// The value of `error.type` of a failed request.
pub(crate) type FailureWord = &'static str;

#[derive(Clone, Copy)]
struct Failure {
    error_type: FailureWord,
    blame: &'static str,
}

impl ServerSpan {
    /// Starts the span of a request that has just been read.
    pub(crate) fn start<B>(
        tracer: &Tracer,
        metrics: &Arc<ServerMetrics>,
        request: &Request<B>,
        peer: SocketAddr,
    ) -> Self {
        let clock = RequestClock::start();
        let facts = RequestFacts::of(request);
        let attributes = request_attributes(request, &facts, peer, tracer.limits().text_bytes);
        let remote = propagation::extract(request.headers());
        let span = tracer.start(SpanStart {
            name: facts.span_name(),
            kind: SpanKind::Server,
            parent: remote.as_ref().map_or(Parent::Root, Parent::Remote),
            attributes: attributes.clone(),
            links: Vec::new(),
            time: clock.started(),
            scope: InstrumentationScope::builder(HOST_SCOPE).build(),
        });
        metrics.active.add(1, &facts.active_attributes());
        let host = if span.is_recording() {
            attributes
        } else {
            Vec::new()
        };
        Self {
            shared: Arc::new(Shared {
                context: span.context().clone(),
                clock,
                request: facts,
                metrics: Arc::clone(metrics),
                limits_attributes: tracer.limits().attributes,
                request_bytes: AtomicU64::new(0),
                state: Mutex::new(State {
                    span,
                    host,
                    guest: Vec::new(),
                    dropped: 0,
                    guest_status: Status::Unset,
                    route: None,
                    status_code: None,
                    failure: None,
                    ended: false,
                }),
            }),
        }
    }

    pub(crate) fn context(&self) -> &SpanContext {
        &self.shared.context
    }

    pub(crate) fn clock(&self) -> RequestClock {
        self.shared.clock
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.shared.lock().span.is_recording()
    }

    /// Sets an attribute that is the host's to say.
    pub(crate) fn set_host_attribute(&self, attribute: KeyValue) {
        let mut state = self.shared.lock();
        if state.span.is_recording() {
            put(&mut state.host, attribute, usize::MAX);
        }
    }

    /// Sets what the guest says, unless it is the host's to say; answers
    /// how many attributes found no room.
    pub(crate) fn set_guest_attributes(&self, attributes: Vec<KeyValue>) -> u64 {
        let mut state = self.shared.lock();
        if !state.span.is_recording() {
            return 0;
        }
        let limit = self
            .shared
            .limits_attributes
            .saturating_sub(HOST_ATTRIBUTES);
        let mut dropped = 0;
        for attribute in attributes {
            if is_reserved(attribute.key.as_str()) || !put(&mut state.guest, attribute, limit) {
                dropped += 1;
            }
        }
        state.dropped += dropped;
        u64::from(dropped)
    }

    /// Adds an event of the guest's, leaving room for the host's own.
    pub(crate) fn add_guest_event(&self, event: Event) {
        self.shared.lock().span.add_event(event, HOST_EVENTS);
    }

    /// Takes the guest's word on how the request turned out.
    pub(crate) fn set_guest_status(&self, status: Status) {
        let mut state = self.shared.lock();
        match (&state.guest_status, &status) {
            (Status::Ok, _) | (_, Status::Unset) => {}
            _ => state.guest_status = status,
        }
    }

    /// Sets the route, which names the span and labels the metrics.
    pub(crate) fn set_route(&self, route: String) {
        let mut state = self.shared.lock();
        if state.ended {
            return;
        }
        let name = format!("{} {route}", self.shared.request.name_method());
        state.span.update_name(name.into());
        state.route = Some(route.into());
    }

    /// Counts bytes of the request's body as the guest reads them.
    pub(crate) fn count_request_bytes(&self, bytes: u64) {
        self.shared
            .request_bytes
            .fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes note of the status that the client is sent.
    pub(crate) fn set_status_code(&self, status: StatusCode) {
        self.shared.lock().status_code = Some(status);
    }

    /// Why a guest that is dropped where it stands was cut off.
    pub(crate) fn why_cut_off(&self) -> FailureWord {
        let state = self.shared.lock();
        match state.failure {
            Some(failure) => failure.error_type,
            // The answer was out, and the time after it is over.
            None if state.ended => "linger_timeout",
            None => "cancelled",
        }
    }

    /// Takes note of why the request failed. The first reason counts.
    pub(crate) fn fail(&self, error: &HandleError) {
        let mut state = self.shared.lock();
        if state.ended || state.failure.is_some() {
            return;
        }
        state.failure = Some(Failure {
            error_type: error.error_type(),
            blame: error.blame().as_str(),
        });
        if let Some(trap) = error.trap() {
            let mut attributes = vec![
                KeyValue::new("exception.type", "trap"),
                KeyValue::new("exception.message", trap.message()),
            ];
            if let Some(backtrace) = trap.backtrace() {
                attributes.push(KeyValue::new("exception.stacktrace", backtrace.to_owned()));
            }
            let event = Event::new("exception", self.shared.clock.now(), attributes, 0);
            state.span.add_event(event, 0);
        }
    }

    /// Ends the span with the answer's last byte. A second end is ignored.
    pub(crate) fn end(&self, response_bytes: u64) {
        let mut state = self.shared.lock();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        self.shared.record(&state, response_bytes);
        let State {
            span,
            host,
            guest,
            route,
            ..
        } = &mut *state;
        if !span.is_recording() {
            return;
        }
        let mut attributes = std::mem::take(guest);
        attributes.append(host);
        if let Some(route) = route.clone() {
            attributes.push(KeyValue::new("http.route", route));
        }
        let outcome = self.shared.outcome(&state);
        attributes.extend(outcome.attributes);
        let dropped = state.dropped;
        state.span.replace_attributes(attributes, dropped);
        let guest_status = state.guest_status.clone();
        state.span.set_status(guest_status);
        if outcome.is_error {
            // A guest's own description says more than none.
            let description = match &state.guest_status {
                Status::Error { description } => description.clone(),
                _ => Cow::Borrowed(""),
            };
            state.span.override_status(Status::error(description));
        }
        state.span.end(self.shared.clock.now());
    }
}

struct Outcome {
    is_error: bool,
    attributes: Vec<KeyValue>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock would be a defect; the span is still worth having.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `error.type`: the failure's word, or a 5xx status.
    fn error_type(state: &State) -> Option<StringValue> {
        if let Some(failure) = state.failure {
            return Some(failure.error_type.into());
        }
        let status = state.status_code.filter(StatusCode::is_server_error)?;
        Some(status.as_str().to_owned().into())
    }

    fn outcome(&self, state: &State) -> Outcome {
        let mut attributes = Vec::new();
        if let Some(status) = state.status_code {
            attributes.push(KeyValue::new(
                "http.response.status_code",
                i64::from(status.as_u16()),
            ));
        }
        let error_type = Self::error_type(state);
        let is_error = error_type.is_some();
        if let Some(error_type) = error_type {
            attributes.push(KeyValue::new("error.type", error_type));
            let blame = state.failure.map_or("guest", |failure| failure.blame);
            attributes.push(KeyValue::new("error.blame", blame));
        }
        Outcome {
            is_error,
            attributes,
        }
    }

    fn record(&self, state: &State, response_bytes: u64) {
        self.metrics
            .active
            .add(-1, &self.request.active_attributes());
        let mut attributes = Vec::with_capacity(6);
        attributes.extend(self.request.active_attributes());
        attributes.push(KeyValue::new(
            "network.protocol.version",
            self.request.version,
        ));
        if let Some(status) = state.status_code {
            attributes.push(KeyValue::new(
                "http.response.status_code",
                i64::from(status.as_u16()),
            ));
        }
        if let Some(route) = state.route.clone() {
            attributes.push(KeyValue::new("http.route", route));
        }
        if let Some(error_type) = Self::error_type(state) {
            attributes.push(KeyValue::new("error.type", error_type));
        }
        let elapsed = self.clock.elapsed().as_secs_f64();
        self.metrics.duration.record(elapsed, &attributes);
        let request_bytes = self.request_bytes.load(Ordering::Relaxed);
        self.metrics.request_body.record(request_bytes, &attributes);
        self.metrics
            .response_body
            .record(response_bytes, &attributes);
    }
}

impl RequestFacts {
    fn of<B>(request: &Request<B>) -> Self {
        let (method, method_is_known) = match known_method(request.method()) {
            Some(known) => (Cow::Borrowed(known), true),
            None => (Cow::Borrowed("_OTHER"), false),
        };
        Self {
            method,
            method_is_known,
            scheme: "http",
            version: protocol_version(request.version()),
        }
    }

    /// The method as the span's name has it: `HTTP` stands for unknown ones.
    fn name_method(&self) -> &str {
        if self.method_is_known {
            &self.method
        } else {
            "HTTP"
        }
    }

    fn span_name(&self) -> Cow<'static, str> {
        match (&self.method, self.method_is_known) {
            (Cow::Borrowed(known), true) => Cow::Borrowed(known),
            _ => Cow::Borrowed("HTTP"),
        }
    }

    fn active_attributes(&self) -> [KeyValue; 2] {
        let method: StringValue = match &self.method {
            Cow::Borrowed(known) => (*known).into(),
            Cow::Owned(other) => other.clone().into(),
        };
        [
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.scheme", self.scheme),
        ]
    }
}

/// The attributes that are known from the head: what a sampler may look at.
fn request_attributes<B>(
    request: &Request<B>,
    facts: &RequestFacts,
    peer: SocketAddr,
    limit: usize,
) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(16);
    attributes.extend(facts.active_attributes());
    if !facts.method_is_known {
        let original = cut(request.method().as_str(), limit);
        attributes.push(KeyValue::new("http.request.method_original", original));
    }
    attributes.push(KeyValue::new("url.path", cut(request.uri().path(), limit)));
    if let Some(query) = request.uri().query() {
        attributes.push(KeyValue::new("url.query", cut(&redacted(query), limit)));
    }
    if let Some(authority) = authority(request) {
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        attributes.push(KeyValue::new("server.address", cut(host, limit)));
        if let Some(port) = authority.port_u16() {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
    }
    attributes.push(KeyValue::new("network.protocol.version", facts.version));
    let address = peer.ip().to_canonical().to_string();
    attributes.push(KeyValue::new("client.address", address.clone()));
    attributes.push(KeyValue::new("network.peer.address", address));
    attributes.push(KeyValue::new("network.peer.port", i64::from(peer.port())));
    if let Some(agent) = text(request.headers(), &header::USER_AGENT) {
        attributes.push(KeyValue::new("user_agent.original", cut(agent, limit)));
    }
    attributes
}

/// The authority that the client named: `:authority`, then `Host`.
pub(crate) fn authority<B>(request: &Request<B>) -> Option<Authority> {
    match request.uri().authority() {
        Some(authority) => Some(authority.clone()),
        None => text(request.headers(), &header::HOST)?.parse().ok(),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Cuts a text at `limit` bytes, at a character's border.
fn cut(text: &str, limit: usize) -> String {
    text[..text.floor_char_boundary(limit)].to_owned()
}

/// RFC 9110, PATCH (RFC 5789) and QUERY; anything else is `_OTHER`.
fn known_method(method: &Method) -> Option<&'static str> {
    [
        "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "QUERY",
    ]
    .into_iter()
    .find(|known| *known == method.as_str())
}

fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        _ => "3",
    }
}

/// Replaces the values of secret parameters by `REDACTED`.
fn redacted(query: &str) -> Cow<'_, str> {
    let is_secret = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        SECRET_PARAMETERS.contains(&name) && pair.contains('=')
    };
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(pair) => format!("{name}=REDACTED"),
        _ => pair.to_owned(),
    });
    Cow::Owned(pairs.collect::<Vec<_>>().join("&"))
}

/// Whether a key is the host's to set on the server span.
fn is_reserved(key: &str) -> bool {
    const PREFIXES: [&str; 6] = [
        "http.",
        "url.",
        "server.",
        "network.",
        "client.",
        "fanlight.",
    ];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || key == "error.type"
        || key == "error.blame"
        || key == "user_agent.original"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_query_are_redacted_and_nothing_else_is_touched() {
        assert_eq!(redacted("a=1&b"), "a=1&b");
        assert_eq!(
            redacted("sig=abc&a=1&signature=kept"),
            "sig=REDACTED&a=1&signature=kept"
        );
        assert_eq!(
            redacted("X-Amz-Signature=a&X-Amz-Signature=b"),
            "X-Amz-Signature=REDACTED&X-Amz-Signature=REDACTED"
        );
    }

    #[test]
    fn what_is_the_hosts_to_say_is_reserved() {
        for key in [
            "http.route",
            "url.path",
            "error.type",
            "error.blame",
            "fanlight.x",
        ] {
            assert!(is_reserved(key), "{key}");
        }
        for key in ["error", "httpx", "db.system.name", "enduser.id"] {
            assert!(!is_reserved(key), "{key}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
