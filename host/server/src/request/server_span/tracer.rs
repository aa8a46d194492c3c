//! Starts server spans: what is the same for every request of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use http::Request;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{SpanContext, SpanKind, Status};
use parking_lot::Mutex;

use super::{HOST_ATTRIBUTES, ServerSpan, Shared, State};
use crate::config::RequestLimits;
use crate::config::captured_headers::CapturedHeaders;
use crate::config::trusted_proxies::TrustedProxies;
use crate::request::info::{Peer, RequestInfo, request_attributes};
use crate::request::metrics::ServerMetrics;
use crate::request::usage::GuestUsage;
use fanlight_telemetry::clock::RequestClock;
use fanlight_telemetry::config::known_methods::KnownMethods;
use fanlight_telemetry::propagation::{Caller, Extracted, Propagators};
use fanlight_telemetry::trace::limits::MAX_TEXT_BYTES;
use fanlight_telemetry::trace::span::AttributeIndex;
use fanlight_telemetry::trace::tracer::{Parent, SpanStart, Tracer};
use fanlight_telemetry::{HOST_SCOPE, Telemetry};

/// Starts server spans, and has their requests counted.
pub(crate) struct ServerTracer {
    tracer: Tracer,
    pub(crate) metrics: Arc<ServerMetrics>,
    pub(crate) propagators: Propagators,
    pub(crate) captured: CapturedHeaders,
    known_methods: KnownMethods,
    trusted: TrustedProxies,
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
        }
    }

    pub(crate) fn metrics(&self) -> &ServerMetrics {
        &self.metrics
    }

    pub(crate) fn propagators(&self) -> &Propagators {
        &self.propagators
    }

    /// The longest text of an attribute, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        MAX_TEXT_BYTES
    }

    /// How many attributes a guest may set: the host keeps room for its own.
    pub(crate) fn guest_attributes(&self) -> usize {
        let hosts = HOST_ATTRIBUTES + self.captured.len();
        self.tracer.limits().attributes.saturating_sub(hosts)
    }

    /// Starts the span of a request that has just been read, below its caller's.
    pub(crate) fn start<B>(self: &Arc<Self>, request: &Request<B>, peer: Peer) -> ServerSpan {
        let extracted = self.propagators.extract(request.headers());
        self.start_for(extracted, request, peer)
    }

    /// Starts the span of a request of this process, below the span given,
    /// whatever the headers say.
    pub(crate) fn start_below<B>(
        self: &Arc<Self>,
        parent: &SpanContext,
        request: &Request<B>,
        peer: Peer,
    ) -> ServerSpan {
        let extracted = Extracted {
            caller: Caller::Span(parent.clone()),
            ..Extracted::default()
        };
        self.start_for(extracted, request, peer)
    }

    fn start_for<B>(
        self: &Arc<Self>,
        extracted: Extracted,
        request: &Request<B>,
        peer: Peer,
    ) -> ServerSpan {
        let clock = RequestClock::start();
        let facts = RequestInfo::of(request, peer, &self.known_methods, &self.trusted);
        let text_bytes = self.text_bytes();
        let attributes = match self.tracer.is_exporting() {
            true => {
                let mut attributes = request_attributes(request, &facts, peer, text_bytes);
                attributes.extend(self.captured.of_request(request.headers(), text_bytes));
                attributes
            }
            // No sampler asks for them.
            false => Vec::new(),
        };
        let mut span = self.tracer.start(SpanStart {
            name: facts.span_name(),
            kind: SpanKind::Server,
            parent: match &extracted.caller {
                Caller::Unknown => Parent::Root,
                Caller::Decision(flags) => Parent::Decided(*flags),
                Caller::Span(caller) => Parent::Remote(caller),
                Caller::Deferring(caller) => Parent::Deferring(caller),
            },
            attributes,
            links: Vec::new(),
            time: clock.started(),
            scope: InstrumentationScope::builder(HOST_SCOPE).build(),
        });
        self.metrics.request_started(&facts);
        // Those that the sampler added are among them.
        let host = span.take_attributes();
        let cpu_time = self.metrics.guests.cpu_time(span.context().span_id());
        ServerSpan {
            shared: Arc::new(Shared {
                tracer: Arc::clone(self),
                context: Arc::new(span.context().clone()),
                carried: extracted.carried,
                clock,
                request: facts,
                usage: Arc::new(GuestUsage::new(cpu_time)),
                request_bytes: AtomicU64::new(0),
                awaits_request: AtomicBool::new(false),
                answered: AtomicBool::new(false),
                state: Mutex::new(State {
                    span,
                    host,
                    host_keys: AttributeIndex::default(),
                    guest: Vec::new(),
                    guest_keys: AttributeIndex::default(),
                    dropped: 0,
                    guest_status: Status::Unset,
                    route: None,
                    status_code: None,
                    failure: None,
                    ended: false,
                    cut_off: "linger_timeout",
                }),
            }),
        }
    }
}
