//! The server span of a request: made from its head, changed by host and
//! guest, ended with the last byte of the response.
//!
//! A guest cannot forge what is the host's: host attributes are kept apart,
//! written last and have room of their own, and the host's error stands over
//! a guest's `Ok`. Every request ends in exactly one span and one set of
//! metric points, whatever happens to it.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use opentelemetry::trace::{Event, SpanContext, Status};
use opentelemetry::{KeyValue, StringValue};
use parking_lot::Mutex;

use crate::error::HandleError;
use crate::request::reserved;
use crate::request::usage::GuestUsage;
use fanlight_telemetry::trace::span::{AttributeIndex, Span};

/// Attributes that the host may still set after the guest used all its room.
pub(crate) const HOST_ATTRIBUTES: usize = 32;
/// Attributes that the host knows at the end alone, about.
const LAST_ATTRIBUTES: usize = 8;
/// Events that the host may still add after the guest used all its room.
const HOST_EVENTS: usize = 8;

/// The span of one request.
pub(crate) struct ServerSpan {
    /// Shared with every handle of the guest's that stands for this span.
    context: Arc<SpanContext>,
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
    outcome: Outcome,
    ended: bool,
    /// Why a guest is cut off whose response is out.
    cut_off: ErrorType,
}

/// How a request turned out, as its span and its metrics have it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) route: Option<StringValue>,
    pub(crate) status: Option<StatusCode>,
    failure: Option<Failure>,
}

/// The value of `error.type` of a failed request.
pub(crate) type ErrorType = &'static str;

#[derive(Clone, Copy)]
struct Failure {
    error_type: ErrorType,
    blame: &'static str,
}

impl Outcome {
    /// The value of `error.type`: the failure's word, or a status from 500 (RFC 9110 §15).
    pub(crate) fn error_type(&self) -> Option<&str> {
        if let Some(failure) = self.failure {
            return Some(failure.error_type);
        }
        let status = self.status.as_ref();
        status
            .filter(|status| status.as_u16() >= 500)
            .map(StatusCode::as_str)
    }

    /// Adds how the request turned out; tells whether that is an error.
    fn add_to(&self, attributes: &mut Vec<KeyValue>) -> bool {
        if let Some(status) = self.status {
            let status = i64::from(status.as_u16());
            attributes.push(KeyValue::new("http.response.status_code", status));
        }
        let Some(error_type) = self.error_type() else {
            return false;
        };
        attributes.push(KeyValue::new("error.type", error_type.to_owned()));
        let blame = self.failure.map_or("guest", |failure| failure.blame);
        attributes.push(KeyValue::new("error.blame", blame));
        true
    }
}

impl ServerSpan {
    /// Takes over a span that was started for a request.
    pub(crate) fn new(mut span: Span) -> Self {
        // Those that the sampler added are among them.
        let host = span.take_attributes();
        Self {
            context: Arc::new(span.context().clone()),
            state: Mutex::new(State {
                span,
                host,
                host_keys: AttributeIndex::default(),
                guest: Vec::new(),
                guest_keys: AttributeIndex::default(),
                dropped: 0,
                guest_status: Status::Unset,
                outcome: Outcome::default(),
                ended: false,
                cut_off: "linger_timeout",
            }),
        }
    }

    pub(crate) fn context(&self) -> &SpanContext {
        &self.context
    }

    pub(crate) fn shared_context(&self) -> Arc<SpanContext> {
        Arc::clone(&self.context)
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.state.lock().span.is_recording()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Sets an attribute of the host.
    pub(crate) fn set_host_attribute(&self, attribute: KeyValue) {
        let mut state = self.state.lock();
        if state.span.is_recording() {
            let State {
                host, host_keys, ..
            } = &mut *state;
            host_keys.put(host, attribute, usize::MAX);
        }
    }

    /// Adds attributes of the host, each of which is set once.
    pub(crate) fn add_host_attributes(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        let mut state = self.state.lock();
        if state.span.is_recording() {
            state.host.extend(attributes);
        }
    }

    /// The same for attributes that cost something to make: only on a span that records.
    pub(crate) fn add_host_attributes_with(&self, make: impl FnOnce() -> Vec<KeyValue>) {
        if self.is_recording() {
            self.add_host_attributes(make());
        }
    }

    /// Sets what the guest says, unless it is the host's to say, up to `limit` in
    /// all, and counts `over`, which were dropped on their way here; gives how many
    /// more found no room.
    pub(crate) fn set_guest_attributes(
        &self,
        attributes: Vec<KeyValue>,
        limit: usize,
        over: u32,
    ) -> u64 {
        let mut state = self.state.lock();
        if !state.span.is_recording() {
            return 0;
        }
        state.dropped += over;
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
        self.state.lock().span.takes_event(HOST_EVENTS)
    }

    /// Counts an event of the guest's that was not kept.
    pub(crate) fn lose_guest_event(&self) {
        self.state.lock().span.lose_event();
    }

    /// Adds an event of the guest's, leaving room for the host's own.
    pub(crate) fn add_guest_event(&self, event: Event) {
        self.state.lock().span.add_event(event, HOST_EVENTS);
    }

    /// Sets the status that the guest gives the request; `Ok` stays.
    pub(crate) fn set_guest_status(&self, status: Status) {
        let mut state = self.state.lock();
        match (&state.guest_status, &status) {
            (Status::Ok, _) | (_, Status::Unset) => {}
            _ => state.guest_status = status,
        }
    }

    /// Sets the route, which names the span with the method.
    pub(crate) fn set_route(&self, method: &str, route: String) {
        let mut state = self.state.lock();
        if state.ended {
            return;
        }
        let mut name = String::with_capacity(method.len() + 1 + route.len());
        name.push_str(method);
        name.push(' ');
        name.push_str(&route);
        state.span.update_name(name.into());
        // Shared, as each signal has it.
        state.outcome.route = Some(Arc::<str>::from(route).into());
    }

    /// Records the status that the client receives.
    pub(crate) fn set_status_code(&self, status: StatusCode) {
        self.state.lock().outcome.status = Some(status);
    }

    /// Why a guest that is dropped where it stands was cut off.
    pub(crate) fn why_cut_off(&self) -> ErrorType {
        let state = self.state.lock();
        match state.outcome.failure {
            Some(failure) => failure.error_type,
            None if state.ended => state.cut_off,
            None => "cancelled",
        }
    }

    /// Records why the guest is cut off, where its response is out.
    pub(crate) fn cut_off(&self, error: &HandleError) {
        self.state.lock().cut_off = error.error_type();
    }

    /// Records why the request failed, unless a reason is recorded or the span has
    /// ended; tells whether it did.
    pub(crate) fn fail(&self, error: &HandleError, now: SystemTime) -> bool {
        let mut state = self.state.lock();
        if state.ended || state.outcome.failure.is_some() {
            return false;
        }
        state.outcome.failure = Some(Failure {
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
            state
                .span
                .add_event(Event::new("exception", now, attributes, 0), 0);
        }
        true
    }

    /// Ends the span, and hands `record` what the metrics need. A second end is ignored.
    pub(crate) fn end(
        &self,
        usage: &GuestUsage,
        ended_at: SystemTime,
        record: impl FnOnce(&Outcome),
    ) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        record(&state.outcome);
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
        if let Some(route) = state.outcome.route.clone() {
            attributes.push(KeyValue::new("http.route", route));
        }
        // Of a guest that goes on, what it used until now.
        usage.add_to(&mut attributes);
        let is_error = state.outcome.add_to(&mut attributes);
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
        state.span.end(ended_at);
    }
}
