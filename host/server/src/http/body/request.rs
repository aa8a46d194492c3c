//! The body of a request on its way to the guest: counted, cut at its bound, and read
//! to its end where the guest leaves a part of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error;

use crate::error::HandleError;
use crate::http::body::drain::{DrainOnDrop, max_unread};
use crate::request::context::RequestContext;
use crate::request::expect_continue::ExpectContinue;

/// A request's body as the guest reads it.
pub(crate) struct RequestBody<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    /// None once it was cut.
    inner: Option<DrainOnDrop<B>>,
    request: RequestContext,
    /// What may still come; none where there is no bound.
    left: Option<u64>,
    cut: BodyCut,
    expect_continue: ExpectContinue,
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
    /// Wraps the body of a request with these headers, of which the guest may read
    /// `max_bytes` at most.
    pub(crate) fn new(
        inner: B,
        headers: &HeaderMap,
        max_bytes: Option<u64>,
        request: RequestContext,
    ) -> Self {
        let max_unread = max_unread(request.framing().version);
        // An empty one, as most are, needs no watching.
        let watched = max_bytes.filter(|_| !inner.is_end_stream());
        Self {
            cut: BodyCut(watched.map(|_| Arc::default())),
            expect_continue: ExpectContinue::asked_by(headers),
            inner: Some(DrainOnDrop::new(inner, headers, max_unread)),
            request,
            left: max_bytes,
        }
    }

    /// Checks the length that the headers give.
    ///
    /// # Errors
    /// Where it is over the bound.
    pub(crate) fn check_length(&self) -> Result<(), HandleError> {
        let length = self.inner.as_ref().map_or(0, |it| it.size_hint().lower());
        match self.left {
            Some(max) if length > max => Err(HandleError::BodyTooLarge),
            Some(_) | None => Ok(()),
        }
    }

    /// Tells, later on, whether its client may send it.
    pub(crate) fn expect_continue(&self) -> ExpectContinue {
        self.expect_continue.clone()
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
        // A read of the body makes hyper send `100 Continue`.
        self.expect_continue.give();
        self.request.set_awaits_request(polled.is_pending());
        let Poll::Ready(Some(Ok(frame))) = polled else {
            return polled.map_err(Into::into);
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some(left) = self.left {
            let Some(left) = left.checked_sub(bytes) else {
                if let Some(happened) = &self.cut.0 {
                    happened.store(true, Ordering::Relaxed);
                }
                self.request.fail(&HandleError::BodyTooLarge);
                self.inner = None;
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
            };
            self.left = Some(left);
        }
        self.request.count_request_bytes(bytes);
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
