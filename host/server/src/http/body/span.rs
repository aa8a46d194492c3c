//! The response body that ends the server span with its last byte.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::error::HandleError;
use crate::http::body::response::GuestBody;
use crate::request::failure_log;
use crate::request::server_span::ServerSpan;

/// A body on its way to the client, with the span that it ends.
pub(crate) struct SpanBody {
    source: Source,
    span: ServerSpan,
}

enum Source {
    Guest(Box<GuestBody>),
    /// The host's own answer.
    Host {
        body: Full<Bytes>,
        bytes: u64,
    },
    /// It was ended where it stood; its next poll gives the error.
    Aborted {
        error: Option<HandleError>,
        bytes: u64,
    },
}

impl SpanBody {
    pub(crate) fn guest(body: GuestBody, span: ServerSpan) -> Self {
        Self {
            source: Source::Guest(Box::new(body)),
            span,
        }
    }

    pub(crate) fn host(body: Bytes, span: ServerSpan) -> Self {
        Self {
            source: Source::Host {
                bytes: body.len() as u64,
                body: Full::new(body),
            },
            span,
        }
    }
}

impl Body for SpanBody {
    type Data = Bytes;
    type Error = HandleError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandleError>>> {
        let polled = match &mut self.source {
            Source::Guest(body) => Pin::new(&mut **body).poll_frame(context),
            Source::Host { body, .. } => Pin::new(body)
                .poll_frame(context)
                .map_err(|never| match never {}),
            Source::Aborted { error, .. } => return Poll::Ready(error.take().map(Err)),
        };
        match &polled {
            Poll::Ready(None) => self.span.end(self.bytes()),
            Poll::Ready(Some(Err(error))) => {
                self.span.fail(error);
                self.span.end(self.bytes());
            }
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Guest(body) => body.is_end_stream(),
            Source::Host { body, .. } => body.is_end_stream(),
            Source::Aborted { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Guest(body) => body.size_hint(),
            Source::Host { body, .. } => body.size_hint(),
            Source::Aborted { .. } => SizeHint::default(),
        }
    }
}

impl SpanBody {
    fn bytes(&self) -> u64 {
        match &self.source {
            Source::Guest(body) => body.bytes(),
            Source::Host { bytes, .. } | Source::Aborted { bytes, .. } => *bytes,
        }
    }
}

impl SpanBody {
    /// Whether the client has all, or is about to have it.
    fn is_complete(&self) -> bool {
        match &self.source {
            Source::Guest(body) => body.is_complete(),
            Source::Host { .. } => true,
            Source::Aborted { .. } => false,
        }
    }

    /// Whether the guest waits for more of the request's body.
    pub(crate) fn awaits_request(&self) -> bool {
        self.span.awaits_request()
    }

    /// Ends it where it stands, with the guest behind it and the span. What is
    /// complete already ends well: its guest goes on for its time after the answer.
    pub(crate) fn abort(&mut self, error: HandleError) {
        if self.is_complete() {
            let bytes = self.bytes();
            if matches!(self.source, Source::Guest(_)) {
                self.source = Source::Host {
                    body: Full::default(),
                    bytes,
                };
            }
            return;
        }
        if matches!(self.source, Source::Aborted { .. }) {
            return;
        }
        failure_log::tell(&error, self.span.context());
        self.span.fail(&error);
        let bytes = self.bytes();
        // The guest goes first: what it left open is told on the span.
        self.source = Source::Aborted {
            error: Some(error),
            bytes,
        };
        self.span.end(bytes);
    }
}

impl Drop for SpanBody {
    /// hyper drops a body when the client has it or has left.
    fn drop(&mut self) {
        if !self.is_complete() {
            let error = match &self.source {
                Source::Guest(body) => body.why_dropped(),
                Source::Host { .. } | Source::Aborted { .. } => HandleError::Cancelled,
            };
            self.span.fail(&error);
        }
        let bytes = self.bytes();
        // The guest goes first: what it left open is told on the span.
        self.source = Source::Host {
            body: Full::default(),
            bytes,
        };
        self.span.end(bytes);
    }
}
