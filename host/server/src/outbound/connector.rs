//! Connects to what the policy allows: the address that is checked is the one that is
//! connected to, so that a name cannot resolve to another one in between.

use std::error::Error;
use std::future::{Future, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::config::outbound::{Grant, OutboundPolicy, host};
use crate::outbound::failure::{Denied, Unresolved};

/// Makes connections over TCP.
#[derive(Clone)]
pub(crate) struct Connector {
    policy: OutboundPolicy,
    timeout: Duration,
    /// Connections that are kept for later calls.
    max_idle: usize,
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
    pub(crate) fn new(policy: OutboundPolicy, timeout: Duration, max_idle: usize) -> Self {
        Self {
            policy,
            timeout,
            max_idle,
            open: Arc::default(),
        }
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
            resolved: Arc::clone(&resolved),
        });
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.timeout));
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
            max_idle: self.max_idle,
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
        let Self { grant, resolved } = self.clone();
        if name.as_str().is_empty() {
            return Box::pin(ready(
                Err(Unresolved(io::ErrorKind::NotFound.into()).into()),
            ));
        }
        Box::pin(async move {
            // The connector sets the port.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found: Vec<_> = found.map_err(Unresolved)?.collect();
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

/// A connection, counted while it is open.
pub(crate) struct CountedStream {
    stream: TokioIo<TcpStream>,
    times: ConnectTimes,
    max_idle: usize,
    open: Arc<AtomicUsize>,
}

impl Connection for CountedStream {
    fn connected(&self) -> Connected {
        let connected = self.stream.connected().extra(self.times);
        // Beyond the bound it serves one call and is closed.
        if self.open.load(Ordering::Relaxed) > self.max_idle {
            connected.poison();
        }
        connected
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
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
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
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }
}
