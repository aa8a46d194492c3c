//! A request body whose unused rest is read to its end.
//!
//! A client that writes all of its request before it reads finds the answer only
//! if the connection stands until then: one that is closed while bytes come in is
//! reset, and what was answered is lost with it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long is waited for the next piece, and for all of them: nginx's
/// `lingering_timeout` and `lingering_time`.
pub(crate) const PIECE_TIME: Duration = Duration::from_secs(5);
pub(crate) const TIME: Duration = Duration::from_secs(30);

/// How much is read of a body of HTTP/1.1 that no guest reads. Its client may
/// write all of it before it reads the response, and then asks again.
const MAX_UNREAD_BYTES: usize = 64 * 1024 * 1024;
/// The same of HTTP/2, where RST_STREAM makes the client stop.
const MAX_UNREAD_BYTES_OF_STREAMS: usize = 1024 * 1024;

/// How much is read at most of a request body that no guest reads.
pub(crate) fn max_unread(version: Version) -> usize {
    match version > Version::HTTP_11 {
        true => MAX_UNREAD_BYTES_OF_STREAMS,
        false => MAX_UNREAD_BYTES,
    }
}

/// A body that reads on when it is dropped before its end: for 30 seconds at most,
/// of which five without a byte, and not much more than `max_bytes`, in a task of
/// its own, which ends with the body's connection. `WatchedIo` closes those
/// connections whose bodies are not read to their ends.
pub(crate) struct DrainOnDrop<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    /// None once it has ended.
    inner: Option<B>,
    /// Whether its client asked for leave to send it, and was not given it: it
    /// waits for the answer then.
    awaits_leave: bool,
    max_bytes: usize,
}

impl<B> DrainOnDrop<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    /// Wraps the body of a request with these headers.
    pub(crate) fn new(inner: B, headers: &HeaderMap, max_bytes: usize) -> Self {
        Self {
            inner: Some(inner),
            awaits_leave: headers.contains_key(header::EXPECT),
            max_bytes,
        }
    }
}

impl<B> Body for DrainOnDrop<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(inner).poll_frame(context);
        // A read of the body sends the client `100 Continue`.
        self.awaits_leave = false;
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.inner = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for DrainOnDrop<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    fn drop(&mut self) {
        let max_bytes = self.max_bytes;
        // A body whose length is over the bound would not be read to its end: the connection
        // closes with the answer, and what still comes is discarded below HTTP.
        let is_too_long = |rest: &B| rest.size_hint().lower() > max_bytes as u64;
        let rest = self.inner.take();
        let rest = rest.filter(|rest| !rest.is_end_stream() && !is_too_long(rest));
        // Where the runtime is at its end, so is the connection.
        if let (Some(mut rest), false, Ok(runtime)) =
            (rest, self.awaits_leave, Handle::try_current())
        {
            runtime.spawn(timeout(TIME, async move {
                let mut bytes = 0;
                while let Ok(Some(Ok(frame))) = timeout(PIECE_TIME, rest.frame()).await {
                    bytes += frame.data_ref().map_or(0, Bytes::len);
                    if bytes > max_bytes {
                        return;
                    }
                }
            }));
        }
    }
}
