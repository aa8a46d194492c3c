//! The client span of a call that a guest makes, by the semantic conventions: made from
//! the request's head, ended with the response's.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Instant;

use http::{Request, StatusCode, Uri, Version};
use opentelemetry::trace::{Event, SpanContext, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};

use crate::config::outbound;
use crate::request::context::RequestContext;
use crate::request::info::{cut, protocol_version, redacted};
use fanlight_telemetry::HOST_SCOPE;
use fanlight_telemetry::trace::limits::MAX_TEXT_BYTES;
use fanlight_telemetry::trace::span::Span;
use fanlight_telemetry::trace::tracer::{Parent, SpanStart};

/// The client span of a call. Dropped before the call has ended, it ends as cut off.
pub(crate) struct ClientSpan {
    /// None once it has ended.
    span: Option<Span>,
    context: SpanContext,
    request: RequestContext,
    /// Those that metrics have as well.
    labels: Vec<KeyValue>,
}

impl ClientSpan {
    /// Starts the span of a guest's call, below `parent`. `resends` counts the calls of
    /// this target that failed before.
    pub(crate) fn start<B>(
        of: &RequestContext,
        parent: &SpanContext,
        call: &Request<B>,
        resends: u32,
    ) -> Self {
        let (method, is_known) = match of.tracer().known_method(call.method()) {
            Some(name) => (name, true),
            None => (Cow::Borrowed("_OTHER"), false),
        };
        let uri = call.uri();
        let mut labels = vec![
            text("http.request.method", method.clone()),
            text("url.scheme", cut(uri.scheme_str().unwrap_or_default(), 16)),
        ];
        // In one spelling, or one host would be many series.
        if let Some(host) = outbound::host(uri) {
            labels.push(text("server.address", cut(&host, 255)));
        }
        let port = outbound::port(uri);
        labels.extend(port.map(|it| KeyValue::new("server.port", i64::from(it))));
        let mut attributes = labels.clone();
        attributes.push(text("url.full", cut(&full(uri), MAX_TEXT_BYTES)));
        if !is_known {
            let original = cut(call.method().as_str(), MAX_TEXT_BYTES);
            attributes.push(text("http.request.method_original", original));
        }
        if resends > 0 {
            attributes.push(KeyValue::new(
                "http.request.resend_count",
                i64::from(resends),
            ));
        }
        let span = of.tracer().tracer().start(SpanStart {
            name: if is_known { method } else { "HTTP".into() },
            kind: SpanKind::Client,
            parent: Parent::Local(parent),
            attributes,
            links: Vec::new(),
            time: of.clock().now(),
            scope: InstrumentationScope::builder(HOST_SCOPE).build(),
        });
        Self {
            context: span.context().clone(),
            span: Some(span),
            request: of.clone(),
            labels,
        }
    }

    /// The caller, as the called service sees it.
    pub(crate) fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Records who was connected to.
    pub(crate) fn connected_to(&mut self, peer: SocketAddr) {
        self.set(text(
            "network.peer.address",
            peer.ip().to_canonical().to_string(),
        ));
        self.set(KeyValue::new("network.peer.port", i64::from(peer.port())));
    }

    /// Records a step of the connection that this call has waited for.
    pub(crate) fn add_event(&mut self, name: &'static str, at: Instant) {
        let at = self.request.clock().now() - at.elapsed();
        if let Some(span) = &mut self.span {
            span.add_event(Event::new(name, at, Vec::new(), 0), 0);
        }
    }

    /// Ends it with the head of the response; gives what metrics are labelled with.
    pub(crate) fn respond(mut self, status: StatusCode, version: Version) -> Vec<KeyValue> {
        let code = KeyValue::new("http.response.status_code", i64::from(status.as_u16()));
        let version = KeyValue::new("network.protocol.version", protocol_version(version));
        // For a client any error status is one (the conventions' "HTTP client spans").
        let is_error = status.is_client_error() || status.is_server_error();
        let error = is_error.then(|| text("error.type", status.as_str().to_owned()));
        self.end([Some(code), Some(version), error], None)
    }

    /// Ends it with an error; gives what metrics are labelled with.
    pub(crate) fn fail(mut self, error_type: &'static str, why: String) -> Vec<KeyValue> {
        let error = KeyValue::new("error.type", error_type);
        self.end([Some(error), None, None], Some(why))
    }

    /// Ends it as cut off with its guest; gives what metrics are labelled with.
    pub(crate) fn cut_off(mut self) -> Vec<KeyValue> {
        let error = KeyValue::new("error.type", self.request.span().why_cut_off());
        self.end([Some(error), None, None], None)
    }

    /// Records that the host denied the call, with the rule that did.
    pub(crate) fn denied_by(&mut self, rule: &'static str) {
        self.set(KeyValue::new("fanlight.outbound.denied", rule));
    }

    fn end(&mut self, last: [Option<KeyValue>; 3], why: Option<String>) -> Vec<KeyValue> {
        let mut labels = std::mem::take(&mut self.labels);
        let Some(mut span) = self.span.take() else {
            return labels;
        };
        let last = last.into_iter().flatten();
        for attribute in last {
            if attribute.key.as_str() == "error.type" {
                let why = why.clone().unwrap_or_default();
                span.override_status(Status::error(why));
            }
            labels.push(attribute.clone());
            span.set_attribute(attribute);
        }
        span.end(self.request.clock().now());
        labels
    }

    fn set(&mut self, attribute: KeyValue) {
        if let Some(span) = &mut self.span {
            span.set_attribute(attribute);
        }
    }
}

impl Drop for ClientSpan {
    fn drop(&mut self) {
        if self.span.is_some() {
            let error = KeyValue::new("error.type", self.request.span().why_cut_off());
            self.end([Some(error), None, None], None);
        }
    }
}

fn text(key: &'static str, value: impl Into<Cow<'static, str>>) -> KeyValue {
    KeyValue::new(key, Value::from(value.into()))
}

/// The URI without a user, and without secrets in its query.
fn full(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |it| it.as_str());
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let mut full = format!(
        "{}://{authority}{}",
        uri.scheme_str().unwrap_or_default(),
        uri.path()
    );
    if let Some(query) = uri.query() {
        full.push('?');
        full.push_str(&redacted(query));
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_recorded_without_its_secrets() {
        for (uri, expected) in [
            ("http://a.org:8080/b?c=1", "http://a.org:8080/b?c=1"),
            ("https://user:word@a.org/", "https://a.org/"),
            (
                "https://a.org/?sig=1&x=2",
                "https://a.org/?sig=REDACTED&x=2",
            ),
        ] {
            assert_eq!(full(&uri.parse().unwrap()), expected);
        }
    }
}
