//! Accepts connections, serves requests on them, and drains both at the end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::component::ComponentSlot;
use crate::config::{RequestLimits, ServerLimits};
use crate::handler::Handler;
use crate::imports::GuestLimits;
use crate::telemetry::Telemetry;

/// The wait after the system refused a connection: for want of descriptors,
/// as a rule, which does not pass by asking again at once.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// The time that answers to requests that were told to stop have to get out.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Serves a component over HTTP/1.1 and HTTP/2.
pub struct Server {
    handler: Arc<Handler>,
    limits: ServerLimits,
    readiness: Readiness,
}

/// Whether the server takes requests, for whoever asks `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Whether it does.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }
}

impl Server {
    /// Makes a server for what the slot holds.
    pub fn new(
        slot: Arc<ComponentSlot>,
        telemetry: &Telemetry,
        requests: RequestLimits,
        limits: ServerLimits,
        guests: GuestLimits,
    ) -> Self {
        Self {
            handler: Arc::new(Handler::new(slot, telemetry, requests, guests)),
            limits,
            readiness: Readiness::default(),
        }
    }

    /// Whether it takes requests; it can be asked at any time.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until `shutdown` is ready, then drains: connections first, then
    /// guests that go on after their answers.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let connections = Connections {
            server: auto_builder(&self.limits),
            graceful: GracefulShutdown::new(),
            tasks: TaskTracker::new(),
            killed: CancellationToken::new(),
            permits: Arc::new(Semaphore::new(self.limits.max_connections)),
            handler: Arc::clone(&self.handler),
        };
        self.readiness.set(true);
        connections.accept_until(&listener, shutdown).await;
        self.readiness.set(false);
        self.handler.announce_close();
        if !self.limits.shutdown_delay.is_zero() {
            let delay = tokio::time::sleep(self.limits.shutdown_delay);
            connections.accept_until(&listener, delay).await;
        }
        drop(listener);
        let grace = tokio::time::Instant::now() + self.limits.shutdown_grace;
        connections.drain(grace).await;
        if tokio::time::timeout_at(grace, self.handler.drained())
            .await
            .is_err()
        {
            tracing::warn!("guests were still at work after their answers; they are ended");
        }
    }
}

fn auto_builder(limits: &ServerLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout);
    builder.http2().timer(TokioTimer::new());
    builder
}

/// The connections that are open.
struct Connections {
    server: auto::Builder<TokioExecutor>,
    graceful: GracefulShutdown,
    tasks: TaskTracker,
    killed: CancellationToken,
    permits: Arc<Semaphore>,
    handler: Arc<Handler>,
}

impl Connections {
    /// Accepts connections until `end` is ready.
    async fn accept_until(&self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            let permits = Arc::clone(&self.permits);
            let accepted = async move {
                // The semaphore is never closed, and without a permit none is lost.
                let permit = permits.acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                biased;
                () = &mut end => return,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.spawn(stream, peer, permit.ok()),
                // The client was gone before it was served.
                Err(error) if is_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::select! {
                        () = &mut end => return,
                        () = tokio::time::sleep(ACCEPT_BACKOFF) => {}
                    }
                }
            }
        }
    }

    fn spawn(
        &self,
        stream: TcpStream,
        peer: std::net::SocketAddr,
        permit: Option<tokio::sync::OwnedSemaphorePermit>,
    ) {
        // Answers are written whole; waiting for more to send only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let handler = Arc::clone(&self.handler);
        let service = service_fn(move |request| {
            let handler = Arc::clone(&handler);
            async move { handler.handle(request, peer).await }
        });
        let connection = self.server.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection.into_owned());
        let killed = self.killed.clone();
        let handler = Arc::clone(&self.handler);
        self.tasks.spawn(async move {
            let _permit = permit;
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    handler.metrics().connection_failed();
                    tracing::debug!(error = &*error, %peer, "a connection ended with an error");
                },
                () = killed.cancelled() => {}
            }
        });
    }

    /// Waits for running requests until `grace`, tells those that are left,
    /// and ends what then remains.
    async fn drain(self, grace: tokio::time::Instant) {
        self.tasks.close();
        let mut finished = pin!(self.graceful.shutdown());
        if tokio::time::timeout_at(grace, finished.as_mut())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = self.tasks.len(),
                "the time for draining is over; what still runs is ended"
            );
            self.handler.stop();
            // Whatever is not out by then has no reader.
            let _ = tokio::time::timeout(LAST_ANSWERS, finished).await;
        }
        self.killed.cancel();
        self.tasks.wait().await;
    }
}

fn is_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
