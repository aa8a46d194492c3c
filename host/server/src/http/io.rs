//! The bytes of a connection, and a note for the watchdog of those that move to
//! the client. Changes nothing on their way, and closes a connection such that
//! the last answer arrives.
//!
//! It stands below TLS, which takes bytes that it cannot pass on yet.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::body::drain::{PIECE_TIME, TIME};
use crate::http::watchdog::ConnectionMonitor;

/// The most bytes that are discarded while a connection closes.
const MAX_DISCARDED_BYTES: usize = 256 * 1024 * 1024;
/// Bytes that are discarded at once.
const DISCARDED_AT_ONCE: usize = 16 * 1024;

/// A connection whose reads and writes are noted.
///
/// A socket that is closed while bytes of the client are unread, or on their way,
/// is reset, and the client's system drops the answer with it. So `shutdown` ends
/// the direction to the client first, and then discards what the client still
/// sends, until the client closes as well or a bound passes (RFC 9112, 9.6). It
/// does so only where the client may be sending.
pub(crate) struct WatchedIo {
    inner: TcpStream,
    monitor: Arc<ConnectionMonitor>,
    closing: Option<Closing>,
}

/// The state of a connection that is closed to the client, and still read.
struct Closing {
    /// The end of [`TIME`].
    end: Instant,
    /// The end of [`PIECE_TIME`] after the last bytes.
    piece_end: Instant,
    discarded: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

impl WatchedIo {
    pub(crate) fn new(inner: TcpStream, monitor: Arc<ConnectionMonitor>) -> Self {
        Self {
            inner,
            monitor,
            closing: None,
        }
    }

    pub(crate) fn inner(&self) -> &TcpStream {
        &self.inner
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) if *bytes > 0 => self.monitor.wrote(*bytes),
            Poll::Ready(_) => {}
            Poll::Pending => self.monitor.write_waits(),
        }
        written
    }
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.monitor.read();
        }
        read
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, buffers);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let closing = match &mut this.closing {
            Some(closing) => closing,
            none => {
                ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
                none.insert(Closing::new())
            }
        };
        closing
            .poll(&mut this.inner, &this.monitor, context)
            .map(Ok)
    }
}

impl Closing {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            end: now + TIME,
            piece_end: now + PIECE_TIME,
            discarded: 0,
            timer: None,
        }
    }

    /// Discards what the client sends; ready once the socket can be closed.
    fn poll(
        &mut self,
        socket: &mut TcpStream,
        monitor: &ConnectionMonitor,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut bytes = [0; DISCARDED_AT_ONCE];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = Pin::new(&mut *socket).poll_read(context, &mut buffer);
            match (read, buffer.filled().len()) {
                // The client has closed it, or reset it.
                (Poll::Ready(Err(_)), _) | (Poll::Ready(Ok(())), 0) => return Poll::Ready(()),
                (Poll::Ready(Ok(())), bytes) => {
                    self.discarded += bytes;
                    self.piece_end = Instant::now() + PIECE_TIME;
                    if self.discarded > MAX_DISCARDED_BYTES || Instant::now() >= self.end {
                        return Poll::Ready(());
                    }
                }
                (Poll::Pending, _) => break,
            }
        }
        if self.discarded == 0 && !monitor.may_send() {
            return Poll::Ready(());
        }
        // The bounds are kept here: the watchdog's own do not hold for it.
        monitor.closes();
        let at = self.piece_end.min(self.end);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(context)
    }
}
