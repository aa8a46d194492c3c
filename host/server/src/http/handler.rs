//! The envelope around each request: its context, its permit, its deadline, and the one
//! place where an outcome becomes a response.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body;
use opentelemetry::KeyValue;
use tokio::time::Instant;

use crate::component::slot::{ComponentSlot, LoadedComponent};
use crate::config::RequestLimits;
use crate::error::HandleError;
use crate::guest_api::{GuestLimits, GuestSignals, GuestTelemetry};
use crate::http::admission::{AdmissionControl, InstancePermit};
use crate::http::body::request::RequestBody;
use crate::http::body::response::ResponseBody;
use crate::http::linger::LingerTasks;
use crate::http::{response_rules, validate};
use crate::outbound::OutboundClient;
use crate::request::context::RequestContext;
use crate::request::metrics::ServerMetrics;
use crate::request::observer::RequestObserver;
use crate::request::peer::Peer;
use crate::request::tracer::ServerTracer;
use crate::sandbox::call::GuestCall;
use crate::sandbox::store::State;
use fanlight_telemetry::Telemetry;
use fanlight_telemetry::propagation::{self, TRACERESPONSE};

/// Handles requests.
pub(crate) struct Handler {
    slot: Arc<ComponentSlot>,
    /// By which guests call other services; none: they may not.
    outbound: Option<Arc<OutboundClient>>,
    signals: Arc<GuestSignals>,
    tracer: Arc<ServerTracer>,
    limits: RequestLimits,
    instances: AdmissionControl,
    linger: Arc<LingerTasks>,
    /// Responses on HTTP/1.1 make the client connect anew elsewhere.
    closing: AtomicBool,
}

impl Handler {
    pub(crate) fn new(
        slot: Arc<ComponentSlot>,
        telemetry: &Telemetry,
        limits: RequestLimits,
        guest_limits: GuestLimits,
        outbound: Option<Arc<OutboundClient>>,
    ) -> Self {
        let metrics = ServerMetrics::new(&telemetry.meter(), limits.cpu_sample_period);
        let metrics = Arc::new(metrics.with_exemplars(telemetry));
        Self {
            slot,
            outbound,
            signals: Arc::new(GuestSignals::new(telemetry, guest_limits)),
            tracer: Arc::new(ServerTracer::new(telemetry, &limits, metrics)),
            instances: AdmissionControl::new(&limits, &telemetry.meter()),
            linger: Arc::new(LingerTasks::new(limits.linger)),
            limits,
            closing: AtomicBool::new(false),
        }
    }

    /// Shows each request at its end to an observer.
    pub(crate) fn observe(&self, observer: Arc<dyn RequestObserver>) {
        self.tracer.observe(observer);
    }

    /// Begins with a request whose head was read.
    pub(crate) fn begin<B>(&self, request: &Request<B>, peer: Peer) -> SpanGuard {
        SpanGuard {
            request: RequestContext::start(&self.tracer, request, peer),
            has_response: false,
        }
    }

    /// Handles one request. It never fails: an error becomes a response.
    ///
    /// # Cancel safety
    /// Dropped, it ends the guest where it stands and the span as cancelled.
    pub(crate) async fn handle<B>(
        &self,
        request: Request<B>,
        mut guard: SpanGuard,
    ) -> Result<Response<ResponseBody>, Infallible>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<wasmtime_wasi_http::Error> + Send,
    {
        let outcome = self.try_handle(request, &guard.request).await;
        guard.has_response = true;
        Ok(self.respond(outcome, &guard.request))
    }

    /// From now on responses on HTTP/1.1 carry `connection: close`.
    pub(crate) fn announce_close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Answers all that still wait for their guests with 503, and ends the
    /// guests that go on after their responses.
    pub(crate) fn stop(&self) {
        self.linger.stopped().cancel();
    }

    /// Waits for guests that go on after their responses.
    pub(crate) async fn drained(&self) {
        self.linger.drained().await;
    }

    pub(crate) fn metrics(&self) -> &ServerMetrics {
        self.tracer.metrics()
    }

    async fn try_handle<B>(
        &self,
        request: Request<B>,
        context: &RequestContext,
    ) -> Result<Response<ResponseBody>, HandleError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<wasmtime_wasi_http::Error> + Send,
    {
        // From the head on: the wait for a permit is part of it.
        let received_at = Instant::now();
        let deadline = received_at + self.limits.request_timeout;
        let (head, body) = request.into_parts();
        let max_body = self.limits.max_body_bytes;
        // Before any refusal: a body that no guest reads is read on.
        let body = RequestBody::new(body, &head.headers, max_body, context.clone());
        validate::check(&head, context.info(), &self.limits)?;
        if let Some(outbound) = &self.outbound
            && outbound.is_loop(&head.headers)
        {
            return Err(HandleError::LoopDetected);
        }
        body.check_length()?;
        let (cut, expect_continue) = (body.watch(), body.expect_continue());
        let (component, permit) = self.component(received_at).await?;
        identify(context, &component);
        let telemetry = GuestTelemetry::new(Arc::clone(&self.signals), context.clone());
        let ticks = component.scheduler().run_handle().ticks();
        let mut state = State::new(telemetry, ticks, self.limits.memory_bounds());
        state.expect_continue = expect_continue.clone();
        if let Some(outbound) = &self.outbound {
            state.allow_calls(outbound, &head.headers);
        }
        let mut call = GuestCall::new(component, state, head, body);
        let outcome = {
            let mut response = pin!(call.response());
            let mut too_late = pin!(self.too_late(deadline));
            // The guest first: most have responded by then, and neither the timer
            // nor what all requests share is touched for them.
            poll_fn(|context| match response.as_mut().poll(context) {
                Poll::Ready(outcome) => Poll::Ready(outcome),
                Poll::Pending => too_late.as_mut().poll(context).map(Err),
            })
            .await
        };
        if expect_continue.is_given() {
            // hyper, which is polled before this is polled again, now gives the client
            // leave to send its body: after the response headers it cannot.
            tokio::task::yield_now().await;
        }
        // As long as nothing is on its way to the client, the reason for which
        // the guest could not read on is a better response than the guest's.
        let outcome = if cut.happened() {
            Err(HandleError::BodyTooLarge)
        } else {
            outcome
        };
        // Before the guest is dropped: its open spans have the reason.
        let mut response = outcome.inspect_err(|error| {
            context.fail(error);
        })?;
        let length = response_rules::mend(&mut response, context.framing());
        let linger = Arc::clone(&self.linger);
        let context = context.clone();
        Ok(ResponseBody::guest(
            response, length, call, permit, linger, context,
        ))
    }

    /// Waits for room for an instance of the component that is served by then.
    async fn component(
        &self,
        received_at: Instant,
    ) -> Result<(Arc<LoadedComponent>, InstancePermit), HandleError> {
        loop {
            // Before the count is read: no change of it is missed.
            let changed = self.slot.places_changed();
            let places = self.slot.places();
            let mut permit = match self.instances.free(places) {
                Some(permit) => permit,
                None => tokio::select! {
                    biased;
                    permit = self.instances.wait(places, received_at, self.linger.stopped()) => permit?,
                    () = changed => continue,
                },
            };
            let component = self.slot.current();
            // Another one may be served now, which takes more, or fewer.
            match places.checked_sub(component.places()) {
                None => {}
                Some(0) => return Ok((component, permit)),
                Some(over) => {
                    drop(permit.split(over as usize));
                    return Ok((component, permit));
                }
            }
        }
    }

    /// Waits for the request deadline or the end of draining.
    async fn too_late(&self, deadline: Instant) -> HandleError {
        tokio::select! {
            biased;
            () = self.linger.stopped().cancelled() => HandleError::Unavailable,
            () = tokio::time::sleep_until(deadline) => HandleError::Timeout,
        }
    }

    /// Maps the outcome to a response: the only place that does.
    fn respond(
        &self,
        outcome: Result<Response<ResponseBody>, HandleError>,
        request: &RequestContext,
    ) -> Response<ResponseBody> {
        let version = request.framing().version;
        let mut closing = self.closing.load(Ordering::Relaxed);
        let mut response = match outcome {
            Ok(response) => {
                // In HTTP/1.0 a body of no length ends with its connection.
                closing |= version == Version::HTTP_10 && response.body().is_open_ended();
                response
            }
            Err(error) => {
                // Where its body ends others may see otherwise, as they may what
                // else is odd about it: nothing behind it is read as a request.
                closing |= matches!(
                    error,
                    HandleError::BadRequest(_) | HandleError::Unsupported(_)
                );
                request.fail(&error);
                problem(&error, request)
            }
        };
        if closing && version == Version::HTTP_10 {
            // To any other response hyper would add `keep-alive` where that was asked for.
            *response.version_mut() = Version::HTTP_10;
        }
        let status = response.status();
        let headers = response.headers_mut();
        if self.limits.trace_header
            && let Some(value) = propagation::format_traceparent(request.span().context())
        {
            headers.insert(&TRACERESPONSE, value);
        }
        if closing && version <= Version::HTTP_11 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        request.set_response(status, headers);
        response
    }
}

/// A request that has no response yet. Dropped, it ends as cancelled: its client has left.
pub(crate) struct SpanGuard {
    request: RequestContext,
    has_response: bool,
}

impl Drop for SpanGuard {
    fn drop(&mut self) {
        if !self.has_response {
            self.request.fail(&HandleError::Cancelled);
            self.request.end(0);
        }
    }
}

fn identify(request: &RequestContext, component: &LoadedComponent) {
    let generation = i64::try_from(component.generation()).unwrap_or(i64::MAX);
    request.span().add_host_attributes([
        KeyValue::new("fanlight.component.digest", component.digest_value()),
        KeyValue::new("fanlight.component.version", component.version_value()),
        KeyValue::new("fanlight.component.generation", generation),
    ]);
}

/// The host's own response, as RFC 9457 has it, without anything internal.
fn problem(error: &HandleError, request: &RequestContext) -> Response<ResponseBody> {
    // Titles and words hold no character that JSON escapes.
    let body = format!(
        "{{\"type\":\"urn:fanlight:problem:{}\",\"title\":\"{}\",\"status\":{},\"trace_id\":\"{}\"}}\n",
        error.error_type(),
        error.title(),
        error.status().as_u16(),
        request.span().context().trace_id(),
    );
    let length = HeaderValue::from(body.len());
    // HEAD gives the length that GET would.
    let body = match request.framing().is_head {
        true => Bytes::new(),
        false => Bytes::from(body),
    };
    let mut response = Response::new(ResponseBody::host(body, request.clone()));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/problem+json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CONTENT_LENGTH, length);
    if matches!(error, HandleError::Overloaded) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
