//! Reads what is left of a body that nobody wants.
//!
//! A client that writes all of its request before it reads finds the answer only
//! if the connection stands until then: one that is closed while bytes come in is
//! reset, and what was answered is lost with it.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::runtime::Handle;

/// How long is read on. As long as nginx waits between two pieces
/// (`lingering_timeout`).
const TIME: Duration = Duration::from_secs(5);

/// Reads on for five seconds at most, and not much more than so many bytes, in a
/// task of its own, which ends with the body's connection.
pub(crate) fn read_on<B>(mut body: B, max_bytes: usize)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    if body.is_end_stream() {
        return;
    }
    // Where the runtime is at its end, so is the connection.
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    runtime.spawn(tokio::time::timeout(TIME, async move {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > max_bytes {
                return;
            }
        }
    }));
}
