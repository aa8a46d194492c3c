//! The calls that guests make: what is allowed, the client they share, their spans.
//!
//! A call is a future of its guest: it ends with the guest, wherever it stands.

mod body;
mod connector;
pub(crate) mod failure;
mod metrics;
pub(crate) mod repeats;

use std::fmt;
use std::future::{Future, ready};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::config::outbound::{OutboundLimits, OutboundPolicy};
use crate::error::ErrorCodeError;
use crate::outbound::body::{CountedBody, ResponseBody};
use crate::outbound::connector::{ConnectTimes, Connector};
use crate::outbound::failure::{CallFailure, Denied};
use crate::outbound::metrics::ClientMetrics;
use crate::outbound::repeats::Repeats;
use crate::request::authority;
use crate::request::client_span::ClientSpan;
use fanlight_telemetry::Telemetry;

/// By which a host recognises a call that has come from itself (RFC 8586).
pub(crate) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// How long a connection is kept without a call.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

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
    client: Client<HttpsConnector<Connector>, CountedBody>,
    places: Arc<Semaphore>,
    metrics: Arc<ClientMetrics>,
    /// This host in `CDN-Loop`.
    id: String,
}

/// Certificates that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read, or is no PEM.
    #[error("cannot read certificates")]
    Read(#[from] rustls::pki_types::pem::Error),
    /// The file holds no certificate.
    #[error("the file holds no certificate")]
    None,
    /// A certificate is not valid.
    #[error("a certificate cannot be used")]
    Invalid(#[from] rustls::Error),
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
        let connector = Connector::new(
            policy.clone(),
            limits.connect_timeout,
            limits.idle_connections,
        );
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(ca_file)?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Ok(Self {
            policy,
            limits,
            client,
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
        came: Vec<HeaderValue>,
        mut span: ClientSpan,
        repeats: Arc<Repeats>,
    ) -> Sent {
        let begun = Instant::now();
        let target = repeats.target(&request);
        self.mark(&came, request.headers_mut());
        let sent = Arc::new(AtomicU64::new(0));
        let request = request.map(|body| CountedBody::new(body, Arc::clone(&sent)));
        let options = self.bounded(options.unwrap_or_default());
        match self.send(request, &options, &mut span).await {
            Ok((response, place)) => {
                repeats.ended(target, response.status());
                let labels = span.respond(response.status(), response.version());
                let call = self.metrics.ended(labels, begun.elapsed(), sent);
                let response = response.map(|incoming| {
                    ResponseBody::new(incoming, options.between_bytes, call, place).boxed_unsync()
                });
                Ok((response, Box::new(ready(Ok(())))))
            }
            Err(failure) => {
                repeats.failed(target);
                let error = end_with(failure, span, |labels| {
                    self.metrics.failed(&labels, begun.elapsed());
                });
                Err(error)
            }
        }
    }

    async fn send(
        &self,
        mut request: Request<CountedBody>,
        options: &Timeouts,
        span: &mut ClientSpan,
    ) -> Result<(Response<Incoming>, OwnedSemaphorePermit), CallFailure> {
        let authority = request.uri().authority();
        if !authority.is_some_and(authority::is_of_http) {
            return Err(CallFailure::InvalidUri);
        }
        // Before a name is resolved, which tells its server of the call.
        if self.policy.grant(request.uri()).is_none() {
            return Err(CallFailure::Denied(Denied::Origin));
        }
        let connecting = tokio::time::sleep(options.connect);
        let mut connecting = pin!(connecting);
        let place = tokio::select! {
            biased;
            place = Arc::clone(&self.places).acquire_owned() => place,
            () = &mut connecting => return Err(CallFailure::Crowded),
        };
        // The semaphore is never closed.
        let place = place.map_err(|_| CallFailure::Crowded)?;
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
        record_connection(&captured, called_at, span);
        let answered = match answered {
            Some(answered) => answered,
            None => match tokio::time::timeout(options.first_byte, response).await {
                Ok(answered) => answered,
                Err(_) => return Err(CallFailure::FirstByteTimeout),
            },
        };
        match answered {
            Ok(response) => Ok((response, place)),
            Err(error) => Err(CallFailure::of(&error)),
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

/// A call that no client makes, since nothing is allowed or the request's guest has made
/// its calls.
pub(crate) fn deny(why: Denied, span: ClientSpan) -> Error {
    end_with(CallFailure::Denied(why), span, drop)
}

/// Ends the span of a call that failed; gives what the guest receives.
fn end_with(
    failure: CallFailure,
    mut span: ClientSpan,
    record: impl FnOnce(Vec<opentelemetry::KeyValue>),
) -> Error {
    let denied = failure.denied();
    let code = ErrorCodeError(failure.into());
    let why = match denied {
        Some(denied) => {
            span.denied_by(denied.rule());
            denied.to_string()
        }
        None => code.to_string(),
    };
    let labels = span.fail(code.name(), why);
    // The host of a denied call is the guest's to choose, and would be a series each time.
    if denied.is_none() {
        record(labels);
    }
    code.0.into()
}

/// Records with whom the call's connection is, and its steps where the call waited for
/// them: a connection may be older.
fn record_connection(captured: &CaptureConnection, called_at: Instant, span: &mut ClientSpan) {
    let metadata = captured.connection_metadata();
    let Some(times) = metadata.as_ref().and_then(times_of) else {
        return;
    };
    if let Some(peer) = times.peer {
        span.connected_to(peer);
    }
    if times.begun < called_at {
        return;
    }
    if let Some(resolved) = times.resolved {
        span.add_event("dns.resolved", resolved);
    }
    span.add_event("tcp.connected", times.connected);
    // With TLS, after the handshake.
    span.add_event("connection.ready", Instant::now());
}

fn times_of(connected: &Connected) -> Option<ConnectTimes> {
    let mut extensions = http::Extensions::new();
    connected.get_extras(&mut extensions);
    extensions.remove()
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate of the platform cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    if let Some(file) = ca_file {
        let mut added = 0;
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
            added += 1;
        }
        if added == 0 {
            return Err(RootsError::None);
        }
    }
    Ok(roots)
}
