//! The body of an answer: bytes, or a stream of events.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::events::Subscription;

type Piece = Pin<Box<dyn Future<Output = Option<(Bytes, Subscription)>> + Send>>;

/// The body of an answer.
pub struct Body(Content);

enum Content {
    Full(Option<Bytes>),
    /// Server-sent events. They end with the reader's connection, or where the reader
    /// is too slow; each needs a place among the readers.
    Events(Piece, #[expect(dead_code, reason = "it is held")] Place),
}

/// Something to be held while a stream goes on.
type Place = tokio::sync::OwnedSemaphorePermit;

/// Bytes that hold something until they have been sent, or their connection is gone.
struct Held {
    bytes: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body {
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Content::Full(Some(bytes.into())))
    }

    /// The bytes that are known, which are none of a stream's.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Content::Full(bytes) => bytes.as_ref().map_or(0, Bytes::len),
            Content::Events(..) => 0,
        }
    }

    /// The same, which holds something until its bytes are gone.
    pub(crate) fn held(self, place: Place) -> Self {
        match self.0 {
            Content::Full(Some(bytes)) => Self::full(Bytes::from_owner(Held {
                bytes,
                _place: place,
            })),
            other => Self(other),
        }
    }

    pub(crate) fn events(subscription: Subscription, place: Place) -> Self {
        Self(Content::Events(Box::pin(subscription.next()), place))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Content::Full(bytes) => {
                let bytes = bytes.take().filter(|it| !it.is_empty());
                Poll::Ready(bytes.map(|it| Ok(Frame::data(it))))
            }
            Content::Events(piece, _) => match ready!(piece.as_mut().poll(context)) {
                Some((bytes, subscription)) => {
                    *piece = Box::pin(subscription.next());
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                None => {
                    self.0 = Content::Full(None);
                    Poll::Ready(None)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Full(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Content::Events(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |it| it.len() as u64))
            }
            Content::Events(..) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Full(bytes) => formatter.debug_tuple("Full").field(bytes).finish(),
            Content::Events(..) => formatter.write_str("Events"),
        }
    }
}
