//! Accepts connections, serves requests on them, and drains both at the end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::component::slot::ComponentSlot;
use crate::config::{RequestLimits, ServerLimits};
use crate::guest_api::GuestLimits;
use crate::http::connection::Connections;
use crate::http::handler::Handler;
use crate::http::tls::Tls;
use crate::outbound::OutboundClient;
use crate::request::observer::RequestObserver;
use fanlight_telemetry::Telemetry;

/// The wait after the system refused a connection: for want of descriptors,
/// as a rule, which does not pass by asking again at once.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// How often the log repeats that.
const TELL_AGAIN: Duration = Duration::from_secs(30);
/// Connections that may wait to be accepted; the system's own bound on it, which
/// is 4,096 as a rule, holds as well. A client that finds no room tries again
/// after a second, and tokio's 128 are full after a moment of many clients.
const BACKLOG: u32 = 4096;
/// How much of an answer waits in the system unsent. Without a bound that is all
/// that a socket holds, four mebibytes as a rule, which takes more only when a
/// third of it is free: a client that reads a little all the time would be seen
/// to read nothing for as long as it takes it to read that.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 128 * 1024;
/// How long connections are accepted once the server drains, such as those whose
/// handshake is under way: the client takes one for made before the system gives
/// it to the server.
const LAST_CONNECTIONS: Duration = Duration::from_millis(100);
/// The time in which the last responses leave after the grace period, and guests
/// end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Serves a component over HTTP/1.1 and HTTP/2.
pub struct Server {
    handler: Arc<Handler>,
    connections: Connections,
    max_connections: usize,
    shutdown_grace: Duration,
    shutdown_delay: Duration,
    readiness: Readiness,
}

/// Whether the server takes requests, as `/readyz` reports.
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
        outbound: Option<Arc<OutboundClient>>,
    ) -> Self {
        let handler = Handler::new(slot, telemetry, requests.clone(), guests, outbound);
        let handler = Arc::new(handler);
        Self {
            connections: Connections::new(Arc::clone(&handler), &requests, &limits),
            handler,
            max_connections: limits.max_connections,
            shutdown_grace: limits.shutdown_grace,
            shutdown_delay: limits.shutdown_delay,
            readiness: Readiness::default(),
        }
    }

    /// Serves HTTPS and nothing else where there is a certificate.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.connections.tls = tls;
        self
    }

    /// Shows each request at its end to an observer, if there is one.
    #[must_use]
    pub fn with_observer(self, observer: Option<Arc<dyn RequestObserver>>) -> Self {
        if let Some(observer) = observer {
            self.handler.observe(observer);
        }
        self
    }

    /// Whether it takes requests; it can be asked at any time.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until `shutdown` is ready, then drains: connections first, then
    /// guests that go on after their answers.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let accepting = Accepting {
            connections: Arc::new(self.connections),
            tasks: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(self.max_connections)),
            trouble: AcceptTrouble::default(),
        };
        self.readiness.set(true);
        accepting.until(&listener, shutdown).await;
        self.readiness.set(false);
        self.handler.announce_close();
        let announced = tokio::time::Instant::now();
        if !self.shutdown_delay.is_zero() {
            let delay = tokio::time::sleep(self.shutdown_delay);
            accepting.until(&listener, delay).await;
        }
        let grace = tokio::time::Instant::now() + self.shutdown_grace;
        accepting.connections.drain(announced);
        refuse_handshakes(&listener);
        let last = tokio::time::sleep(LAST_CONNECTIONS);
        accepting.until(&listener, last).await;
        drop(listener);
        accepting.drain(grace, &self.handler).await;
        if tokio::time::timeout_at(grace, self.handler.drained())
            .await
            .is_err()
        {
            tracing::warn!("guests were still at work after their answers; they are ended");
            self.handler.stop();
            // What they left open is told before telemetry goes.
            let _ = tokio::time::timeout(LAST_ANSWERS, self.handler.drained()).await;
        }
    }
}

/// Listens at `address`.
///
/// # Errors
/// Where the system does not let it.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A server that starts again takes over from its old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Has the system drop what would begin a handshake. A listener that is closed
/// resets the connections that it has not accepted, whose clients may have sent
/// requests: after this there are no more of them to come. A client tries again
/// after a second, and is refused, or finds the next server.
fn refuse_handshakes(listener: &TcpListener) {
    #[cfg(target_os = "linux")]
    {
        use socket2::{SockFilter, SockRef};
        /// Where TCP's header has its flags, and those of a first segment.
        const FLAGS: u32 = 13;
        const SYN_AND_ACK: u32 = 0x12;
        const SYN: u32 = 0x02;
        /// Instructions of the classic BPF: load a byte, mask it, compare it, and
        /// return how many bytes of a segment are kept.
        const LOAD: u16 = 0x30;
        const AND: u16 = 0x54;
        const JUMP_IF_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        let filter = [
            SockFilter::new(LOAD, 0, 0, FLAGS),
            SockFilter::new(AND, 0, 0, SYN_AND_ACK),
            SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
        ];
        if let Err(error) = SockRef::from(listener).attach_filter(&filter) {
            tracing::debug!(%error, "cannot keep new connections off");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = listener;
}

/// Accepts connections and keeps account of them.
struct Accepting {
    connections: Arc<Connections>,
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    trouble: AcceptTrouble,
}

impl Accepting {
    /// Accepts connections until `end` is ready.
    async fn until(&self, listener: &TcpListener, end: impl Future<Output = ()>) {
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
                    self.trouble.tell(&error);
                    tokio::select! {
                        () = &mut end => return,
                        () = tokio::time::sleep(ACCEPT_BACKOFF) => {}
                    }
                }
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, permit: Option<OwnedSemaphorePermit>) {
        set_options(&stream);
        let connections = Arc::clone(&self.connections);
        self.tasks.spawn(async move {
            let _permit = permit;
            connections.serve(stream, peer).await;
        });
    }

    /// Waits for running requests until `grace`, tells those that are left,
    /// and ends what then remains.
    async fn drain(self, grace: tokio::time::Instant, handler: &Handler) {
        self.tasks.close();
        if tokio::time::timeout_at(grace, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = self.tasks.len(),
                "the time for draining is over; what still runs is ended"
            );
            handler.stop();
            // Whatever is not out by then has no reader.
            let _ = tokio::time::timeout(LAST_ANSWERS, self.tasks.wait()).await;
        }
        self.connections.end();
        self.tasks.wait().await;
    }
}

/// Sets what is better for answers than the system's defaults.
fn set_options(stream: &TcpStream) {
    // Answers are written whole; waiting for more to send only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES) {
        tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
    }
}

/// Logs that the system refuses connections: the first time, and then now and again
/// how often.
#[derive(Default)]
struct AcceptTrouble(Mutex<Option<Told>>);

struct Told {
    at: Instant,
    since: u64,
}

impl AcceptTrouble {
    fn tell(&self, error: &io::Error) {
        let mut told = self.0.lock();
        let now = Instant::now();
        match &mut *told {
            Some(told) if now - told.at < TELL_AGAIN => told.since += 1,
            told => {
                let since = told.take().map_or(0, |told| told.since);
                tracing::warn!(%error, since, "cannot accept a connection");
                *told = Some(Told { at: now, since: 0 });
            }
        }
    }
}

fn is_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
