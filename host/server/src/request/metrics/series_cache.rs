//! The series that requests are counted in, found without their attributes.
//!
//! To find a series by its attributes is to make, hash and compare them, in
//! each instrument and for every request. A server has few series, and most
//! requests are in one of a handful: those that came first are kept bound. A
//! request that is in none of them is counted by its attributes; what is
//! recorded is the same.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use fanlight_telemetry::SeriesExemplars;
use http::StatusCode;
use opentelemetry::metrics::{BoundHistogram, BoundUpDownCounter, UpDownCounter};
use opentelemetry::{KeyValue, StringValue};

use crate::request::info::RequestInfo;
use crate::request::metrics::at_end::{AtEnd, Measured};
use crate::request::peer::Scheme;

/// Series that are kept bound, of each kind. To look through them all takes
/// less than to find one by its attributes, and they stay for ever.
const MAX_BOUND: usize = 64;

/// Which series a request is in when it has ended.
pub(crate) struct RequestSeries<'a> {
    pub(crate) request: &'a RequestInfo,
    pub(crate) status: Option<StatusCode>,
    pub(crate) route: Option<&'a StringValue>,
    pub(crate) error_type: Option<&'a str>,
}

impl RequestSeries<'_> {
    /// The series' attributes.
    pub(crate) fn attributes(&self) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(6);
        attributes.extend(self.request.active_attributes());
        attributes.push(KeyValue::new(
            "network.protocol.version",
            self.request.version(),
        ));
        if let Some(status) = self.status {
            let status = i64::from(status.as_u16());
            attributes.push(KeyValue::new("http.response.status_code", status));
        }
        if let Some(route) = self.route {
            attributes.push(KeyValue::new("http.route", route.clone()));
        }
        if let Some(error_type) = self.error_type {
            attributes.push(KeyValue::new("error.type", error_type.to_owned()));
        }
        attributes
    }
}

/// Series that are bound, in the order in which they came up.
#[derive(Debug)]
pub(crate) struct SeriesCache<T>(ArcSwap<Vec<Arc<T>>>);

impl<T> Default for SeriesCache<T> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

impl<T> SeriesCache<T> {
    /// Finds the series, or binds it while there is room.
    pub(crate) fn find(&self, is_it: impl Fn(&T) -> bool, bind: impl Fn() -> T) -> Option<Arc<T>> {
        let known = self.0.load();
        if let Some(found) = known.iter().find(|known| is_it(known)) {
            return Some(Arc::clone(found));
        }
        if known.len() >= MAX_BOUND {
            return None;
        }
        drop(known);
        let bound = Arc::new(bind());
        // Two threads may have come to bind the same: one of them is enough.
        self.0.rcu(|known| {
            let mut next = Vec::clone(known);
            if next.len() < MAX_BOUND && !next.iter().any(|known| is_it(known)) {
                next.push(Arc::clone(&bound));
            }
            next
        });
        Some(bound)
    }
}

/// A series of requests that run.
#[derive(Debug)]
pub(crate) struct Running {
    method: Cow<'static, str>,
    scheme: Scheme,
    active: BoundUpDownCounter<i64>,
}

impl Running {
    pub(crate) fn bind(active: &UpDownCounter<i64>, request: &RequestInfo) -> Self {
        Self {
            method: request.method().clone(),
            scheme: request.scheme(),
            active: active.bind(&request.active_attributes()),
        }
    }

    pub(crate) fn is(&self, request: &RequestInfo) -> bool {
        self.scheme == request.scheme() && self.method == *request.method()
    }

    pub(crate) fn add(&self, change: i64) {
        self.active.add(change);
    }
}

/// A series of requests that have ended.
#[derive(Debug)]
pub(crate) struct Ended {
    method: Cow<'static, str>,
    scheme: Scheme,
    version: &'static str,
    status: Option<StatusCode>,
    route: Option<StringValue>,
    error_type: Option<String>,
    duration: BoundHistogram<f64>,
    request_body: BoundHistogram<u64>,
    response_body: BoundHistogram<u64>,
    exemplars: Option<Arc<SeriesExemplars>>,
}

impl Ended {
    pub(crate) fn bind(instruments: &AtEnd, series: &RequestSeries<'_>) -> Self {
        let attributes = series.attributes();
        Self {
            method: series.request.method().clone(),
            scheme: series.request.scheme(),
            version: series.request.version(),
            status: series.status,
            route: series.route.cloned(),
            error_type: series.error_type.map(str::to_owned),
            duration: instruments.duration.bind(&attributes),
            request_body: instruments.request_body.bind(&attributes),
            response_body: instruments.response_body.bind(&attributes),
            exemplars: instruments.exemplars(&attributes),
        }
    }

    pub(crate) fn is(&self, series: &RequestSeries<'_>) -> bool {
        self.status == series.status
            && self.scheme == series.request.scheme()
            && self.route.as_ref() == series.route
            && self.method == *series.request.method()
            && self.version == series.request.version()
            && self.error_type.as_deref() == series.error_type
    }

    pub(crate) fn record(&self, measured: &Measured<'_>) {
        let seconds = measured.elapsed.as_secs_f64();
        self.duration.record(seconds);
        if let Some(exemplars) = &self.exemplars
            && measured.span.is_sampled()
        {
            exemplars.record(seconds, measured.span);
        }
        self.request_body.record(measured.request_bytes);
        self.response_body.record(measured.response_bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use http::Request;
    use opentelemetry::trace::SpanContext;

    use crate::config::trusted_proxies::TrustedProxies;
    use crate::request::info::RequestInfo;
    use crate::request::metrics::ServerMetrics;
    use crate::request::peer::{Peer, Scheme};
    use fanlight_telemetry::config::known_methods::KnownMethods;
    use fanlight_telemetry::{Telemetry, TelemetryConfig, TextFormat};

    use super::*;

    #[tokio::test]
    async fn requests_are_counted_alike_in_series_that_are_bound_and_in_those_that_are_not() {
        let vars = ["TRACES", "METRICS", "LOGS"].map(|signal| {
            let name = format!("OTEL_{signal}_EXPORTER");
            (name, "none".to_owned())
        });
        let telemetry = Telemetry::init(&TelemetryConfig::from_vars(vars, "test")).unwrap();
        let metrics = ServerMetrics::new(&telemetry.meter(), None);
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            scheme: Scheme::Http,
        };
        let (methods, trusted) = (KnownMethods::default(), TrustedProxies::default());
        let facts = RequestInfo::of(&Request::new(()), peer, &methods, &trusted);
        let routes = 2 * MAX_BOUND;
        for round in 1..=3 {
            for n in 0..routes {
                let route = StringValue::from(format!("/{n}"));
                let series = RequestSeries {
                    request: &facts,
                    status: Some(StatusCode::OK),
                    route: Some(&route),
                    error_type: None,
                };
                let measured = Measured {
                    span: &SpanContext::NONE,
                    elapsed: Duration::from_millis(1),
                    request_bytes: 1,
                    response_bytes: round,
                };
                metrics.request_started(&facts);
                metrics.request_ended(&series, &measured);
            }
        }
        metrics.request_started(&facts);
        let text = telemetry.prometheus().unwrap();
        let text = text.render(TextFormat::Prometheus).await.unwrap();
        let values = |name: &str| -> Vec<&str> {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines
                .filter_map(|line| Some(line.rsplit_once(' ')?.1))
                .collect()
        };
        let each = |value: &'static str| vec![value; routes];
        assert_eq!(
            values("http_server_request_duration_seconds_count{"),
            each("3")
        );
        assert_eq!(
            values("http_server_request_body_size_bytes_sum{"),
            each("3")
        );
        assert_eq!(
            values("http_server_response_body_size_bytes_sum{"),
            each("6")
        );
        assert_eq!(values("http_server_active_requests{"), ["1"]);
        assert_eq!(metrics.ended.0.load().len(), MAX_BOUND);
    }
}
