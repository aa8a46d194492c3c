//! The body of a request, read as it comes.
//!
//! Invariant: the host reads from the client only as fast as the component
//! takes chunks.

use std::fmt;

use crate::bindings::fanlight::http::request_body;
use crate::bindings::wasi::http::types::{IncomingBody, IncomingRequest};
use crate::bindings::wasi::io::streams::{InputStream, StreamError};
use crate::executor::Subscription;

/// The most that one chunk holds: what a read from a socket gives at best.
const MAX_CHUNK_BYTES: u32 = 64 * 1024;

/// The body of a request.
///
/// ```no_run
/// # use fanlight_guest::{BodyError, Request};
/// async fn size(request: Request) -> Result<usize, BodyError> {
///     let mut body = request.body()?;
///     let mut size = 0;
///     while let Some(chunk) = body.next().await {
///         size += chunk?.len();
///     }
///     Ok(size)
/// }
/// ```
#[derive(Debug)]
pub struct Body {
    /// What was here when it was taken, until it is given out.
    first: Vec<u8>,
    /// Absent once it has ended.
    rest: Option<Rest>,
}

impl Body {
    /// Takes the body, with at most `max` bytes of what has arrived already.
    pub(crate) fn of(request: &IncomingRequest, max: usize) -> Result<Self, BodyError> {
        let max = u32::try_from(max).unwrap_or(u32::MAX).min(MAX_CHUNK_BYTES);
        let partial = request_body::take(request, max).map_err(|()| BodyError::Taken)?;
        Ok(Self {
            first: partial.bytes,
            rest: partial.rest.map(Rest::of).transpose()?,
        })
    }

    /// Returns the next chunk, or none at the end.
    ///
    /// # Errors
    ///
    /// Fails when the client is gone, or the host allows no larger body.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, BodyError>> {
        if !self.first.is_empty() {
            return Some(Ok(std::mem::take(&mut self.first)));
        }
        let chunk = self.rest.as_mut()?.next().await;
        if !matches!(chunk, Some(Ok(_))) {
            self.rest = None;
        }
        chunk
    }
}

/// What was not here yet, as a stream.
#[derive(Debug)]
struct Rest {
    // The order matters: each is dropped before what it was taken from.
    subscription: Option<Subscription>,
    stream: InputStream,
    _body: IncomingBody,
}

impl Rest {
    fn of(body: IncomingBody) -> Result<Self, BodyError> {
        let stream = body.stream().map_err(|()| BodyError::Taken)?;
        Ok(Self {
            subscription: None,
            stream,
            _body: body,
        })
    }

    async fn next(&mut self) -> Option<Result<Vec<u8>, BodyError>> {
        loop {
            match self.stream.read(MAX_CHUNK_BYTES.into()) {
                Ok(chunk) if chunk.is_empty() => {
                    self.subscription
                        .get_or_insert_with(|| Subscription::new(self.stream.subscribe()))
                        .ready()
                        .await;
                }
                Ok(chunk) => return Some(Ok(chunk)),
                Err(StreamError::Closed) => return None,
                Err(StreamError::LastOperationFailed(error)) => {
                    return Some(Err(BodyError::Failed(error.to_debug_string())));
                }
            }
        }
    }
}

/// Why a body could not be read.
///
/// A handler that returns it as its error answers with [`status`](BodyError::status).
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The body was taken before.
    Taken,
    /// The body is larger than the handler allows.
    TooLarge {
        /// What it allows, in bytes.
        limit: usize,
    },
    /// The body is not UTF-8.
    NotText(std::string::FromUtf8Error),
    /// The body is not the JSON that was asked for.
    #[cfg(feature = "json")]
    NotJson(serde_json::Error),
    /// The host could not read it; this is its reason.
    Failed(String),
}

impl BodyError {
    /// Returns the status that tells the client what was wrong.
    pub fn status(&self) -> u16 {
        match self {
            Self::Taken => 500,
            Self::TooLarge { .. } => 413,
            _ => 400,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => formatter.write_str("the body was taken before"),
            Self::TooLarge { limit } => {
                write!(formatter, "the body is larger than {limit} bytes")
            }
            Self::NotText(_) => formatter.write_str("the body is not text"),
            #[cfg(feature = "json")]
            Self::NotJson(_) => formatter.write_str("the body is not the JSON expected"),
            Self::Failed(reason) => write!(formatter, "the body cannot be read: {reason}"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotText(source) => Some(source),
            #[cfg(feature = "json")]
            Self::NotJson(source) => Some(source),
            _ => None,
        }
    }
}
