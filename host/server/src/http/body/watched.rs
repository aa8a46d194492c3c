//! A request's body, and a note for the watchdog until it was read to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::http::watchdog::ConnectionMonitor;

/// A body on its connection. Changes nothing about it.
pub(crate) struct WatchedBody<B> {
    inner: B,
    /// None once it was read to its end.
    monitor: Option<Arc<ConnectionMonitor>>,
}

impl<B: Body> WatchedBody<B> {
    pub(crate) fn new(inner: B, monitor: &Arc<ConnectionMonitor>) -> Self {
        // Most requests have none, and cost nothing.
        let monitor = (!inner.is_end_stream()).then(|| {
            monitor.body_begins();
            Arc::clone(monitor)
        });
        Self { inner, monitor }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        // One that failed counts as unread: more may come of it.
        let is_read = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => self.inner.is_end_stream(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if is_read && let Some(monitor) = self.monitor.take() {
            monitor.body_ends(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for WatchedBody<B> {
    fn drop(&mut self) {
        if let Some(monitor) = self.monitor.take() {
            monitor.body_ends(false);
        }
    }
}
