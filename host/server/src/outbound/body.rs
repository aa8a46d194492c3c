//! The bodies of a call: counted, and the response's bounded in time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::outbound::failure;
use crate::outbound::guest_life::GuestLife;
use crate::outbound::metrics::EndedCall;

/// The body of a request, whose bytes are counted as they are sent. It holds the call's
/// place among those at once.
pub(crate) struct RequestBody {
    body: WasiBody,
    sent: Arc<AtomicU64>,
    guest: GuestLife,
    _place: Arc<OwnedSemaphorePermit>,
}

impl RequestBody {
    pub(crate) fn new(
        body: WasiBody,
        sent: Arc<AtomicU64>,
        guest: GuestLife,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            body,
            sent,
            guest,
            _place: place,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        // A guest that is gone has not finished it, which looks like its end here.
        if frame.is_none() && self.guest.has_ended() {
            return Poll::Ready(Some(Err(Error::ConnectionTerminated)));
        }
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.sent.fetch_add(bytes, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response. It holds the call's place among those at once.
pub(crate) struct ResponseBody {
    incoming: Incoming,
    timeout: Duration,
    /// Made when the guest first has to wait.
    waits: Option<Pin<Box<Sleep>>>,
    bytes: u64,
    /// Recorded with the body's size when the guest has read or dropped it.
    call: EndedCall,
    _place: Arc<OwnedSemaphorePermit>,
}

impl ResponseBody {
    pub(crate) fn new(
        incoming: Incoming,
        timeout: Duration,
        call: EndedCall,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            incoming,
            timeout,
            waits: None,
            bytes: 0,
            call,
            _place: place,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(context) else {
            let until = Instant::now() + this.timeout;
            let waits = this
                .waits
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            ready!(waits.as_mut().poll(context));
            return Poll::Ready(Some(Err(Error::ConnectionReadTimeout)));
        };
        this.waits = None;
        if let Some(Ok(frame)) = &frame {
            this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| failure::of_body(&error))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.call.record_bodies(self.bytes);
    }
}
