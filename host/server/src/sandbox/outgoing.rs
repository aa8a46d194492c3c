//! How a guest's calls reach the outbound client.

use std::future::{Future, ready};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use crate::config::outbound::OutboundLimits;
use crate::guest_api::OutboundContext;
use crate::outbound::failure::Denied;
use crate::outbound::guest_life::GuestLife;
use crate::outbound::repeats::Repeats;
use crate::outbound::{self, CDN_LOOP, Caller, OutboundClient, Sent};

/// The most that a guest writes to a body at once; two of them wait at most.
/// Larger chunks are no faster, and each body that is not read holds them.
pub(crate) const BODY_CHUNK: usize = 64 * 1024;

/// The calls of one request's guest. Without a client each is denied; the guest gets
/// `HTTP-request-denied`.
pub(crate) struct Outbound {
    trace: OutboundContext,
    client: Option<Arc<OutboundClient>>,
    /// What the request has passed on its way here, as `CDN-Loop` has it.
    passed: Vec<HeaderValue>,
    made: u32,
    repeats: Option<Arc<Repeats>>,
    guest: GuestLife,
}

impl Drop for Outbound {
    fn drop(&mut self) {
        // Before the bodies that the guest's handles hold.
        self.guest.end();
    }
}

impl Outbound {
    /// For the guest of one request, whose trace its own requests belong to.
    pub(crate) fn new(trace: OutboundContext) -> Self {
        Self {
            trace,
            client: None,
            passed: Vec::new(),
            made: 0,
            repeats: None,
            guest: GuestLife::default(),
        }
    }

    /// Lets the guest call by this client, on behalf of a request with these headers.
    pub(crate) fn allow(&mut self, client: &Arc<OutboundClient>, headers: &HeaderMap) {
        self.client = Some(Arc::clone(client));
        self.passed = headers.get_all(CDN_LOOP).iter().cloned().collect();
    }

    /// Counts a call; tells how many the guest may make beside it.
    fn take_call(&mut self) -> Option<u32> {
        let most = match &self.client {
            Some(client) => client.calls_per_request(),
            None => OutboundLimits::default().calls_per_request,
        };
        let left = most.checked_sub(self.made);
        self.made = self.made.saturating_add(1);
        left
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _transmitted: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let Some(left) = self.take_call() else {
            self.trace.lose_span();
            return Box::new(ready(Err(Error::HttpRequestDenied)));
        };
        let repeats = Arc::clone(self.repeats.get_or_insert_default());
        let resends = repeats.count(repeats.target(&request));
        let span = self.trace.start_call(&request, resends);
        let Some(client) = &self.client else {
            return Box::new(ready(Err(outbound::deny(Denied::Origin, span))));
        };
        if left == 0 {
            // The first beyond the bound says so; further ones are counted alone.
            return Box::new(ready(Err(outbound::deny(Denied::Calls, span))));
        }
        self.trace.propagate(span.context(), request.headers_mut());
        let caller = Caller {
            passed: self.passed.clone(),
            guest: self.guest.clone(),
            repeats,
        };
        Box::new(Arc::clone(client).call(request, options, caller, span))
    }

    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        std::sync::Arc::new(is_forbidden)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn set_host_header(&mut self) -> bool {
        // The client sets it, where the protocol has it.
        false
    }
}

/// Headers of the connection, which are the host's: a guest neither sees nor
/// sets them. `Host` reaches the guest as the request's authority.
fn is_forbidden(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::HOST
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION
        | header::TRANSFER_ENCODING
        | header::UPGRADE => true,
        _ => matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use http::Request;

    use super::*;
    use crate::config::RequestLimits;
    use crate::guest_api::{GuestLimits, GuestSignals, GuestTelemetry};
    use crate::request::context::RequestContext;
    use crate::request::metrics::ServerMetrics;
    use crate::request::peer::{Peer, Scheme};
    use crate::request::tracer::ServerTracer;
    use fanlight_telemetry::{Telemetry, TelemetryConfig};

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    /// What the request of a guest carries that has set `guests` itself, where
    /// the guest's own request came with `came`.
    fn carries(
        list: &str,
        came: &[(&'static str, &str)],
        guests: &[(&'static str, &str)],
    ) -> Vec<String> {
        let vars = [("OTEL_SDK_DISABLED", "true"), ("OTEL_PROPAGATORS", list)];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let telemetry = Telemetry::init(&TelemetryConfig::from_vars(vars, "test")).unwrap();
        let metrics = Arc::new(ServerMetrics::new(&telemetry.meter(), None));
        let limits = RequestLimits::default();
        let tracer = Arc::new(ServerTracer::new(&telemetry, &limits, metrics));
        let mut request = Request::new(());
        *request.headers_mut() = headers(came);
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            scheme: Scheme::Http,
        };
        let request = RequestContext::start(&tracer, &request, peer);
        let signals = Arc::new(GuestSignals::new(&telemetry, GuestLimits::default()));
        let outbound = Outbound::new(GuestTelemetry::new(signals, request).onward());
        let mut headers = headers(guests);
        let span = outbound.trace.start_call(&Request::new(()), 0);
        let own = span.context().span_id().to_string();
        outbound.trace.propagate(span.context(), &mut headers);
        let lines = headers.iter().map(|(name, value)| {
            let value = value.to_str().unwrap().replace(&own, "OWN");
            format!("{name}: {value}")
        });
        let mut lines: Vec<_> = lines.collect();
        lines.sort();
        lines
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_guests_request_goes_on_with_the_trace_and_baggage_of_its_own() {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-03");
        let came = [
            ("traceparent", parent.as_str()),
            ("tracestate", "vendor=1"),
            ("baggage", "user=1"),
            ("baggage", "team=a%20b;p"),
        ];
        let guests = [
            (
                "traceparent",
                "00-11111111111111111111111111111111-2222222222222222-00",
            ),
            ("tracestate", "forged=1"),
            ("baggage", "forged=1"),
            ("accept", "*/*"),
        ];
        assert_eq!(
            carries("", &came, &guests),
            [
                "accept: */*".to_owned(),
                "baggage: user=1,team=a%20b;p".to_owned(),
                format!("traceparent: 00-{TRACE}-OWN-03"),
                "tracestate: vendor=1".to_owned(),
            ]
        );
    }

    #[test]
    fn an_unsampled_trace_goes_on_unsampled_and_a_debugged_one_debugged() {
        let unsampled = format!("{TRACE}-b7ad6b7169203331-0");
        assert_eq!(
            carries(
                "b3",
                &[("b3", unsampled.as_str())],
                &[("x-b3-sampled", "1")]
            ),
            [format!("b3: {TRACE}-OWN-0")]
        );
        let debugged = format!("{TRACE}-b7ad6b7169203331-d");
        assert_eq!(
            carries("b3", &[("b3", debugged.as_str())], &[]),
            [format!("b3: {TRACE}-OWN-d")]
        );
    }

    #[test]
    fn without_a_format_a_guests_own_headers_pass() {
        let own = [("traceparent", "anything"), ("baggage", "a=1")];
        assert_eq!(
            carries("none", &[("baggage", "b=2")], &own),
            ["baggage: a=1", "traceparent: anything"]
        );
    }
}
