//! The body of a request on its way to the guest: counted, cut at its bound, and
//! read to its end where the guest has not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error;

use crate::error::HandleError;
use crate::read_on::read_on;
use crate::server_span::ServerSpan;

/// How much is read of a body that nobody wants.
const UNWANTED_BYTES: usize = 1024 * 1024;

/// A request's body as the guest reads it.
pub(crate) struct RequestBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    /// None once it was cut, or has ended.
    inner: Option<B>,
    /// Whether its client asked for leave to send it, and was not given it.
    awaits_leave: bool,
    span: ServerSpan,
    /// What may still come; none where there is no bound.
    left: Option<u64>,
    cut: BodyCut,
}

/// Whether a body was cut at its bound.
#[derive(Clone, Default)]
pub(crate) struct BodyCut(Option<Arc<AtomicBool>>);

impl BodyCut {
    pub(crate) fn happened(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|happened| happened.load(Ordering::Relaxed))
    }
}

impl<B> RequestBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    /// Wraps a body of `max_bytes` at most; `asks_leave` where its client waits for
    /// a `100 Continue`.
    ///
    /// # Errors
    /// Where its length is told beforehand, and is over the bound.
    pub(crate) fn new(
        inner: B,
        asks_leave: bool,
        max_bytes: Option<u64>,
        span: ServerSpan,
    ) -> Result<Self, HandleError> {
        let is_too_large = max_bytes.is_some_and(|max| inner.size_hint().lower() > max);
        let body = Self {
            // An empty one, as most are, needs no watching.
            cut: BodyCut(
                max_bytes
                    .filter(|_| !inner.is_end_stream())
                    .map(|_| Arc::default()),
            ),
            inner: Some(inner),
            awaits_leave: asks_leave,
            span,
            left: max_bytes,
        };
        match is_too_large {
            true => Err(HandleError::BodyTooLarge),
            false => Ok(body),
        }
    }

    /// Tells, later on, whether it was cut.
    pub(crate) fn watch(&self) -> BodyCut {
        self.cut.clone()
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Error> + Send,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(inner).poll_frame(context);
        // Whoever reads it gives leave to send it.
        self.awaits_leave = false;
        self.span.set_awaits_request(polled.is_pending());
        let Poll::Ready(Some(Ok(frame))) = polled else {
            if polled.is_ready() {
                self.inner = None;
            }
            return polled.map_err(Into::into);
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some(left) = self.left {
            let Some(left) = left.checked_sub(bytes) else {
                if let Some(happened) = &self.cut.0 {
                    happened.store(true, Ordering::Relaxed);
                }
                self.span.fail(&HandleError::BodyTooLarge);
                if let Some(rest) = self.inner.take() {
                    read_on(rest, UNWANTED_BYTES);
                }
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
            };
            self.left = Some(left);
        }
        self.span.count_request_bytes(bytes);
        Poll::Ready(Some(Ok(frame)))
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

impl<B> Drop for RequestBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    /// A client that was not given leave to send it waits for the answer.
    fn drop(&mut self) {
        if let Some(rest) = self.inner.take()
            && !self.awaits_leave
        {
            read_on(rest, UNWANTED_BYTES);
        }
    }
}
