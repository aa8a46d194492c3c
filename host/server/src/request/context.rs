//! One request as the host's parts see it: its head, its clock, its counts, its span.
//!
//! The handler, both bodies and the guest's telemetry share it. A failure is recorded
//! here and nowhere else: [`RequestContext::fail`] logs it and marks the server span.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::{HeaderMap, Request, StatusCode};
use opentelemetry::StringValue;
use opentelemetry::trace::SpanContext;

use crate::error::HandleError;
use crate::request::failure_log;
use crate::request::framing::RequestFraming;
use crate::request::info::RequestInfo;
use crate::request::metrics::at_end::Measured;
use crate::request::metrics::series_cache::RequestSeries;
use crate::request::observer::{EndedRequest, MAX_PATH_BYTES};
use crate::request::peer::Peer;
use crate::request::server_span::{Outcome, ServerSpan};
use crate::request::tracer::ServerTracer;
use crate::request::usage::GuestUsage;
use fanlight_telemetry::clock::RequestClock;
use fanlight_telemetry::propagation::{Caller, Extracted, PropagatedContext};
use fanlight_telemetry::sanitize::truncated;

/// What is known of one request. Clones share it.
#[derive(Clone)]
pub(crate) struct RequestContext {
    shared: Arc<Shared>,
}

struct Shared {
    tracer: Arc<ServerTracer>,
    info: RequestInfo,
    /// Kept for the observer, where there is one.
    path: Option<Box<str>>,
    framing: RequestFraming,
    /// What the caller wants to be passed on.
    propagated: PropagatedContext,
    clock: RequestClock,
    span: ServerSpan,
    usage: Arc<GuestUsage>,
    request_bytes: AtomicU64,
    awaits_request: AtomicBool,
    /// The guest has set its response headers.
    responded: AtomicBool,
}

impl RequestContext {
    /// Starts a request whose head was read. Its span is a child of the caller's, which
    /// the headers name.
    pub(crate) fn start<B>(tracer: &Arc<ServerTracer>, request: &Request<B>, peer: Peer) -> Self {
        let extracted = tracer.propagators().extract(request.headers());
        Self::start_with(tracer, extracted, request, peer)
    }

    /// Starts a request of this process. Its span is a child of `parent`, whatever the
    /// headers say.
    pub(crate) fn start_below<B>(
        tracer: &Arc<ServerTracer>,
        parent: &SpanContext,
        request: &Request<B>,
        peer: Peer,
    ) -> Self {
        let extracted = Extracted {
            caller: Caller::Span(parent.clone()),
            ..Extracted::default()
        };
        Self::start_with(tracer, extracted, request, peer)
    }

    fn start_with<B>(
        tracer: &Arc<ServerTracer>,
        extracted: Extracted,
        request: &Request<B>,
        peer: Peer,
    ) -> Self {
        let clock = RequestClock::start();
        let info = tracer.info(request, peer);
        let caller = &extracted.caller;
        let span = tracer.start(request, &info, peer, caller, clock.started());
        tracer.metrics().request_started(&info);
        let path = || Box::from(truncated(request.uri().path(), MAX_PATH_BYTES));
        let guests = &tracer.metrics().guests;
        let usage = GuestUsage::new(guests.cpu_time(span.context().span_id()));
        Self {
            shared: Arc::new(Shared {
                tracer: Arc::clone(tracer),
                info,
                path: tracer.observer().map(|_| path()),
                framing: RequestFraming::of(request),
                propagated: extracted.carried,
                clock,
                span: ServerSpan::new(span),
                usage: Arc::new(usage),
                request_bytes: AtomicU64::new(0),
                awaits_request: AtomicBool::new(false),
                responded: AtomicBool::new(false),
            }),
        }
    }

    /// The server span.
    pub(crate) fn span(&self) -> &ServerSpan {
        &self.shared.span
    }

    /// What the request's head says for spans and metrics.
    pub(crate) fn info(&self) -> &RequestInfo {
        &self.shared.info
    }

    /// What the length of the response body depends on besides the response.
    pub(crate) fn framing(&self) -> RequestFraming {
        self.shared.framing
    }

    pub(crate) fn clock(&self) -> RequestClock {
        self.shared.clock
    }

    /// What the request's guest uses.
    pub(crate) fn usage(&self) -> &Arc<GuestUsage> {
        &self.shared.usage
    }

    /// Writes `caller`, a span of this request, into the headers of another request
    /// that is sent on its behalf: in all formats of `OTEL_PROPAGATORS`, with the
    /// baggage that this request came with.
    pub(crate) fn propagate(&self, caller: &SpanContext, headers: &mut HeaderMap) {
        let propagators = self.shared.tracer.propagators();
        propagators.inject(caller, &self.shared.propagated, headers);
    }

    /// What starts this request's spans.
    pub(crate) fn tracer(&self) -> &ServerTracer {
        &self.shared.tracer
    }

    /// How many attributes the guest may set on the server span.
    pub(crate) fn max_guest_attributes(&self) -> usize {
        self.shared.tracer.guest_attributes()
    }

    /// Sets the route, which names the span and labels the metrics.
    pub(crate) fn set_route(&self, route: String) {
        self.span().set_route(self.info().name_method(), route);
    }

    /// Counts bytes of the request's body as the guest reads them.
    pub(crate) fn count_request_bytes(&self, bytes: u64) {
        self.shared
            .request_bytes
            .fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records whether the guest waits for more of the request's body.
    pub(crate) fn set_awaits_request(&self, awaits: bool) {
        self.shared.awaits_request.store(awaits, Ordering::Relaxed);
    }

    /// Whether the guest waits for the client to send.
    pub(crate) fn awaits_request(&self) -> bool {
        self.shared.awaits_request.load(Ordering::Relaxed)
    }

    /// Records that the guest has set its response headers.
    pub(crate) fn guest_responded(&self) {
        self.shared.responded.store(true, Ordering::Relaxed);
    }

    /// Records the response's status and the headers that the configuration names, as
    /// the client receives them.
    pub(crate) fn set_response(&self, status: StatusCode, headers: &HeaderMap) {
        let captured = self.shared.tracer.captured_headers();
        self.span().set_status_code(status);
        if captured.any_of_response() {
            let text_bytes = self.shared.tracer.text_bytes();
            self.span()
                .add_host_attributes_with(|| captured.of_response(headers, text_bytes));
        }
    }

    /// Records why the request failed, in the log and on the span; the first reason
    /// counts. Tells whether this is the first.
    pub(crate) fn fail(&self, error: &HandleError) -> bool {
        let is_first = self.span().fail(error, self.shared.clock.now());
        if is_first {
            failure_log::log(error, self.span().context());
        }
        is_first
    }

    /// Records that the guest trapped or exited with a failure: in the log and its
    /// counter even where the response is out and the span has ended.
    pub(crate) fn guest_failed(&self, failure: &HandleError) {
        let phase = if self.span().has_ended() {
            "after_answer"
        } else if self.shared.responded.load(Ordering::Relaxed) {
            "after_head"
        } else {
            "before_head"
        };
        self.shared.tracer.metrics().guest_failed(failure, phase);
        if !self.fail(failure) {
            failure_log::log(failure, self.span().context());
        }
    }

    /// Records in the metrics what the guest used; it is gone.
    pub(crate) fn guest_ended(&self) {
        let guests = &self.shared.tracer.metrics().guests;
        guests.record(&self.shared.usage);
    }

    /// Ends the span and the request's metrics with the response's last byte. A second
    /// end is ignored.
    pub(crate) fn end(&self, response_bytes: u64) {
        let elapsed = self.shared.clock.elapsed();
        let record = |outcome: &Outcome| {
            let series = RequestSeries {
                request: &self.shared.info,
                status: outcome.status,
                route: outcome.route.as_ref(),
                error_type: outcome.error_type(),
            };
            let measured = Measured {
                span: self.span().context(),
                elapsed,
                request_bytes: self.shared.request_bytes.load(Ordering::Relaxed),
                response_bytes,
            };
            self.shared
                .tracer
                .metrics()
                .request_ended(&series, &measured);
            self.show(outcome, &measured);
        };
        let ended_at = self.shared.clock.started() + elapsed;
        self.span().end(&self.shared.usage, ended_at, record);
    }

    /// Shows the request, which has ended, to the observer.
    fn show(&self, outcome: &Outcome, measured: &Measured<'_>) {
        let shared = &*self.shared;
        // Most servers have none.
        let (Some(observer), Some(path)) = (shared.tracer.observer(), &shared.path) else {
            return;
        };
        observer.request_ended(&EndedRequest {
            method: shared.info.method(),
            path,
            route: outcome.route.as_ref().map(StringValue::as_str),
            status: outcome.status,
            error_type: outcome.error_type(),
            started_at: shared.clock.started(),
            duration: measured.elapsed,
            request_bytes: measured.request_bytes,
            response_bytes: measured.response_bytes,
            busy_time: shared.usage.busy_time(),
            memory_peak_bytes: shared.usage.memory_peak(),
            trace_id: u128::from_be_bytes(measured.span.trace_id().to_bytes()),
        });
    }
}
