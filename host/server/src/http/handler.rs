//! The envelope around each request: span, place, deadline, and the one
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
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::component::slot::{ComponentSlot, LoadedComponent};
use crate::config::RequestLimits;
use crate::error::HandleError;
use crate::guest_api::{GuestLimits, GuestSignals, GuestTelemetry};
use crate::http::admission::{AdmissionControl, InstancePermit};
use crate::http::body::drain::DrainOnDrop;
use crate::http::body::request::RequestBody;
use crate::http::body::response::{GuestBody, Lingering};
use crate::http::body::span::SpanBody;
use crate::http::response_rules;
use crate::http::validate;
use crate::request::failure_log;
use crate::request::framing::RequestFraming;
use crate::request::info::Peer;
use crate::request::metrics::ServerMetrics;
use crate::request::server_span::{ServerSpan, ServerTracer};
use crate::sandbox::call::GuestCall;
use crate::sandbox::store::State;
use fanlight_telemetry::Telemetry;
use fanlight_telemetry::propagation::{self, TRACERESPONSE};

/// How much is read of a body of HTTP/1.1 that no guest reads. Its client may
/// write all of it before it reads the answer, and then asks again.
const UNWANTED_BYTES: usize = 64 * 1024 * 1024;
/// The same of HTTP/2, where RST_STREAM makes the client stop.
const UNWANTED_BYTES_OF_STREAMS: usize = 1024 * 1024;

/// Handles requests.
pub(crate) struct Handler {
    slot: Arc<ComponentSlot>,
    signals: Arc<GuestSignals>,
    tracer: Arc<ServerTracer>,
    limits: RequestLimits,
    instances: AdmissionControl,
    /// Guests that go on after their answer.
    afterlives: TaskTracker,
    /// Answers on HTTP/1.1 tell the client to connect anew elsewhere.
    closing: AtomicBool,
    /// The time for draining is over: requests that still wait get 503.
    /// Shared, as to clone a token takes its lock.
    stopped: Arc<CancellationToken>,
}

impl Handler {
    pub(crate) fn new(
        slot: Arc<ComponentSlot>,
        telemetry: &Telemetry,
        limits: RequestLimits,
        guest_limits: GuestLimits,
    ) -> Self {
        let metrics = ServerMetrics::new(&telemetry.meter(), limits.cpu_sample_period);
        let metrics = Arc::new(metrics.with_exemplars(telemetry));
        Self {
            slot,
            signals: Arc::new(GuestSignals::new(telemetry, guest_limits)),
            tracer: Arc::new(ServerTracer::new(telemetry, &limits, metrics)),
            instances: AdmissionControl::new(&limits, &telemetry.meter()),
            limits,
            afterlives: TaskTracker::new(),
            closing: AtomicBool::new(false),
            stopped: Arc::default(),
        }
    }

    /// Begins with a request whose head was read.
    pub(crate) fn begin<B>(&self, request: &Request<B>, peer: Peer) -> SpanGuard {
        SpanGuard {
            span: self.tracer.start(request, peer),
            is_over: false,
        }
    }

    /// Handles one request. It never fails: an error is an answer.
    ///
    /// # Cancel safety
    /// Dropped, it ends the guest where it stands and the span as cancelled.
    pub(crate) async fn handle<B>(
        &self,
        request: Request<B>,
        mut begun: SpanGuard,
    ) -> Result<Response<SpanBody>, Infallible>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<wasmtime_wasi_http::Error> + Send,
    {
        let span = begun.span.clone();
        let asked = RequestFraming::by(&request);
        let result = self.try_handle(request, &span).await;
        begun.is_over = true;
        Ok(self.respond(result, span, asked))
    }

    /// From now on answers on HTTP/1.1 carry `connection: close`.
    pub(crate) fn announce_close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Answers all that still wait for their guests with 503, and ends the
    /// guests that go on after their answers.
    pub(crate) fn stop(&self) {
        self.stopped.cancel();
    }

    /// Waits for guests that go on after their answers.
    pub(crate) async fn drained(&self) {
        self.afterlives.close();
        self.afterlives.wait().await;
    }

    pub(crate) fn metrics(&self) -> &ServerMetrics {
        self.tracer.metrics()
    }

    async fn try_handle<B>(
        &self,
        request: Request<B>,
        span: &ServerSpan,
    ) -> Result<Response<GuestBody>, HandleError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<wasmtime_wasi_http::Error> + Send,
    {
        // From the head on: the wait for a place is part of it.
        let begun = Instant::now();
        let deadline = begun + self.limits.request_timeout;
        let (head, body) = request.into_parts();
        let unwanted_bytes = if head.version > Version::HTTP_11 {
            UNWANTED_BYTES_OF_STREAMS
        } else {
            UNWANTED_BYTES
        };
        let body = DrainOnDrop::new(body, &head.headers, unwanted_bytes);
        let request = Request::from_parts(head, body);
        validate::check(&request, span, &self.limits)?;
        let max_body = self.limits.max_body_bytes;
        let (head, body) = request.into_parts();
        let body = RequestBody::new(body, &head.headers, max_body, span.clone())?;
        let request = Request::from_parts(head, body);
        let cut = request.body().watch();
        let leave = request.body().leave();
        let (component, place) = self.component(begun).await?;
        identify(span, &component);
        let asked = RequestFraming::by(&request);
        let telemetry = GuestTelemetry::new(Arc::clone(&self.signals), span.clone());
        let ticks = component.scheduler().run_handle().ticks();
        let mut state = State::new(telemetry, ticks, self.limits.memory_bounds());
        state.leave = leave.clone();
        let mut invocation = GuestCall::new(component, state, request);
        let outcome = {
            let mut head = pin!(invocation.head());
            let mut too_late = pin!(self.too_late(deadline));
            // The guest first: most have answered by then, and neither the timer
            // nor what all requests share is touched for them.
            poll_fn(|context| match head.as_mut().poll(context) {
                Poll::Ready(answered) => Poll::Ready(answered),
                Poll::Pending => too_late.as_mut().poll(context).map(Err),
            })
            .await
        };
        if leave.is_given() {
            // hyper, which is polled before this is polled again, now gives the client
            // leave to send its body: after the head of the answer it cannot.
            tokio::task::yield_now().await;
        }
        // As long as nothing is on its way to the client, the reason for which
        // the guest could not read on is a better answer than what it made of it.
        let outcome = if cut.happened() {
            Err(HandleError::BodyTooLarge)
        } else {
            outcome
        };
        // Said before the guest is dropped: its open spans tell the reason.
        let mut response = outcome.inspect_err(|error| span.fail(error))?;
        let length = response_rules::mend(&mut response, asked);
        let guest = invocation.into_guest();
        let afterlife = Lingering {
            linger: self.limits.linger,
            tasks: self.afterlives.clone(),
            place,
            stopped: Arc::clone(&self.stopped),
            span: span.clone(),
        };
        Ok(GuestBody::behind(response, length, guest, asked, afterlife))
    }

    /// Waits for room for an instance of the component that is served by then.
    async fn component(
        &self,
        begun: Instant,
    ) -> Result<(Arc<LoadedComponent>, InstancePermit), HandleError> {
        loop {
            // Before the count is read: no change of it is missed.
            let changed = self.slot.places_changed();
            let places = self.slot.places();
            let mut place = match self.instances.free(places) {
                Some(place) => place,
                None => tokio::select! {
                    biased;
                    place = self.instances.wait(places, begun, &self.stopped) => place?,
                    () = changed => continue,
                },
            };
            let component = self.slot.current();
            // Another one may be served now, which takes more, or fewer.
            match places.checked_sub(component.places()) {
                None => {}
                Some(0) => return Ok((component, place)),
                Some(over) => {
                    drop(place.split(over as usize));
                    return Ok((component, place));
                }
            }
        }
    }

    /// Waits for the time when an answer is none any more.
    async fn too_late(&self, deadline: Instant) -> HandleError {
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => HandleError::Unavailable,
            () = tokio::time::sleep_until(deadline) => HandleError::Timeout,
        }
    }

    /// Maps the outcome, logs it and wraps the body: the only place that does.
    fn respond(
        &self,
        result: Result<Response<GuestBody>, HandleError>,
        span: ServerSpan,
        asked: RequestFraming,
    ) -> Response<SpanBody> {
        let mut closing = self.closing.load(Ordering::Relaxed);
        let mut response = match result {
            Ok(response) => {
                // In HTTP/1.0 a body of no length ends with its connection.
                closing |= asked.version == Version::HTTP_10 && response.body().is_open_ended();
                span.set_status_code(response.status());
                let span = span.clone();
                response.map(|body| SpanBody::guest(body, span))
            }
            Err(error) => {
                // How a guest ended was logged when it happened.
                if !error.is_guests_end() {
                    failure_log::tell(&error, span.context());
                }
                // Where its body ends others may see otherwise, as they may what
                // else is odd about it: nothing behind it is read as a request.
                closing |= matches!(
                    error,
                    HandleError::BadRequest(_) | HandleError::Unsupported(_)
                );
                span.fail(&error);
                span.set_status_code(error.status());
                problem(&error, &span, asked)
            }
        };
        if closing && asked.version == Version::HTTP_10 {
            // To any other answer hyper would add `keep-alive` where that was asked for.
            *response.version_mut() = Version::HTTP_10;
        }
        let headers = response.headers_mut();
        if self.limits.trace_header
            && let Some(value) = propagation::format_traceparent(span.context())
        {
            headers.insert(&TRACERESPONSE, value);
        }
        if closing && asked.version <= Version::HTTP_11 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        span.set_response_headers(headers);
        response
    }
}

/// A request that was begun. Dropped before it has its answer, it ends its span:
/// the client has left.
pub(crate) struct SpanGuard {
    span: ServerSpan,
    is_over: bool,
}

impl Drop for SpanGuard {
    fn drop(&mut self) {
        if !self.is_over {
            self.span.fail(&HandleError::Cancelled);
            self.span.end(0);
        }
    }
}

fn identify(span: &ServerSpan, component: &LoadedComponent) {
    let generation = i64::try_from(component.generation()).unwrap_or(i64::MAX);
    span.add_host_attributes([
        KeyValue::new("fanlight.component.digest", component.digest_value()),
        KeyValue::new("fanlight.component.version", component.version_value()),
        KeyValue::new("fanlight.component.generation", generation),
    ]);
}

/// The host's own response, as RFC 9457 has it, without anything internal.
fn problem(error: &HandleError, span: &ServerSpan, asked: RequestFraming) -> Response<SpanBody> {
    // Titles and words hold no character that JSON escapes.
    let body = format!(
        "{{\"type\":\"urn:fanlight:problem:{}\",\"title\":\"{}\",\"status\":{},\"trace_id\":\"{}\"}}\n",
        error.error_type(),
        error.title(),
        error.status().as_u16(),
        span.context().trace_id(),
    );
    let length = HeaderValue::from(body.len());
    // HEAD is told the length that GET would see.
    let body = if asked.is_head {
        Bytes::new()
    } else {
        Bytes::from(body)
    };
    let mut response = Response::new(SpanBody::host(body, span.clone()));
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
