//! One connection's life: its first bytes, its requests, its end.
//!
//! A watchdog bounds the choice of a protocol, a head, the time between two requests,
//! and a body that moves no bytes. It has one timer a connection; hyper's own timer
//! for heads, one a request, is off. A connection without an open request for
//! `--header-timeout` is asked to close (`connection: close`, or GOAWAY), and is
//! ended a second later. Bytes written count as progress only while they may belong
//! to responses: PING and SETTINGS keep no idle HTTP/2 connection open.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{RequestLimits, ServerLimits};
use crate::http::body::idle::IdleTimeoutBody;
use crate::http::body::watched::WatchedBody;
use crate::http::date;
use crate::http::handler::Handler;
use crate::http::io::WatchedIo;
use crate::http::tls::Tls;
use crate::http::validate;
use crate::http::watchdog::{ConnectionMonitor, Verdict};
use crate::request::peer::{Peer, Scheme};

/// The header fields that hyper takes without allocating for them.
const HYPERS_HEADERS: usize = 100;
/// Streams of one HTTP/2 connection at once; RFC 9113 §6.5.2 recommends no
/// fewer than 100.
const MAX_CONCURRENT_STREAMS: u32 = 200;
/// What HTTP/2 holds of an answer that the client's window has no room for.
const MAX_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// The time that an idle connection has to close after it was asked to.
const CLOSING: Duration = Duration::from_secs(1);
/// How long a connection of HTTP/1.1 stays open without a request once the server
/// drains. Only an answer can tell its client to ask elsewhere, so the next
/// request has an answer still, which says `connection: close`; a client that is
/// busy asks within its round-trip time. A handshake may take as long.
const ANNOUNCEMENT: Duration = Duration::from_secs(1);

/// Serves connections.
pub(crate) struct Connections {
    builder: auto::Builder<TokioExecutor>,
    limits: ServerLimits,
    handler: Arc<Handler>,
    phase: watch::Sender<Phase>,
    /// Without a certificate, HTTP is served.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// How hyper says that a connection failed.
type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

/// Where the server is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Requests that were begun are served, and the next one of a connection of
    /// HTTP/1.1, for which answers have said `connection: close` since then.
    Draining(Instant),
    /// What still runs is ended.
    Ended,
}

impl Connections {
    pub(crate) fn new(
        handler: Arc<Handler>,
        requests: &RequestLimits,
        limits: &ServerLimits,
    ) -> Self {
        Self {
            builder: builder(requests),
            limits: limits.clone(),
            handler,
            phase: watch::Sender::new(Phase::Serving),
            tls: None,
        }
    }

    /// Serves one to its end.
    ///
    /// # Cancel safety
    /// Dropped, it ends the connection and the guests of its requests.
    pub(crate) async fn serve(self: Arc<Self>, stream: TcpStream, address: SocketAddr) {
        let monitor = Arc::new(ConnectionMonitor::new());
        let own = stream.local_addr().ok();
        let stream = WatchedIo::new(stream, Arc::clone(&monitor));
        let Some(tls) = &self.tls else {
            let scheme = Scheme::Http;
            return self
                .serve_on(stream, monitor, own, Peer { address, scheme })
                .await;
        };
        // Boxed, so that connections without TLS are not as large.
        Box::pin(self.serve_securely(tls, stream, monitor, own, address)).await;
    }

    /// Makes the handshake and serves what comes after it. Once the server drains
    /// a handshake has no more time than an idle connection has.
    async fn serve_securely(
        &self,
        tls: &Tls,
        stream: WatchedIo,
        monitor: Arc<ConnectionMonitor>,
        own: Option<SocketAddr>,
        address: SocketAddr,
    ) {
        let mut phases = self.phase.subscribe();
        let drained = async {
            let phase = reached(&mut phases, |phase| phase != Phase::Serving).await;
            if phase != Phase::Ended {
                tokio::time::sleep(ANNOUNCEMENT).await;
            }
        };
        let made = tokio::select! {
            made = tls.accept(stream, self.limits.header_timeout) => made,
            () = drained => return,
        };
        monitor.handshake_ends();
        let scheme = Scheme::Https;
        match made {
            Ok(Some(stream)) => {
                self.serve_on(stream, monitor, own, Peer { address, scheme })
                    .await
            }
            Ok(None) => {}
            Err(error) => {
                self.handler.metrics().connection_failed();
                tracing::debug!(%error, peer = %address, "a handshake failed");
            }
        }
    }

    /// Serves requests; those of HTTP/1.0 that name no host are for `own`.
    async fn serve_on<S>(
        &self,
        stream: S,
        monitor: Arc<ConnectionMonitor>,
        own: Option<SocketAddr>,
        peer: Peer,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        let (handler, opened) = (Arc::clone(&self.handler), Arc::clone(&monitor));
        let service = service_fn(move |mut request: Request<Incoming>| {
            validate::name_host(&mut request, own);
            let handler = Arc::clone(&handler);
            let open = opened.open(request.version());
            // Now: hyper drops the future before it is polled where the client
            // has said meanwhile that it will send no more.
            let guard = handler.begin(&request, peer);
            let request = request.map(|body| WatchedBody::new(body, &opened));
            async move {
                let response = handler.handle(request, guard).await;
                response.map(|mut response| {
                    let headers = response.headers_mut();
                    date::set(headers);
                    // Its body was given up: what comes next is no request.
                    if open.monitor().is_unread() {
                        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    response.map(|body| IdleTimeoutBody::new(body, open))
                })
            }
        });
        let connection = self.builder.serve_connection(io, service);
        if let Err(error) = self.watch(connection, &monitor).await {
            self.handler.metrics().connection_failed();
            tracing::debug!(error = &*error, peer = %peer.address, "a connection ended with an error");
        }
    }

    /// Polls a connection and looks after it until it ends.
    async fn watch<C>(
        &self,
        connection: C,
        monitor: &ConnectionMonitor,
    ) -> Result<(), ConnectionError>
    where
        C: GracefulConnection<Error = ConnectionError>,
    {
        let mut connection = pin!(connection);
        let mut phases = self.phase.subscribe();
        let mut check = pin!(tokio::time::sleep(self.limits.shortest()));
        let mut closing = false;
        let mut draining = None;
        loop {
            // A flood that uses up the task's share of work must not keep the
            // watchdog from its own: it is asked first.
            tokio::select! {
                biased;
                phase = reached(&mut phases, |phase| match phase {
                    Phase::Serving => false,
                    Phase::Draining(_) => draining.is_none(),
                    Phase::Ended => true,
                }) => match phase {
                    // GOAWAY says which requests are served.
                    Phase::Draining(announced) if monitor.is_http2() => {
                        draining = Some(announced);
                        closing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    Phase::Draining(announced) => {
                        draining = Some(announced);
                        check.as_mut().reset(Instant::now());
                    }
                    _ => return Ok(()),
                },
                () = check.as_mut() => {
                    if draining.is_some() {
                        // hyper closes an idle connection even where bytes have
                        // come: they are read before.
                        let polled = poll_fn(|context| {
                            Poll::Ready(connection.as_mut().poll(context))
                        });
                        if let Poll::Ready(ended) = polled.await {
                            return end_of(ended, monitor);
                        }
                    }
                    let announced = draining.filter(|_| !closing);
                    let next = match monitor.check(&self.limits) {
                        Verdict::Well(next) => match announced {
                            None => next,
                            Some(announced) => match monitor.silence_left(announced, ANNOUNCEMENT) {
                                Some(Duration::ZERO) => {
                                    closing = true;
                                    connection.as_mut().graceful_shutdown();
                                    next
                                }
                                // It may fall silent at any time.
                                left => next.min(left.unwrap_or(ANNOUNCEMENT)),
                            },
                        },
                        Verdict::Idle if !closing => {
                            closing = true;
                            connection.as_mut().graceful_shutdown();
                            CLOSING
                        }
                        // It has a part of a head, or it would be closed by now.
                        Verdict::Idle => {
                            self.handler.metrics().connection_failed();
                            return Ok(());
                        }
                        Verdict::Stuck => return Ok(()),
                    };
                    check.as_mut().reset(Instant::now() + next);
                }
                ended = connection.as_mut() => return end_of(ended, monitor),
            }
        }
    }

    /// Has every connection end with the requests that were begun, or with the
    /// next one. Since `announced` answers have told clients to ask elsewhere.
    pub(crate) fn drain(&self, announced: Instant) {
        self.phase.send_replace(Phase::Draining(announced));
    }

    /// Ends every connection.
    pub(crate) fn end(&self) {
        self.phase.send_replace(Phase::Ended);
    }
}

/// Waits for a phase.
async fn reached(
    phases: &mut watch::Receiver<Phase>,
    mut is_it: impl FnMut(Phase) -> bool,
) -> Phase {
    let phase = phases.wait_for(|phase| is_it(*phase)).await;
    // Without its server a connection is at its end.
    phase.map_or(Phase::Ended, |phase| *phase)
}

/// The result of a connection that ended by itself.
fn end_of(
    ended: Result<(), ConnectionError>,
    monitor: &ConnectionMonitor,
) -> Result<(), ConnectionError> {
    match ended {
        // Its requests tell of it.
        Err(error) if is_told(&*error, monitor.is_open()) => Ok(()),
        ended => ended,
    }
}

/// Whether a request tells of it: the answer's body failed, or the client went away
/// while one was open, rather than that it said what cannot be.
fn is_told(error: &(dyn std::error::Error + 'static), is_open: bool) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let hyper = cause.downcast_ref::<hyper::Error>();
        let is_incomplete = hyper.is_some_and(hyper::Error::is_incomplete_message);
        // TLS says `UnexpectedEof` of an end without a word.
        let is_gone = cause.downcast_ref().is_some_and(|it: &std::io::Error| {
            matches!(
                it.kind(),
                ErrorKind::BrokenPipe
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::ConnectionReset
                    | ErrorKind::UnexpectedEof
            )
        });
        hyper.is_some_and(hyper::Error::is_user) || is_open && (is_incomplete || is_gone)
    })
}

fn builder(requests: &RequestLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let mut http1 = builder.http1();
    http1
        // The watchdog's to say: hyper would make a timer for each request.
        .header_read_timeout(None)
        .max_buf_size(requests.max_header_bytes);
    // Told its own default, hyper would allocate for each request.
    if requests.max_headers != HYPERS_HEADERS {
        http1.max_headers(requests.max_headers);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(requests.max_header_bytes).unwrap_or(u32::MAX));
    builder
}
