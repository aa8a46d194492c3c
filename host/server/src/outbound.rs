//! The calls that guests make: what is allowed, the client they share, their spans.
//!
//! A call is a future of its guest: it ends with the guest, wherever it stands.

mod body;
mod bounded_connect;
mod connector;
pub(crate) mod failure;
pub(crate) mod guest_life;
mod metrics;
pub(crate) mod repeats;
mod roots;
mod running_call;

pub use roots::RootsError;
pub(crate) use running_call::deny;

use std::fmt;
use std::future::{Future, ready};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::config::outbound::{OutboundLimits, OutboundPolicy, host, port};
use crate::outbound::body::{RequestBody, ResponseBody};
use crate::outbound::bounded_connect::BoundedConnect;
use crate::outbound::connector::Connector;
use crate::outbound::failure::{CallFailure, Denied};
use crate::outbound::guest_life::GuestLife;
use crate::outbound::metrics::ClientMetrics;
use crate::outbound::repeats::Repeats;
use crate::outbound::running_call::RunningCall;
use crate::request::authority;
use crate::request::client_span::ClientSpan;
use fanlight_telemetry::Telemetry;

/// By which a host recognises a call that has come from itself (RFC 8586).
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// How long a connection is kept without a call.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// What is held of a response that its guest does not read.
const UNREAD_BYTES: u32 = 256 * 1024;
/// The same of all responses on a connection of HTTP/2: of some hundred, so that those
/// which are not read leave room to the others.
const UNREAD_BYTES_IN_ALL: u32 = 64 * 1024 * 1024;
/// How often a connection of HTTP/2 with calls is asked whether it is alive, and how long
/// it has for the answer.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// What the engine's call returns: the response, and what drives its connection.
pub(crate) type Sent = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

/// The client that all guests share.
pub struct OutboundClient {
    policy: OutboundPolicy,
    limits: OutboundLimits,
    client: Client<BoundedConnect<HttpsConnector<Connector>>, RequestBody>,
    /// For how many connections are open.
    connector: Connector,
    places: Arc<Semaphore>,
    metrics: Arc<ClientMetrics>,
    /// This host in `CDN-Loop`.
    id: String,
}

impl OutboundClient {
    /// Makes a client that trusts the platform's certificates, and those of `ca_file`.
    ///
    /// # Errors
    /// Where the file has no certificate that can be used.
    pub fn new(
        policy: OutboundPolicy,
        limits: OutboundLimits,
        ca_file: Option<&Path>,
        telemetry: &Telemetry,
    ) -> Result<Self, RootsError> {
        let connector = Connector::new(policy.clone(), limits);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots::roots(ca_file)?)
            .with_no_client_auth();
        let secure = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector.clone());
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(UNREAD_BYTES as usize)
            .http2_initial_stream_window_size(UNREAD_BYTES)
            .http2_initial_connection_window_size(UNREAD_BYTES_IN_ALL)
            .http2_keep_alive_interval(ALIVE_EVERY)
            .http2_keep_alive_timeout(ALIVE_EVERY)
            .build(BoundedConnect::new(secure, limits.connect_timeout));
        Ok(Self {
            policy,
            limits,
            client,
            connector,
            places: Arc::new(Semaphore::new(limits.calls)),
            metrics: Arc::new(ClientMetrics::new(&telemetry.meter())),
            // The system's random numbers are its keys.
            id: format!("fanlight-{:016x}", RandomState::new().hash_one(())),
        })
    }

    /// How many calls one request's guest may make.
    pub(crate) fn calls_per_request(&self) -> u32 {
        self.limits.calls_per_request
    }

    /// Whether a request has passed this host before.
    pub(crate) fn is_loop(&self, headers: &HeaderMap) -> bool {
        headers.get_all(CDN_LOOP).iter().any(|value| {
            value.as_bytes().split(|it| *it == b',').any(|member| {
                let id = member.split(|it| *it == b';').next().unwrap_or_default();
                id.trim_ascii() == self.id.as_bytes()
            })
        })
    }

    /// Adds this host to those that a request has passed.
    fn mark(&self, came: &[HeaderValue], headers: &mut HeaderMap) {
        headers.remove(CDN_LOOP);
        for value in came {
            headers.append(CDN_LOOP, value.clone());
        }
        if let Ok(own) = HeaderValue::from_str(&self.id) {
            headers.append(CDN_LOOP, own);
        }
    }

    /// Makes a call.
    ///
    /// # Cancel safety
    /// Dropped, it closes the call's connection, or resets its stream.
    pub(crate) async fn call(
        self: Arc<Self>,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        caller: Caller,
        span: ClientSpan,
    ) -> Sent {
        let repeats = &caller.repeats;
        let target = repeats.target(&request);
        self.mark(&caller.passed, request.headers_mut());
        let sent = Arc::new(AtomicU64::new(0));
        let options = self.bounded(options.unwrap_or_default());
        let mut running = RunningCall::begin(span, Arc::clone(&self.metrics));
        let made = self.send(request, &options, &caller.guest, &sent, &mut running);
        match made.await {
            Ok((response, place)) => {
                repeats.ended(target, response.status());
                let labels = running.respond(response.status(), response.version());
                let call = self.metrics.ended(labels, running.elapsed(), sent);
                let response = response.map(|incoming| {
                    ResponseBody::new(incoming, options.between_bytes, call, place).boxed_unsync()
                });
                Ok((response, Box::new(ready(Ok(())))))
            }
            Err(failure) => {
                repeats.failed(target);
                Err(running.fail(failure))
            }
        }
    }

    async fn send(
        &self,
        mut request: Request<WasiBody>,
        options: &Timeouts,
        guest: &GuestLife,
        sent: &Arc<AtomicU64>,
        running: &mut RunningCall,
    ) -> Result<(Response<Incoming>, Arc<OwnedSemaphorePermit>), CallFailure> {
        let authority = request.uri().authority();
        if !authority.is_some_and(authority::is_of_http) {
            return Err(CallFailure::InvalidUri);
        }
        if request.method() == Method::CONNECT {
            return Err(CallFailure::Client(ErrorCode::HttpRequestMethodInvalid));
        }
        // Before a name is resolved, which tells its server of the call.
        if self.policy.grant(request.uri()).is_none() {
            return Err(CallFailure::Denied(Denied::Origin));
        }
        // Each spelling would have connections of its own.
        *request.uri_mut() = canonical(request.uri()).ok_or(CallFailure::InvalidUri)?;
        let connecting = tokio::time::sleep(options.connect);
        let mut connecting = pin!(connecting);
        let place = tokio::select! {
            biased;
            place = Arc::clone(&self.places).acquire_owned() => place,
            () = &mut connecting => return Err(CallFailure::Crowded),
        };
        // The semaphore is never closed.
        let place = Arc::new(place.map_err(|_| CallFailure::Crowded)?);
        let mut request = request.map(|body| {
            RequestBody::new(body, Arc::clone(sent), guest.clone(), Arc::clone(&place))
        });
        let mut captured = capture_connection(&mut request);
        let mut response = pin!(self.client.request(request));
        let called_at = Instant::now();
        let mut answered = None;
        tokio::select! {
            biased;
            response = &mut response => answered = Some(response),
            _ = async { captured.wait_for_connection_metadata().await.is_some() } => {}
            () = &mut connecting => return Err(CallFailure::ConnectTimeout),
        }
        self.bound_idle(&captured);
        running.record_connection(&captured, called_at);
        let answered = match answered {
            Some(answered) => answered,
            None => match tokio::time::timeout(options.first_byte, response).await {
                Ok(answered) => answered,
                Err(_) => return Err(CallFailure::FirstByteTimeout),
            },
        };
        match answered {
            Ok(response) if response.status().is_informational() => {
                Err(CallFailure::Client(ErrorCode::HttpUpgradeFailed))
            }
            Ok(response) => Ok((response, place)),
            Err(error) => Err(CallFailure::of(&error)),
        }
    }

    /// Has a connection serve this call alone where more are open than may be kept. One
    /// of HTTP/2 is shared, and is one for all calls of its origin.
    fn bound_idle(&self, captured: &CaptureConnection) {
        let calls = self.limits.calls - self.places.available_permits().min(self.limits.calls);
        if self.connector.open() > self.limits.idle_connections + calls
            && let Some(connected) = &*captured.connection_metadata()
            && !connected.is_negotiated_h2()
        {
            connected.poison();
        }
    }

    /// What the guest asks for, within the host's bounds.
    fn bounded(&self, asked: RequestOptions) -> Timeouts {
        let within =
            |asked: Option<Duration>, most: Duration| asked.map_or(most, |it| it.min(most));
        Timeouts {
            connect: within(asked.connect_timeout, self.limits.connect_timeout),
            first_byte: within(asked.first_byte_timeout, self.limits.first_byte_timeout),
            between_bytes: within(
                asked.between_bytes_timeout,
                self.limits.between_bytes_timeout,
            ),
        }
    }
}

impl fmt::Debug for OutboundClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundClient")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// How long the steps of one call may take.
struct Timeouts {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

/// Who makes a call.
pub(crate) struct Caller {
    /// What the request has passed on its way here, as `CDN-Loop` has it.
    pub(crate) passed: Vec<HeaderValue>,
    pub(crate) guest: GuestLife,
    pub(crate) repeats: Arc<Repeats>,
}

/// The URI with its host in one spelling, and without its scheme's own port.
fn canonical(uri: &Uri) -> Option<Uri> {
    let (host, port) = (host(uri)?, port(uri)?);
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host,
    };
    let is_default = matches!(
        (uri.scheme_str(), port),
        (Some("http"), 80) | (Some("https"), 443)
    );
    let authority = match is_default {
        true => host,
        false => format!("{host}:{port}"),
    };
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(authority.parse().ok()?);
    Uri::from_parts(parts).ok()
}
