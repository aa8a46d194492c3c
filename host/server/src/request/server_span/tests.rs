//! Attributes that are not made where the span does not record.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName, Request};

use super::*;
use crate::config::RequestLimits;
use crate::config::captured_headers::CapturedHeaders;
use crate::request::context::RequestContext;
use crate::request::metrics::ServerMetrics;
use crate::request::peer::{Peer, Scheme};
use crate::request::tracer::ServerTracer;
use fanlight_telemetry::{Telemetry, TelemetryConfig};

/// The span of a request, by a sampler that records all or none, with the response
/// header `x-team` captured.
fn request(sampler: &str) -> RequestContext {
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
    RequestContext::start(&tracer, &Request::new(()), peer)
}

fn captured(request: &RequestContext) -> Vec<String> {
    let state = request.span().state.lock();
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
        let request = request(sampler);
        request.set_response(StatusCode::OK, &headers);
        assert_eq!(captured(&request), wanted, "{sampler}");
    }
}

#[test]
fn attributes_that_nobody_would_see_are_not_even_made() {
    for (sampler, wanted) in [("always_on", 1), ("always_off", 0)] {
        let made = Cell::new(0);
        request(sampler).span().add_host_attributes_with(|| {
            made.set(made.get() + 1);
            Vec::new()
        });
        assert_eq!(made.get(), wanted, "{sampler}");
    }
}
