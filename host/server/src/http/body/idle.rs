//! The response body as its connection has it: counted as an open request, and
//! within reach of the watchdog once it turns out to be a stream.
//!
//! hyper does not poll a body whose client does not read. So a body that does not
//! end at once is shared with the watchdog, which drops the guest behind it when
//! nothing has moved for too long.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use crate::error::HandleError;
use crate::http::body::response::ResponseBody;
use crate::http::watchdog::{MonitoredStream, OpenRequest};

/// A body on its connection.
pub(crate) struct IdleTimeoutBody {
    // Dropped before the request is counted out.
    body: Shape,
    request: OpenRequest,
}

enum Shape {
    /// It may end with its first chunk, as most do.
    Short { body: ResponseBody, gave_one: bool },
    /// It goes on.
    Stream(Arc<Stream>),
    /// Between the two.
    Taken,
}

/// A body that goes on for a while.
struct Stream {
    state: Mutex<StreamState>,
    /// When it last gave bytes, as the connection counts time.
    moved_at: AtomicU64,
    aborted: AtomicBool,
}

struct StreamState {
    body: ResponseBody,
    waits_for: WaitsFor,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitsFor {
    Guest,
    Client,
}

impl IdleTimeoutBody {
    pub(crate) fn new(body: ResponseBody, request: OpenRequest) -> Self {
        let ended = body.is_end_stream();
        let gave_one = false;
        let mut this = Self {
            body: Shape::Short { body, gave_one },
            request,
        };
        // An HTTP/2 client that opens no window keeps it from the first poll.
        if this.request.monitor().is_http2() && !ended {
            this.share(WaitsFor::Client, None);
        }
        this
    }

    /// Shares the body with the watchdog.
    fn share(&mut self, waits_for: WaitsFor, waker: Option<Waker>) {
        self.body = match std::mem::replace(&mut self.body, Shape::Taken) {
            Shape::Short { body, .. } => {
                let monitor = self.request.monitor();
                let stream = Arc::new(Stream {
                    moved_at: AtomicU64::new(monitor.now()),
                    aborted: AtomicBool::new(false),
                    state: Mutex::new(StreamState {
                        body,
                        waits_for,
                        waker,
                    }),
                });
                let monitored: Arc<dyn MonitoredStream> = stream.clone();
                monitor.watch(Arc::downgrade(&monitored));
                Shape::Stream(stream)
            }
            other => other,
        };
    }
}

impl Body for IdleTimeoutBody {
    type Data = Bytes;
    type Error = HandleError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandleError>>> {
        let this = &mut *self;
        match &mut this.body {
            Shape::Short { body, gave_one } => {
                let polled = Pin::new(body).poll_frame(context);
                match &polled {
                    Poll::Ready(Some(Ok(_))) if *gave_one => this.share(WaitsFor::Client, None),
                    Poll::Ready(Some(Ok(_))) => *gave_one = true,
                    Poll::Pending => this.share(WaitsFor::Guest, Some(context.waker().clone())),
                    Poll::Ready(_) => {}
                }
                polled
            }
            Shape::Stream(stream) => stream.poll(this.request.monitor().now(), context),
            Shape::Taken => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Shape::Short { body, .. } => body.is_end_stream(),
            Shape::Stream(stream) => stream.state.lock().body.is_end_stream(),
            Shape::Taken => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Shape::Short { body, .. } => body.size_hint(),
            Shape::Stream(stream) => stream.state.lock().body.size_hint(),
            Shape::Taken => SizeHint::with_exact(0),
        }
    }
}

impl MonitoredStream for Stream {
    fn moved_at(&self) -> u64 {
        self.moved_at.load(Ordering::Relaxed)
    }

    fn abort(&self) -> bool {
        if self.aborted.swap(true, Ordering::Relaxed) {
            return true;
        }
        let waker = {
            let mut state = self.state.lock();
            // To read what it is sent, or to send what the guest wants to read.
            let waits_for_client =
                state.waits_for == WaitsFor::Client || state.body.awaits_request();
            state
                .body
                .abort(HandleError::StreamIdle { waits_for_client });
            state.waker.take()
        };
        // hyper learns of it when it polls the body again.
        if let Some(waker) = waker {
            waker.wake();
        }
        false
    }
}

impl Stream {
    fn poll(
        &self,
        now: u64,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HandleError>>> {
        let mut state = self.state.lock();
        let polled = Pin::new(&mut state.body).poll_frame(context);
        if polled.is_ready() {
            state.waits_for = WaitsFor::Client;
            self.moved_at.store(now, Ordering::Relaxed);
        } else {
            state.waits_for = WaitsFor::Guest;
            match &mut state.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
        }
        polled
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
