//! The request that a new component has to answer before it is served.
//!
//! It runs as any request does, in a fresh instance with its own server span,
//! below the swap's; it counts in no metric of requests.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::SpanContext;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::component::slot::LoadedComponent;
use crate::config::{MemoryBounds, RequestLimits};
use crate::error::HandleError;
use crate::guest_api::{GuestLimits, GuestSignals, GuestTelemetry};
use crate::outbound::OutboundClient;
use crate::request::context::RequestContext;
use crate::request::metrics::ServerMetrics;
use crate::request::peer::{Peer, Scheme};
use crate::request::tracer::ServerTracer;
use crate::sandbox::call::GuestCall;
use crate::sandbox::load_error::{self, LoadError};
use crate::sandbox::store::State;
use fanlight_telemetry::Telemetry;
use fanlight_telemetry::propagation::PropagatedContext;

/// Asks a component for one path.
pub struct Probe {
    path: Uri,
    timeout: Duration,
    bounds: MemoryBounds,
    outbound: Option<Arc<OutboundClient>>,
    signals: Arc<GuestSignals>,
    tracer: Arc<ServerTracer>,
}

impl Probe {
    /// Makes one for a path, such as `/health`, that is to be answered with a
    /// status from 200 to 399, within the bounds of any request.
    pub fn new(
        path: Uri,
        limits: &RequestLimits,
        telemetry: &Telemetry,
        guests: GuestLimits,
        outbound: Option<Arc<OutboundClient>>,
    ) -> Self {
        // What is recorded without a reader goes nowhere.
        let nowhere = SdkMeterProvider::builder().build();
        let metrics = Arc::new(ServerMetrics::new(&nowhere.meter(""), None));
        Self {
            path,
            timeout: limits.request_timeout,
            bounds: limits.memory_bounds(),
            outbound,
            signals: Arc::new(GuestSignals::new(telemetry, guests)),
            tracer: Arc::new(ServerTracer::new(telemetry, limits, metrics)),
        }
    }

    /// Asks, and reads the answer to its end.
    ///
    /// # Errors
    /// Where another status, no whole answer, or none in time comes.
    pub(crate) async fn ask(
        &self,
        component: Arc<LoadedComponent>,
        parent: SpanContext,
    ) -> Result<(), LoadError> {
        let answered = tokio::time::timeout(self.timeout, self.answer(component, &parent)).await;
        let failed = |why| LoadError::Probe {
            path: self.path.to_string(),
            why,
        };
        match answered {
            Ok(Ok(status)) if (200..400).contains(&status) => Ok(()),
            Ok(Ok(status)) => Err(failed(format!("status {status}"))),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(failed(format!("no answer within {:?}", self.timeout))),
        }
    }

    async fn answer(
        &self,
        component: Arc<LoadedComponent>,
        parent: &SpanContext,
    ) -> Result<u16, String> {
        let mut request = Request::new(Empty::<Bytes>::new().map_err(no_error));
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static("fanlight-probe"),
        );
        let propagators = self.tracer.propagators();
        propagators.inject(parent, &PropagatedContext::default(), headers);
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            scheme: Scheme::Http,
        };
        let context = RequestContext::start_below(&self.tracer, parent, &request, peer);
        let telemetry = GuestTelemetry::new(Arc::clone(&self.signals), context.clone());
        let ticks = component.scheduler().run_handle().ticks();
        let mut state = State::new(telemetry, ticks, self.bounds);
        if let Some(outbound) = &self.outbound {
            state.allow_calls(outbound, request.headers());
        }
        let (head, body) = request.into_parts();
        let mut call = GuestCall::new(component, state, head, body);
        // Dropped with this future where the time is over: the span has the reason. The
        // guest, which is above it, goes after it.
        let mut ending = EndOnDrop { context, bytes: 0 };
        let response = call.response().await.map_err(|error| {
            ending.context.fail(&error);
            ending.context.span().set_status_code(error.status());
            reason(&error)
        })?;
        let status = response.status();
        ending.context.set_response(status, response.headers());
        let mut body = response.into_body();
        let mut running = true;
        loop {
            tokio::select! {
                biased;
                () = poll_fn(|context| call.poll_end(context)), if running => {
                    running = false;
                    if let Some(failure) = call.take_failure() {
                        ending.context.fail(&failure);
                        return Err(reason(&failure));
                    }
                }
                frame = body.frame() => match frame {
                    None => return Ok(status.as_u16()),
                    Some(Ok(frame)) => {
                        ending.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                    }
                    Some(Err(_)) => {
                        ending.context.fail(&HandleError::BodyAborted);
                        return Err(reason(&HandleError::BodyAborted));
                    }
                }
            }
        }
    }
}

/// An empty body has none.
fn no_error(never: std::convert::Infallible) -> wasmtime_wasi_http::Error {
    match never {}
}

/// An error and its sources, in one line.
fn reason(error: &HandleError) -> String {
    match std::error::Error::source(error) {
        Some(source) => load_error::text(format_args!("{error}: {source}")),
        None => error.to_string(),
    }
}

struct EndOnDrop {
    context: RequestContext,
    bytes: u64,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.context.end(self.bytes);
    }
}
