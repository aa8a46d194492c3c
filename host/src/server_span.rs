//! The server span of a request: made from its head, changed by host and
//! guest, ended with the last byte of the answer.
//!
//! A guest cannot forge what is the host's: host attributes are kept apart,
//! written last and have room of their own, and the host's error stands over
//! a guest's `Ok`. Every request ends in exactly one span and one set of
//! metric points, whatever happens to it.

#[cfg(test)]
mod tests;
mod tracer;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode};
use opentelemetry::trace::{Event, SpanContext, Status};
use opentelemetry::{KeyValue, StringValue};

use crate::error::HandleError;
use crate::failure_log;
use crate::guest_usage::GuestUsage;
use crate::propagation::Carried;
use crate::request_clock::RequestClock;
use crate::request_facts::{RequestFacts, Scheme};
use crate::reserved;
use crate::server_metrics::Measured;
use crate::span::{Span, put};
pub(crate) use tracer::ServerTracer;

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
    carried: Carried,
    clock: RequestClock,
    request: RequestFacts,
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
    guest: Vec<KeyValue>,
    dropped: u32,
    guest_status: Status,
    route: Option<StringValue>,
    status_code: Option<StatusCode>,
    failure: Option<Failure>,
    ended: bool,
    /// Why a guest is cut off whose answer is out.
    cut_off: FailureWord,
}

/// The value of `error.type` of a failed request.
pub(crate) type FailureWord = &'static str;

#[derive(Clone, Copy)]
struct Failure {
    error_type: FailureWord,
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
            put(&mut state.host, attribute, usize::MAX);
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
        for attribute in attributes {
            if reserved::is_reserved(attribute.key.as_str())
                || !put(&mut state.guest, attribute, limit)
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

    /// Takes note of whether the guest waits for more of the request's body.
    pub(crate) fn set_awaits_request(&self, awaits: bool) {
        self.shared.awaits_request.store(awaits, Ordering::Relaxed);
    }

    /// Whether the guest waits for the client to send.
    pub(crate) fn awaits_request(&self) -> bool {
        self.shared.awaits_request.load(Ordering::Relaxed)
    }

    /// Takes note of the status that the client is sent.
    pub(crate) fn set_status_code(&self, status: StatusCode) {
        self.shared.lock().status_code = Some(status);
    }

    /// Takes note of the headers of the answer, of those that are to be told.
    pub(crate) fn set_response_headers(&self, headers: &HeaderMap) {
        let tracer = &self.shared.tracer;
        self.set_host_attributes(|| tracer.captured.of_response(headers, tracer.text_bytes()));
    }

    /// Sets attributes that are the host's to say and cost something to make:
    /// on a span that does not record nobody would see them.
    fn set_host_attributes(&self, make: impl FnOnce() -> Vec<KeyValue>) {
        if !self.is_recording() {
            return;
        }
        for attribute in make() {
            self.set_host_attribute(attribute);
        }
    }

    /// Why a guest that is dropped where it stands was cut off.
    pub(crate) fn why_cut_off(&self) -> FailureWord {
        let state = self.shared.lock();
        match state.failure {
            Some(failure) => failure.error_type,
            None if state.ended => state.cut_off,
            None => "cancelled",
        }
    }

    /// Takes note of why the guest is cut off, where its answer is out.
    pub(crate) fn cut_off(&self, error: &HandleError) {
        self.shared.lock().cut_off = error.error_type();
    }

    /// Takes note that the guest has set the head of its answer.
    pub(crate) fn answered(&self) {
        self.shared.answered.store(true, Ordering::Relaxed);
    }

    /// Takes note that the guest trapped. Log and counter hear of it even
    /// where the answer is out and the span has ended.
    pub(crate) fn trapped(&self, trap: &HandleError) {
        let phase = if self.shared.lock().ended {
            "after_answer"
        } else if self.shared.answered.load(Ordering::Relaxed) {
            "after_head"
        } else {
            "before_head"
        };
        self.shared.tracer.metrics.guest_trapped(phase);
        failure_log::tell(trap, &self.shared.context);
        self.fail(trap);
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
        let mut attributes = Vec::with_capacity(guest.len() + host.len() + LAST_ATTRIBUTES);
        attributes.append(guest);
        attributes.append(host);
        if let Some(route) = route.clone() {
            attributes.push(KeyValue::new("http.route", route));
        }
        // Of a guest that goes on, what it took until now.
        attributes.extend(self.shared.usage.attributes());
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
        let active = self.request.active_attributes();
        let mut attributes = Vec::with_capacity(6);
        attributes.extend(active.iter().cloned());
        attributes.push(KeyValue::new(
            "network.protocol.version",
            self.request.version(),
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
        let measured = Measured {
            elapsed: self.clock.elapsed(),
            request_bytes: self.request_bytes.load(Ordering::Relaxed),
            response_bytes,
        };
        self.tracer
            .metrics
            .request_ended(&active, &attributes, &measured);
    }
}
