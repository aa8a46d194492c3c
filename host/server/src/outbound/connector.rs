//! Connects to what the policy allows: the address that is checked is the one that is
//! connected to, so that a name cannot resolve to another one in between.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tower_service::Service;

use crate::config::outbound::{Grant, OutboundLimits, OutboundPolicy, host};
use crate::outbound::failure::{Denied, Unresolved};

/// Names that are resolved at once. The system's resolver holds a thread for each, which
/// other work of the host waits for as well.
const MAX_LOOKUPS: usize = 64;

/// Makes connections over TCP.
#[derive(Clone)]
pub(crate) struct Connector {
    policy: OutboundPolicy,
    limits: OutboundLimits,
    lookups: Arc<Semaphore>,
    open: Arc<AtomicUsize>,
}

/// When the steps of a connection were done, and with whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectTimes {
    pub(crate) begun: Instant,
    /// None for an address, which is not resolved.
    pub(crate) resolved: Option<Instant>,
    pub(crate) connected: Instant,
    pub(crate) peer: Option<SocketAddr>,
}

impl Connector {
    pub(crate) fn new(policy: OutboundPolicy, limits: OutboundLimits) -> Self {
        Self {
            policy,
            limits,
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            open: Arc::default(),
        }
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    async fn connect(self, uri: Uri) -> Result<CountedStream, Box<dyn Error + Send + Sync>> {
        let begun = Instant::now();
        let grant = self.policy.grant(&uri).ok_or(Denied::Origin)?;
        // What the connector below does not resolve it does not have checked.
        let literal: Option<IpAddr> = host(&uri).and_then(|host| host.parse().ok());
        if let Some(address) = literal.filter(|it| !grant.allows(*it)) {
            return Err(Denied::Address(address).into());
        }
        let resolved = Arc::new(OnceLock::new());
        let mut connector = HttpConnector::new_with_resolver(CheckedResolver {
            grant,
            lookups: self.lookups,
            resolved: Arc::clone(&resolved),
        });
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.limits.connect_timeout));
        let stream = connector.call(uri).await?;
        let times = ConnectTimes {
            begun,
            resolved: resolved.get().copied(),
            connected: Instant::now(),
            peer: stream.inner().peer_addr().ok(),
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(CountedStream {
            stream,
            times,
            patience: self.limits.between_bytes_timeout,
            waits: None,
            open: self.open,
        })
    }
}

impl Service<Uri> for Connector {
    type Response = CountedStream;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<CountedStream, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// Resolves names by the system, and leaves out addresses that are not allowed.
#[derive(Clone)]
struct CheckedResolver {
    grant: Grant,
    lookups: Arc<Semaphore>,
    resolved: Arc<OnceLock<Instant>>,
}

type Addresses = std::vec::IntoIter<SocketAddr>;

impl Service<Name> for CheckedResolver {
    type Response = Addresses;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Addresses, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self {
            grant,
            lookups,
            resolved,
        } = self.clone();
        Box::pin(async move {
            let permit = lookups.acquire_owned().await?;
            let found = tokio::task::spawn_blocking(move || {
                // Until the lookup ends, which no caller's departure ends.
                let _permit = permit;
                // The connector sets the port.
                let found = (name.as_str(), 0).to_socket_addrs()?;
                Ok(found.collect::<Vec<_>>())
            });
            let found = found.await?.map_err(Unresolved)?;
            let _ = resolved.set(Instant::now());
            let allowed: Vec<_> = found
                .iter()
                .copied()
                .filter(|it| grant.allows(it.ip()))
                .collect();
            match found.first() {
                None => Err(Unresolved(io::ErrorKind::NotFound.into()).into()),
                Some(first) if allowed.is_empty() => Err(Denied::Address(first.ip()).into()),
                Some(_) => Ok(allowed.into_iter()),
            }
        })
    }
}

/// A connection, counted while it is open. A write that the other side does not take in
/// time ends it: the pooled client itself would wait for ever, also after the call.
pub(crate) struct CountedStream {
    stream: TokioIo<TcpStream>,
    times: ConnectTimes,
    patience: Duration,
    /// Made when a write first has to wait.
    waits: Option<Pin<Box<Sleep>>>,
    open: Arc<AtomicUsize>,
}

impl CountedStream {
    /// Ends a write that waits for too long.
    fn patiently<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let patience = self.patience;
        let waits = self
            .waits
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waits.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Connection for CountedStream {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.times)
    }
}

impl Drop for CountedStream {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Read for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patiently(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.patiently(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.patiently(written, context)
    }
}
