//! Starts server spans: what is the same for every request of a server.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::{Method, Request};
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::SpanKind;

use crate::config::RequestLimits;
use crate::config::captured_headers::CapturedHeaders;
use crate::config::trusted_proxies::TrustedProxies;
use crate::request::info::{RequestInfo, request_attributes};
use crate::request::metrics::ServerMetrics;
use crate::request::observer::RequestObserver;
use crate::request::peer::Peer;
use crate::request::server_span::HOST_ATTRIBUTES;
use fanlight_telemetry::config::known_methods::KnownMethods;
use fanlight_telemetry::propagation::{Caller, Propagators};
use fanlight_telemetry::trace::limits::MAX_TEXT_BYTES;
use fanlight_telemetry::trace::span::Span;
use fanlight_telemetry::trace::tracer::{Parent, SpanStart, Tracer};
use fanlight_telemetry::{HOST_SCOPE, Telemetry};

/// Starts the server spans of one server's requests, and has their metrics.
pub(crate) struct ServerTracer {
    tracer: Tracer,
    metrics: Arc<ServerMetrics>,
    propagators: Propagators,
    captured: CapturedHeaders,
    known_methods: KnownMethods,
    trusted: TrustedProxies,
    observer: OnceLock<Arc<dyn RequestObserver>>,
}

impl ServerTracer {
    pub(crate) fn new(
        telemetry: &Telemetry,
        limits: &RequestLimits,
        metrics: Arc<ServerMetrics>,
    ) -> Self {
        Self {
            tracer: telemetry.tracer().clone(),
            metrics,
            propagators: telemetry.propagators().clone(),
            captured: limits.captured_headers.clone(),
            known_methods: telemetry.known_methods().clone(),
            trusted: limits.trusted_proxies.clone(),
            observer: OnceLock::new(),
        }
    }

    /// Shows the requests that begin from now on to an observer; the first one counts.
    pub(crate) fn observe(&self, observer: Arc<dyn RequestObserver>) {
        let _ = self.observer.set(observer);
    }

    /// What sees each request at its end.
    pub(crate) fn observer(&self) -> Option<&Arc<dyn RequestObserver>> {
        self.observer.get()
    }

    /// What starts spans.
    pub(crate) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// The name of a method that is known.
    pub(crate) fn known_method(&self, method: &Method) -> Option<Cow<'static, str>> {
        self.known_methods.name(method)
    }

    pub(crate) fn metrics(&self) -> &ServerMetrics {
        &self.metrics
    }

    pub(crate) fn propagators(&self) -> &Propagators {
        &self.propagators
    }

    pub(crate) fn captured_headers(&self) -> &CapturedHeaders {
        &self.captured
    }

    /// The longest text of an attribute, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        MAX_TEXT_BYTES
    }

    /// How many attributes a guest may set on a server span: the host keeps room for its own.
    pub(crate) fn guest_attributes(&self) -> usize {
        let hosts = HOST_ATTRIBUTES + self.captured.len();
        self.tracer.limits().attributes.saturating_sub(hosts)
    }

    /// What the head of a request says.
    pub(crate) fn info<B>(&self, request: &Request<B>, peer: Peer) -> RequestInfo {
        RequestInfo::of(request, peer, &self.known_methods, &self.trusted)
    }

    /// Starts the span of a request, as a child of `caller`.
    pub(crate) fn start<B>(
        &self,
        request: &Request<B>,
        info: &RequestInfo,
        peer: Peer,
        caller: &Caller,
        started_at: SystemTime,
    ) -> Span {
        let text_bytes = self.text_bytes();
        let attributes = match self.tracer.is_exporting() {
            true => {
                let mut attributes = request_attributes(request, info, peer, text_bytes);
                attributes.extend(self.captured.of_request(request.headers(), text_bytes));
                attributes
            }
            // No sampler asks for them.
            false => Vec::new(),
        };
        self.tracer.start(SpanStart {
            name: info.span_name(),
            kind: SpanKind::Server,
            parent: match caller {
                Caller::Unknown => Parent::Root,
                Caller::Decision(flags) => Parent::Decided(*flags),
                Caller::Span(caller) => Parent::Remote(caller),
                Caller::Deferring(caller) => Parent::Deferring(caller),
            },
            attributes,
            links: Vec::new(),
            time: started_at,
            scope: InstrumentationScope::builder(HOST_SCOPE).build(),
        })
    }
}
