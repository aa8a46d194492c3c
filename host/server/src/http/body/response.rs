//! A response body on its way to the client: it runs the guest that writes it, holds
//! it to its length, and ends the server span.
//!
//! The guest is polled where its body is polled, so that a client that does
//! not read holds back the guest that writes for it. A guest that trapped
//! never ends its body cleanly, unless it had finished it before.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::task::unconstrained;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::error::HandleError;
use crate::http::admission::InstancePermit;
use crate::http::linger::LingerTasks;
use crate::http::response_rules;
use crate::request::context::RequestContext;
use crate::request::framing::BodyLength;
use crate::sandbox::call::GuestCall;

/// The body of a response. The request ends with it: with its last byte, with an
/// error, or where hyper drops it because the client has left.
pub(crate) struct ResponseBody {
    content: Content,
    /// Bytes that were handed to the connection.
    bytes: u64,
    request: RequestContext,
}

enum Content {
    /// The guest writes it.
    Guest(Box<GuestContent>),
    /// The host's own.
    Host(Full<Bytes>),
    /// The client has all of it.
    Finished,
    /// It broke off. The next poll gives the error, unless one gave it before.
    Aborted(Option<HandleError>),
}

/// What a guest writes, and the guest.
struct GuestContent {
    body: HyperOutgoingBody,
    call: GuestCall,
    /// Held until the guest is gone.
    permit: InstancePermit,
    /// Where the guest goes on after the response.
    linger: Arc<LingerTasks>,
    /// What the client was promised.
    length: BodyLength,
    /// There is no body, and hyper does not know: on HTTP/2 it looks neither at
    /// the method nor at the status. On HTTP/1.1 it does, and would remove the
    /// `content-length` from a 304 whose body says that it is at its end.
    ends_with_headers: bool,
}

/// The next piece of a body.
type Polled = Poll<Option<Result<Frame<Bytes>, HandleError>>>;

impl GuestContent {
    /// Whether the client has, or is about to have, all that it was promised after
    /// `sent` bytes.
    fn is_complete(&self, sent: u64) -> bool {
        match self.length {
            BodyLength::Absent => true,
            BodyLength::Bytes(all) => sent == all,
            BodyLength::Open => false,
        }
    }

    /// Whether the client was promised more than `sent` bytes.
    fn lacks_bytes(&self, sent: u64) -> bool {
        matches!(self.length, BodyLength::Bytes(all) if sent < all)
    }

    /// Why a body is dropped that is not complete: its client has left, unless
    /// it is the host that goes.
    fn why_dropped(&self) -> HandleError {
        match self.linger.stopped().is_cancelled() {
            true => HandleError::Unavailable,
            false => HandleError::Cancelled,
        }
    }

    /// Lets the guest go on after the response, unless it has ended.
    fn finish(self, request: &RequestContext) {
        if !self.call.has_ended() {
            self.linger.spawn(self.call, self.permit, request.clone());
        }
    }

    /// The next piece, by way of the guest, after `sent` bytes.
    fn poll_next(&mut self, sent: u64, context: &mut Context<'_>) -> Polled {
        let has_ended = self.call.poll_end(context).is_ready();
        let error = match self.poll_body(has_ended, context) {
            Poll::Ready(Some(Ok(mut frame))) => match frame.data_ref() {
                // hyper would send all of it on HTTP/2, and on HTTP/1.1 as
                // much as was promised, as if that were all.
                Some(data) if self.is_too_much(sent, data.len()) => HandleError::BodyAborted,
                Some(_) => return Poll::Ready(Some(Ok(frame))),
                None if self.lacks_bytes(sent) => HandleError::BodyAborted,
                None => {
                    let trailers = frame.trailers_mut();
                    let has_trailers = trailers.is_some_and(|trailers| {
                        response_rules::mend_trailers(trailers);
                        !trailers.is_empty()
                    });
                    return Poll::Ready(has_trailers.then_some(Ok(frame)));
                }
            },
            // A client that counts would wait for the rest, or take it for whole.
            Poll::Ready(None) if self.lacks_bytes(sent) => HandleError::BodyAborted,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(_))) => HandleError::BodyAborted,
            Poll::Pending if !has_ended => return Poll::Pending,
            // What a trapped guest holds is kept with its end: were the
            // body finished, it would have said so by now.
            Poll::Pending => self.call.take_failure().unwrap_or(HandleError::BodyAborted),
        };
        Poll::Ready(Some(Err(error)))
    }

    fn is_too_much(&self, sent: u64, more: usize) -> bool {
        matches!(self.length, BodyLength::Bytes(all) if sent + more as u64 > all)
    }

    /// What the guest has written. Once it has ended, "not yet" means "never":
    /// then tokio must not say it only because the task has used up its turn.
    fn poll_body(
        &mut self,
        has_ended: bool,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = &mut self.body;
        if !has_ended {
            return Pin::new(body).poll_frame(context);
        }
        let next = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        pin!(unconstrained(next)).poll(context)
    }
}

impl ResponseBody {
    /// Puts a guest behind the response whose body it writes.
    pub(crate) fn guest(
        response: Response<HyperOutgoingBody>,
        length: BodyLength,
        call: GuestCall,
        permit: InstancePermit,
        linger: Arc<LingerTasks>,
        request: RequestContext,
    ) -> Response<Self> {
        let is_reset = response.status() == StatusCode::RESET_CONTENT;
        let is_http2 = request.framing().version == Version::HTTP_2;
        response.map(|body| Self {
            content: Content::Guest(Box::new(GuestContent {
                body,
                call,
                permit,
                linger,
                length,
                ends_with_headers: length == BodyLength::Absent && (is_reset || is_http2),
            })),
            bytes: 0,
            request,
        })
    }

    /// The body of a response of the host's own.
    pub(crate) fn host(body: Bytes, request: RequestContext) -> Self {
        Self {
            bytes: body.len() as u64,
            content: Content::Host(Full::new(body)),
            request,
        }
    }

    /// Whether the connection's end is the body's.
    pub(crate) fn is_open_ended(&self) -> bool {
        matches!(&self.content, Content::Guest(guest) if guest.length == BodyLength::Open)
    }

    /// Whether the guest waits for more of the request's body.
    pub(crate) fn awaits_request(&self) -> bool {
        self.request.awaits_request()
    }

    /// Ends the body where it stands, with the guest behind it and the request. One that
    /// is complete ends well: its guest goes on for its time after the response.
    pub(crate) fn abort(&mut self, error: HandleError) {
        if self.is_complete() {
            self.finish();
        } else if !matches!(self.content, Content::Aborted(_)) {
            self.end_failed(&error);
            self.content = Content::Aborted(Some(error));
        }
    }

    /// Whether the client has all, or is about to have it.
    fn is_complete(&self) -> bool {
        match &self.content {
            Content::Guest(guest) => guest.is_complete(self.bytes),
            Content::Host(_) | Content::Finished => true,
            Content::Aborted(_) => false,
        }
    }

    /// Lets the guest go on: nothing more of its body comes.
    fn finish(&mut self) {
        if let Content::Guest(_) = self.content
            && let Content::Guest(guest) = std::mem::replace(&mut self.content, Content::Finished)
        {
            guest.finish(&self.request);
        }
    }

    fn end_failed(&mut self, error: &HandleError) {
        self.request.fail(error);
        // The guest goes first: what it left open is recorded on the span.
        self.content = Content::Aborted(None);
        self.request.end(self.bytes);
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = HandleError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        let polled = match &mut this.content {
            Content::Guest(guest) if guest.length == BodyLength::Absent => Poll::Ready(None),
            Content::Guest(guest) => {
                let polled = guest.poll_next(this.bytes, context);
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    match frame.data_ref() {
                        Some(data) => this.bytes += data.len() as u64,
                        // Trailers are the last.
                        None => this.finish(),
                    }
                }
                polled
            }
            Content::Host(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|never| match never {}),
            Content::Finished => Poll::Ready(None),
            Content::Aborted(error) => return Poll::Ready(error.take().map(Err)),
        };
        match &polled {
            Poll::Ready(None) => {
                this.finish();
                this.request.end(this.bytes);
            }
            Poll::Ready(Some(Err(error))) => this.end_failed(error),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Guest(guest) => guest.ends_with_headers,
            Content::Host(body) => body.is_end_stream(),
            Content::Finished => true,
            Content::Aborted(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Guest(_) | Content::Aborted(_) => SizeHint::default(),
            Content::Host(body) => body.size_hint(),
            Content::Finished => SizeHint::with_exact(0),
        }
    }
}

impl Drop for ResponseBody {
    /// hyper drops a body both when the client has all of it and when the
    /// client has left: the one lets the guest go on, the other ends it.
    fn drop(&mut self) {
        if self.is_complete() {
            self.finish();
            return self.request.end(self.bytes);
        }
        let error = match &self.content {
            Content::Guest(guest) => guest.why_dropped(),
            _ => HandleError::Cancelled,
        };
        self.end_failed(&error);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::turn;

    struct Written(mpsc::Receiver<Bytes>);

    impl Body for Written {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            let next = self.0.poll_recv(context);
            next.map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    #[tokio::test]
    async fn what_a_guest_has_written_is_there_whatever_the_turn_of_the_task() {
        let (sender, receiver) = mpsc::channel(1);
        sender.send(Bytes::from_static(b"all")).await.unwrap();
        drop(sender);
        let permits = Arc::new(Semaphore::new(1));
        let mut guest = GuestContent {
            body: Written(receiver).boxed_unsync(),
            call: GuestCall::ended(),
            permit: permits.try_acquire_owned().unwrap(),
            linger: Arc::new(LingerTasks::new(std::time::Duration::ZERO)),
            length: BodyLength::Open,
            ends_with_headers: false,
        };
        let mut next = async || {
            poll_fn(|context| {
                turn::use_up(context);
                match guest.poll_next(0, context) {
                    Poll::Ready(next) => Poll::Ready(next.transpose()),
                    Poll::Pending => panic!("a guest that has ended writes no more"),
                }
            })
            .await
        };
        let frame = next().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "all");
        assert!(next().await.unwrap().is_none());
    }
}
