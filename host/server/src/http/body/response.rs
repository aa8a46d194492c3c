//! The response body of a guest that may still be running.
//!
//! The guest is polled where its body is polled, so that a client that does
//! not read holds back the guest that writes for it. A guest that trapped
//! never ends its body cleanly, unless it had finished it before.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, Version};
use http_body::{Body, Frame};
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use crate::error::HandleError;
use crate::http::admission::InstancePermit;
use crate::http::response_rules;
use crate::request::framing::{BodyLength, RequestFraming};
use crate::request::server_span::ServerSpan;
use crate::sandbox::call::{GuestEnd, Progress};

/// What a guest may still do when its answer is out.
pub(crate) struct Lingering {
    /// How long it may.
    pub(crate) linger: Duration,
    /// Where it goes on; shutting down waits for these.
    pub(crate) tasks: TaskTracker,
    /// Its place among the instances, kept until it is gone.
    pub(crate) place: InstancePermit,
    /// The time for draining is over, and with it the guest's.
    pub(crate) stopped: Arc<CancellationToken>,
    /// The span that records why the guest was cut off.
    pub(crate) span: ServerSpan,
}

/// How far a guest's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// It goes on.
    Open,
    /// It ended as it should.
    Finished,
    /// It broke off: nothing makes it whole any more.
    Failed,
}

/// A body and the guest that writes it.
pub(crate) struct GuestBody {
    inner: HyperOutgoingBody,
    guest: Progress,
    course: Course,
    /// What the client is promised.
    length: BodyLength,
    /// There is no body, and hyper does not know: on HTTP/2 it looks neither at
    /// the method nor at the status. On HTTP/1.1 it does, and would remove the
    /// `content-length` from a 304 whose body says that it is at its end.
    ends_with_head: bool,
    handed_over: u64,
    afterlife: Option<Lingering>,
}

impl GuestBody {
    /// Puts a guest behind the answer that it is writing.
    pub(crate) fn behind(
        response: Response<HyperOutgoingBody>,
        length: BodyLength,
        guest: Progress,
        asked: RequestFraming,
        afterlife: Lingering,
    ) -> Response<Self> {
        let is_reset = response.status() == StatusCode::RESET_CONTENT;
        response.map(|inner| Self {
            inner,
            guest,
            course: Course::Open,
            length,
            ends_with_head: length == BodyLength::Absent
                && (is_reset || asked.version == Version::HTTP_2),
            handed_over: 0,
            afterlife: Some(afterlife),
        })
    }

    /// Whether the client has, or is about to have, all that it was promised.
    pub(crate) fn is_complete(&self) -> bool {
        match (self.course, self.length) {
            (Course::Finished, _) | (Course::Open, BodyLength::Absent) => true,
            (Course::Open, BodyLength::Bytes(all)) => self.handed_over == all,
            (Course::Open, BodyLength::Open) | (Course::Failed, _) => false,
        }
    }

    /// Whether its length is not said beforehand.
    pub(crate) fn is_open_ended(&self) -> bool {
        self.length == BodyLength::Open
    }

    /// Whether the client was promised more than it has.
    fn lacks_bytes(&self) -> bool {
        matches!(self.length, BodyLength::Bytes(all) if self.handed_over < all)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.handed_over
    }

    /// Why a body is dropped that is not complete: its client has left, unless
    /// it is the host that goes.
    pub(crate) fn why_dropped(&self) -> HandleError {
        match &self.afterlife {
            Some(afterlife) if afterlife.stopped.is_cancelled() => HandleError::Unavailable,
            Some(_) | None => HandleError::Cancelled,
        }
    }

    /// Whether a client that was promised so much would be given more.
    fn is_too_much(&self, more: u64) -> bool {
        matches!(self.length, BodyLength::Bytes(all) if self.handed_over + more > all)
    }

    /// The next of the body, by way of its guest.
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandleError>>> {
        if let Progress::Running(guest) = &mut self.guest
            && let Poll::Ready(end) = guest.as_mut().poll(context)
        {
            self.guest = Progress::Ended(end);
        }
        match self.poll_inner(context) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(data) = frame.data_ref() {
                    let bytes = data.len() as u64;
                    // hyper would send all of it on HTTP/2, and on HTTP/1.1 as
                    // much as was promised, as if that were all.
                    if self.is_too_much(bytes) {
                        return Poll::Ready(Some(Err(HandleError::BodyAborted)));
                    }
                    self.handed_over += bytes;
                    return Poll::Ready(Some(Ok(frame)));
                }
                if self.lacks_bytes() {
                    return Poll::Ready(Some(Err(HandleError::BodyAborted)));
                }
                self.course = Course::Finished;
                let trailers = frame.trailers_mut();
                if trailers.is_some_and(|trailers| {
                    response_rules::mend_trailers(trailers);
                    !trailers.is_empty()
                }) {
                    return Poll::Ready(Some(Ok(frame)));
                }
                self.detach();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(HandleError::BodyAborted))),
            // A client that counts would wait for the rest, or take it for whole.
            Poll::Ready(None) if self.lacks_bytes() => {
                Poll::Ready(Some(Err(HandleError::BodyAborted)))
            }
            Poll::Ready(None) => {
                self.course = Course::Finished;
                self.detach();
                Poll::Ready(None)
            }
            Poll::Pending => match &mut self.guest {
                Progress::Running(_) => Poll::Pending,
                // What a trapped guest holds is kept with its end: were the
                // body finished, it would have said so by now.
                Progress::Ended(end) => match end.failure.take() {
                    Some(failure) => Poll::Ready(Some(Err(failure))),
                    None => Poll::Ready(Some(Err(HandleError::BodyAborted))),
                },
            },
        }
    }

    /// What the guest has written. Once it has ended, "not yet" means "never":
    /// then tokio must not say it only because the task has used up its turn.
    fn poll_inner(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let inner = &mut self.inner;
        match self.guest {
            Progress::Running(_) => Pin::new(inner).poll_frame(context),
            Progress::Ended(_) => {
                let next = poll_fn(|context| Pin::new(&mut *inner).poll_frame(context));
                pin!(unconstrained(next)).poll(context)
            }
        }
    }

    /// Lets the guest go on for its time after the answer.
    fn detach(&mut self) {
        let Some(Lingering {
            linger,
            tasks,
            place,
            stopped,
            span,
        }) = self.afterlife.take()
        else {
            return;
        };
        let ended = Progress::Ended(GuestEnd::default());
        let Progress::Running(mut guest) = std::mem::replace(&mut self.guest, ended) else {
            return;
        };
        // Bodies are dropped outside of a runtime only when it is gone.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            tasks.spawn_on(
                async move {
                    tokio::select! {
                        biased;
                        ended = tokio::time::timeout(linger, &mut guest) => {
                            if ended.is_err() {
                                tracing::debug!(?linger, "a guest was ended after its answer");
                            }
                        }
                        () = stopped.cancelled() => span.cut_off(&HandleError::Unavailable),
                    }
                    // It tells what it left open, and only then its place is free.
                    drop(guest);
                    drop(place);
                },
                &runtime,
            );
        }
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = HandleError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandleError>>> {
        if self.course == Course::Finished || self.length == BodyLength::Absent {
            return Poll::Ready(None);
        }
        let next = self.poll_next(context);
        if matches!(next, Poll::Ready(Some(Err(_)))) {
            self.course = Course::Failed;
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.course == Course::Finished || self.ends_with_head
    }
}

impl Drop for GuestBody {
    /// hyper drops a body both when the client has all of it and when the
    /// client has left: the one lets the guest go on, the other ends it.
    fn drop(&mut self) {
        if self.is_complete() {
            self.detach();
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

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
        let mut body = GuestBody {
            inner: Written(receiver).boxed_unsync(),
            guest: Progress::Ended(GuestEnd::default()),
            course: Course::Open,
            length: BodyLength::Open,
            ends_with_head: false,
            handed_over: 0,
            afterlife: None,
        };
        let mut next = async || {
            poll_fn(|context| {
                turn::use_up(context);
                match Pin::new(&mut body).poll_frame(context) {
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
