//! Attributes that are not made where the span does not record.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};

use http::{HeaderName, Request};

use super::*;
use crate::config::RequestLimits;
use crate::config::captured_headers::CapturedHeaders;
use crate::request::info::Peer;
use crate::request::metrics::ServerMetrics;
use fanlight_telemetry::{Telemetry, TelemetryConfig};

/// The span of a request, by a sampler that records all or none, with the response
/// header `x-team` captured.
fn span(sampler: &str) -> ServerSpan {
    let vars = [
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", sampler),
    ];
    let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let telemetry = Telemetry::init(&TelemetryConfig::from_vars(vars, "test")).unwrap();
    let metrics = Arc::new(ServerMetrics::new(&telemetry.meter(), None));
    let limits = RequestLimits {
        captured_headers: CapturedHeaders::new(&[], &[HeaderName::from_static("x-team")]).unwrap(),
        ..RequestLimits::default()
    };
    let tracer = Arc::new(ServerTracer::new(&telemetry, &limits, metrics));
    let peer = Peer {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        scheme: Scheme::Http,
    };
    tracer.start(&Request::new(()), peer)
}

fn told(span: &ServerSpan) -> Vec<String> {
    let state = span.shared.lock();
    let keys = state.host.iter().map(|it| it.key.as_str().to_owned());
    keys.filter(|key| key.starts_with("http.response."))
        .collect()
}

#[test]
fn headers_of_an_answer_are_told_where_the_request_is_recorded() {
    let mut headers = HeaderMap::new();
    headers.insert("x-team", http::HeaderValue::from_static("blue"));
    headers.insert("x-other", http::HeaderValue::from_static("secret"));
    for (sampler, wanted) in [
        ("always_on", vec!["http.response.header.x-team".to_owned()]),
        ("always_off", vec![]),
    ] {
        let span = span(sampler);
        span.set_response_headers(&headers);
        assert_eq!(told(&span), wanted, "{sampler}");
    }
}

#[test]
fn attributes_that_nobody_would_see_are_not_even_made() {
    for (sampler, wanted) in [("always_on", 1), ("always_off", 0)] {
        let made = Cell::new(0);
        span(sampler).set_host_attributes(|| {
            made.set(made.get() + 1);
            Vec::new()
        });
        assert_eq!(made.get(), wanted, "{sampler}");
    }
}
