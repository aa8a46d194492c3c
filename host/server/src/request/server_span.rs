//! The server span of a request: made from its head, changed by host and
//! guest, ended with the last byte of the answer.
//!
//! A guest cannot forge what is the host's: host attributes are kept apart,
//! written last and have room of their own, and the host's error stands over
//! a guest's `Ok`. Every request ends in exactly one span and one set of
//! metric points, whatever happens to it.

#[cfg(test)]
mod tests;
pub(crate) mod tracer;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use opentelemetry::trace::{Event, SpanContext, Status};
use opentelemetry::{KeyValue, StringValue};
use parking_lot::{Mutex, MutexGuard};

use crate::error::HandleError;
use crate::request::failure_log;
use crate::request::info::{RequestInfo, Scheme};
use crate::request::metrics::Measured;
use crate::request::metrics::series_cache::RequestSeries;
use crate::request::reserved;
pub(crate) use crate::request::server_span::tracer::ServerTracer;
use crate::request::usage::GuestUsage;
use fanlight_telemetry::clock::RequestClock;
use fanlight_telemetry::propagation::PropagatedContext;
use fanlight_telemetry::trace::span::{AttributeIndex, Span};

/// Attributes that the host may still set after the guest used all its room.
const HOST_ATTRIBUTES: usize = 32;
/// Attributes that the host knows at the end alone, about.
const LAST_ATTRIBUTES: usize = 8;
/// Events that the host may still add after the guest used all its room.
const HOST_EVENTS: usize = 8;

/// The span of one request, shared by the handler, the body and the guest.
#[derive(Clone)]
pub(crate) struct ServerSpan {
    shared: Arc<Shared>,
}

struct Shared {
    tracer: Arc<ServerTracer>,
    /// Shared with every handle of the guest's that stands for this span.
    context: Arc<SpanContext>,
    /// What the caller wants to be handed on.
    carried: PropagatedContext,
    clock: RequestClock,
    request: RequestInfo,
    usage: Arc<GuestUsage>,
    request_bytes: AtomicU64,
    awaits_request: AtomicBool,
    /// The guest has set the head of its answer.
    answered: AtomicBool,
    state: Mutex<State>,
}

struct State {
    span: Span,
    host: Vec<KeyValue>,
    host_keys: AttributeIndex,
    guest: Vec<KeyValue>,
    guest_keys: AttributeIndex,
    dropped: u32,
    guest_status: Status,
    route: Option<StringValue>,
    status_code: Option<StatusCode>,
    failure: Option<Failure>,
    ended: bool,
    /// Why a guest is cut off whose answer is out.
    cut_off: ErrorType,
}

/// The value of `error.type` of a failed request.
pub(crate) type ErrorType = &'static str;

#[derive(Clone, Copy)]
struct Failure {
    error_type: ErrorType,
    blame: &'static str,
}

impl ServerSpan {
    pub(crate) fn context(&self) -> &SpanContext {
        &self.shared.context
    }

    pub(crate) fn shared_context(&self) -> Arc<SpanContext> {
        Arc::clone(&self.shared.context)
    }

    /// Names a span of this request as the caller of another one that goes out
    /// on its behalf, in all formats of `OTEL_PROPAGATORS`, with the baggage
    /// that came in.
    pub(crate) fn propagate(&self, caller: &SpanContext, headers: &mut HeaderMap) {
        let propagators = &self.shared.tracer.propagators;
        propagators.inject(caller, &self.shared.carried, headers);
    }

    /// Whether the request names a host, and one that can be.
    pub(crate) fn names_a_host(&self) -> bool {
        self.shared.request.names_a_host()
    }

    /// The scheme that the request came by, as far as it is known.
    pub(crate) fn scheme(&self) -> Scheme {
        self.shared.request.scheme()
    }

    pub(crate) fn clock(&self) -> RequestClock {
        self.shared.clock
    }

    /// What the request's guest takes.
    pub(crate) fn usage(&self) -> &Arc<GuestUsage> {
        &self.shared.usage
    }

    /// Has the metrics take what the guest took; it is gone.
    pub(crate) fn guest_ended(&self) {
        self.shared.tracer.metrics.guests.record(&self.shared.usage);
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.shared.lock().span.is_recording()
    }

    /// Sets an attribute that is the host's to say.
    pub(crate) fn set_host_attribute(&self, attribute: KeyValue) {
        let mut state = self.shared.lock();
        if state.span.is_recording() {
            let State {
                host, host_keys, ..
            } = &mut *state;
            host_keys.put(host, attribute, usize::MAX);
        }
    }

    /// Adds attributes of the host, each of which is set once.
    pub(crate) fn add_host_attributes(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        let mut state = self.shared.lock();
        if state.span.is_recording() {
            state.host.extend(attributes);
        }
    }

    /// Sets what the guest says, unless it is the host's to say, and counts
    /// `over`, which were dropped on their way here; answers how many more
    /// found no room.
    pub(crate) fn set_guest_attributes(&self, attributes: Vec<KeyValue>, over: u32) -> u64 {
        let mut state = self.shared.lock();
        if !state.span.is_recording() {
            return 0;
        }
        state.dropped += over;
        let limit = self.shared.tracer.guest_attributes();
        let mut dropped = 0;
        let State {
            guest, guest_keys, ..
        } = &mut *state;
        for attribute in attributes {
            if reserved::is_reserved(attribute.key.as_str())
                || !guest_keys.put(guest, attribute, limit)
            {
                dropped += 1;
            }
        }
        state.dropped += dropped;
        u64::from(dropped)
    }

    /// Whether an event of the guest's would be kept; counts the one that would not.
    pub(crate) fn takes_guest_event(&self) -> bool {
        self.shared.lock().span.takes_event(HOST_EVENTS)
    }

    /// Counts an event of the guest's that was not kept.
    pub(crate) fn lose_guest_event(&self) {
        self.shared.lock().span.lose_event();
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
        let method = self.shared.request.name_method();
        let mut name = String::with_capacity(method.len() + 1 + route.len());
        name.push_str(method);
        name.push(' ');
        name.push_str(&route);
        state.span.update_name(name.into());
        // Shared, as each signal tells it.
        state.route = Some(Arc::<str>::from(route).into());
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

    /// Records the status that the client receives.
    pub(crate) fn set_status_code(&self, status: StatusCode) {
        self.shared.lock().status_code = Some(status);
    }

    /// Records the response headers that the configuration names.
    pub(crate) fn set_response_headers(&self, headers: &HeaderMap) {
        let tracer = &self.shared.tracer;
        if tracer.captured.any_of_response() {
            self.set_host_attributes(|| tracer.captured.of_response(headers, tracer.text_bytes()));
        }
    }

    /// Sets attributes of the host that cost something to make: only on a span that
    /// records.
    fn set_host_attributes(&self, make: impl FnOnce() -> Vec<KeyValue>) {
        if self.is_recording() {
            self.add_host_attributes(make());
        }
    }

    /// Why a guest that is dropped where it stands was cut off.
    pub(crate) fn why_cut_off(&self) -> ErrorType {
        let state = self.shared.lock();
        match state.failure {
            Some(failure) => failure.error_type,
            None if state.ended => state.cut_off,
            None => "cancelled",
        }
    }

    /// Records why the guest is cut off, where its response headers are out.
    pub(crate) fn cut_off(&self, error: &HandleError) {
        self.shared.lock().cut_off = error.error_type();
    }

    /// Records that the guest has set its response headers.
    pub(crate) fn answered(&self) {
        self.shared.answered.store(true, Ordering::Relaxed);
    }

    /// Records that the guest trapped or exited with a failure: in the log and its
    /// counter even where the answer is out and the span has ended.
    pub(crate) fn guest_failed(&self, failure: &HandleError) {
        let phase = if self.shared.lock().ended {
            "after_answer"
        } else if self.shared.answered.load(Ordering::Relaxed) {
            "after_head"
        } else {
            "before_head"
        };
        self.shared.tracer.metrics.guest_failed(failure, phase);
        failure_log::tell(failure, &self.shared.context);
        self.fail(failure);
    }

    /// Records why the request failed. The first reason counts.
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
        let elapsed = self.shared.clock.elapsed();
        self.shared.record(&state, elapsed, response_bytes);
        if !state.span.is_recording() {
            return;
        }
        let mut attributes = std::mem::take(&mut state.guest);
        let host = std::mem::take(&mut state.host);
        if attributes.is_empty() {
            attributes = host;
        } else {
            attributes.extend(host);
        }
        attributes.reserve(LAST_ATTRIBUTES);
        if let Some(route) = state.route.clone() {
            attributes.push(KeyValue::new("http.route", route));
        }
        // Of a guest that goes on, what it took until now.
        self.shared.usage.tell(&mut attributes);
        let is_error = Shared::add_outcome(&state, &mut attributes);
        let dropped = state.dropped;
        state.span.replace_attributes(attributes, dropped);
        let guest_status = state.guest_status.clone();
        state.span.set_status(guest_status);
        if is_error {
            // A guest's own description says more than none.
            let description = match &state.guest_status {
                Status::Error { description } => description.clone(),
                _ => Cow::Borrowed(""),
            };
            state.span.override_status(Status::error(description));
        }
        state.span.end(self.shared.clock.started() + elapsed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock would be a defect; the span is still worth having.
        self.state.lock()
    }

    /// The value of `error.type`: the failure's word, or a status from 500 (RFC 9110 §15).
    fn error_type(state: &State) -> Option<&str> {
        if let Some(failure) = state.failure {
            return Some(failure.error_type);
        }
        let status = state.status_code.as_ref();
        status
            .filter(|status| status.as_u16() >= 500)
            .map(StatusCode::as_str)
    }

    /// Adds how the request turned out; tells whether that is an error.
    fn add_outcome(state: &State, attributes: &mut Vec<KeyValue>) -> bool {
        if let Some(status) = state.status_code {
            let status = i64::from(status.as_u16());
            attributes.push(KeyValue::new("http.response.status_code", status));
        }
        let Some(error_type) = Self::error_type(state) else {
            return false;
        };
        attributes.push(KeyValue::new("error.type", error_type.to_owned()));
        let blame = state.failure.map_or("guest", |failure| failure.blame);
        attributes.push(KeyValue::new("error.blame", blame));
        true
    }

    fn record(&self, state: &State, elapsed: Duration, response_bytes: u64) {
        let series = RequestSeries {
            request: &self.request,
            status: state.status_code,
            route: state.route.as_ref(),
            error_type: Self::error_type(state),
        };
        let measured = Measured {
            span: &self.context,
            elapsed,
            request_bytes: self.request_bytes.load(Ordering::Relaxed),
            response_bytes,
        };
        self.tracer.metrics.request_ended(&series, &measured);
    }
}
