//! The body of a request on its way to the guest: counted, and cut at its bound.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error;

use crate::error::HandleError;
use crate::request::expect_continue::ExpectContinue;
use crate::request::server_span::ServerSpan;

/// A request's body as the guest reads it.
pub(crate) struct RequestBody<B> {
    /// None once it was cut.
    inner: Option<B>,
    span: ServerSpan,
    /// What may still come; none where there is no bound.
    left: Option<u64>,
    cut: BodyCut,
    leave: ExpectContinue,
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

impl<B: Body> RequestBody<B> {
    /// Wraps the body of a request with these headers, of `max_bytes` at most.
    ///
    /// # Errors
    /// Where the headers give its length, and that is over the bound.
    pub(crate) fn new(
        inner: B,
        headers: &HeaderMap,
        max_bytes: Option<u64>,
        span: ServerSpan,
    ) -> Result<Self, HandleError> {
        if max_bytes.is_some_and(|max| inner.size_hint().lower() > max) {
            return Err(HandleError::BodyTooLarge);
        }
        Ok(Self {
            // An empty one, as most are, needs no watching.
            cut: BodyCut(
                max_bytes
                    .filter(|_| !inner.is_end_stream())
                    .map(|_| Arc::default()),
            ),
            leave: ExpectContinue::asked_by(headers),
            inner: Some(inner),
            span,
            left: max_bytes,
        })
    }

    /// Tells, later on, whether its client may send it.
    pub(crate) fn leave(&self) -> ExpectContinue {
        self.leave.clone()
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
        self.leave.give();
        self.span.set_awaits_request(polled.is_pending());
        let Poll::Ready(Some(Ok(frame))) = polled else {
            return polled.map_err(Into::into);
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some(left) = self.left {
            let Some(left) = left.checked_sub(bytes) else {
                if let Some(happened) = &self.cut.0 {
                    happened.store(true, Ordering::Relaxed);
                }
                self.span.fail(&HandleError::BodyTooLarge);
                self.inner = None;
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
