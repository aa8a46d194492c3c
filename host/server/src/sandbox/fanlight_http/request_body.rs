//! `fanlight:http/request-body`: the body of a request in one call, as far as it
//! is here.
//!
//! A body waits in the [`State`] until the guest takes it, in this way or by
//! `wasi:http`, whose own place for it gives bodies out as streams alone. So the
//! two functions that know that place are replaced: the one that takes a body, and
//! the end of a request, which ends a body that the guest did not take.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower, Resource, ResourceType};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::{HostIncomingBody, HyperIncomingBody};
use wasmtime_wasi_http::p2::types::HostIncomingRequest;

use crate::request::expect_continue::ExpectContinue;
use crate::sandbox::store::State;

/// The most bytes that one call gives.
const MAX_BYTES: usize = 64 * 1024;
/// The most frames that one call looks at: they may be as small as the client
/// likes, and the thread does nothing else meanwhile. HTTP/2's usual ones, of
/// 16 KiB, are four.
const MAX_FRAMES: u32 = 16;

/// The version that the stock interfaces have.
const TYPES: &str = "wasi:http/types@0.2.12";
const REQUEST_BODY: &str = "fanlight:http/request-body@0.1.0";

/// Adds the one way to a linker, and puts the other in the stock one's place.
///
/// # Errors
/// Where the linker does not take it.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(REQUEST_BODY)?.func_wrap(
        "take",
        |mut store: StoreContextMut<'_, State>, (request, max): (Request, u32)| {
            Ok((take(store.data_mut(), &request, max)?,))
        },
    )?;
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]incoming-request.consume",
        |mut store: StoreContextMut<'_, State>, (request,): (Request,)| {
            Ok((consume(store.data_mut(), &request)?,))
        },
    )?;
    types.resource(
        "incoming-request",
        ResourceType::host::<HostIncomingRequest>(),
        |mut store, request| {
            let state = store.data_mut();
            state.table().delete(Request::new_own(request))?;
            state.request_body = None;
            Ok(())
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

type Request = Resource<HostIncomingRequest>;
type IncomingBody = Resource<HostIncomingBody>;

/// The WIT's record.
#[derive(ComponentType, Lower)]
#[component(record)]
struct PartialBody {
    bytes: Vec<u8>,
    rest: Option<IncomingBody>,
}

fn take(
    state: &mut State,
    request: &Request,
    max: u32,
) -> wasmtime::Result<Result<PartialBody, ()>> {
    // There is one request, but a handle has to stand for it.
    state.table().get(request)?;
    let Some(body) = state.request_body.take() else {
        return Ok(Err(()));
    };
    let max = usize::try_from(max).unwrap_or(usize::MAX).min(MAX_BYTES);
    let (bytes, rest) = begin(body, max);
    let rest = rest.map(|rest| with_leave(rest, &state.expect_continue));
    let rest = match rest {
        Some(rest) => Some(state.table().push(HostIncomingBody::new(rest))?),
        None => None,
    };
    Ok(Ok(PartialBody { bytes, rest }))
}

fn consume(state: &mut State, request: &Request) -> wasmtime::Result<Result<IncomingBody, ()>> {
    state.table().get(request)?;
    let Some(body) = state.request_body.take() else {
        return Ok(Err(()));
    };
    let body = with_leave(body, &state.expect_continue);
    Ok(Ok(state.table().push(HostIncomingBody::new(body))?))
}

/// Lets a client that waits until its body is read know that it will be: to poll it
/// is to say so.
fn with_leave(mut body: HyperIncomingBody, leave: &ExpectContinue) -> HyperIncomingBody {
    if !leave.is_awaited() {
        return body;
    }
    // The reader polls it again.
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut body).poll_frame(&mut context) {
        Poll::Pending | Poll::Ready(None) => body,
        Poll::Ready(next) => Continued { next, body }.boxed_unsync(),
    }
}

/// Reads what is here without waiting; the rest is none where that is all.
fn begin(mut body: HyperIncomingBody, max: usize) -> (Vec<u8>, Option<HyperIncomingBody>) {
    let mut bytes = Vec::new();
    for _ in 0..MAX_FRAMES {
        // With its length known, a body has ended with its last byte, and is not
        // asked once more for what is not there.
        if body.is_end_stream() {
            return (bytes, None);
        }
        let room = max - bytes.len();
        if room == 0 {
            break;
        }
        // The reader of the rest polls it again.
        let mut context = Context::from_waker(Waker::noop());
        let next = match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Pending => break,
            Poll::Ready(None) => return (bytes, None),
            Poll::Ready(Some(next)) => next,
        };
        let kept = match next.map(Frame::into_data) {
            Ok(Ok(mut data)) => {
                let more = data.split_off(room.min(data.len()));
                bytes.extend_from_slice(&data);
                (!more.is_empty()).then(|| Ok(Frame::data(more)))
            }
            Ok(Err(trailers)) => Some(Ok(trailers)),
            Err(error) => Some(Err(error)),
        };
        if let Some(next) = kept {
            let next = Some(next);
            body = Continued { next, body }.boxed_unsync();
            break;
        }
    }
    (bytes, Some(body))
}

/// A body of which a part was read that the guest has not taken yet.
struct Continued {
    next: Option<Result<Frame<Bytes>, Error>>,
    body: HyperIncomingBody,
}

impl Body for Continued {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.next.take() {
            Some(next) => Poll::Ready(Some(next)),
            None => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.next {
            // The size of what is left is not asked for.
            Some(_) => SizeHint::default(),
            None => self.body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http::HeaderMap;

    use super::*;

    /// A body that gives these frames.
    struct Frames(VecDeque<Poll<Result<Frame<Bytes>, Error>>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            match self.0.pop_front() {
                Some(next) => next.map(Some),
                None => Poll::Ready(None),
            }
        }
    }

    fn data(text: &'static str) -> Poll<Result<Frame<Bytes>, Error>> {
        Poll::Ready(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
    }

    fn body<const N: usize>(frames: [Poll<Result<Frame<Bytes>, Error>>; N]) -> HyperIncomingBody {
        Frames(frames.into()).boxed_unsync()
    }

    #[test]
    fn what_is_not_here_yet_is_left_to_the_rest() {
        let (bytes, rest) = begin(body([data("a"), data("b"), Poll::Pending, data("c")]), 9);
        assert_eq!(bytes, b"ab");
        let (bytes, rest) = begin(rest.unwrap(), 9);
        assert_eq!(bytes, b"c");
        assert!(rest.is_none());
        let (bytes, rest) = begin(body([Poll::Pending]), 9);
        assert_eq!(bytes, b"");
        assert!(rest.is_some());
    }

    #[test]
    fn what_is_over_the_bound_comes_with_the_rest() {
        let (bytes, rest) = begin(body([data("ab"), data("cde"), data("f")]), 4);
        assert_eq!(bytes, b"abcd");
        let (bytes, rest) = begin(rest.unwrap(), 0);
        assert_eq!(bytes, b"");
        let (bytes, rest) = begin(rest.unwrap(), 9);
        assert_eq!(bytes, b"ef");
        assert!(rest.is_none());
    }

    #[test]
    fn of_many_frames_some_are_looked_at() {
        let many = MAX_FRAMES as usize + 1;
        let frames = Frames((0..many).map(|_| data("x")).collect());
        let (bytes, rest) = begin(frames.boxed_unsync(), MAX_BYTES);
        assert_eq!(bytes.len(), many - 1);
        let (bytes, rest) = begin(rest.unwrap(), MAX_BYTES);
        assert_eq!(bytes.len(), 1);
        assert!(rest.is_none());
    }

    #[tokio::test]
    async fn an_error_and_trailers_come_after_the_bytes() {
        let broken = Poll::Ready(Err(Error::HttpProtocolError));
        let (bytes, rest) = begin(body([data("a"), broken]), 9);
        assert_eq!(bytes, b"a");
        let next = rest.unwrap().frame().await.unwrap();
        assert!(matches!(next, Err(Error::HttpProtocolError)));
        let trailers = Poll::Ready(Ok(Frame::trailers(HeaderMap::new())));
        let (bytes, rest) = begin(body([data("a"), trailers]), 9);
        assert_eq!(bytes, b"a");
        let next = rest.unwrap().frame().await.unwrap();
        assert!(next.unwrap().is_trailers());
    }
}
