//! The body of an answer, written as it is made.
//!
//! Invariant: a body that is not finished is aborted, so that a client never
//! takes half an answer for a whole one.

use std::fmt;

use crate::bindings::wasi::http::types::{Fields, OutgoingBody};
use crate::bindings::wasi::io::streams::{OutputStream, StreamError};
use crate::executor::Subscription;

/// The body of a streamed answer, given to the closure of
/// [`Response::stream`](crate::Response::stream).
#[derive(Debug)]
pub struct BodyWriter {
    // The order matters: each is dropped before what it was taken from.
    subscription: Option<Subscription>,
    stream: OutputStream,
    body: OutgoingBody,
    trailers: Vec<(String, String)>,
}

impl BodyWriter {
    /// Takes over a body of the bindings; absent where its stream was taken.
    pub fn from_raw(body: OutgoingBody) -> Option<Self> {
        let stream = body.write().ok()?;
        Some(Self {
            subscription: None,
            stream,
            body,
            trailers: Vec::new(),
        })
    }

    /// Writes all of a chunk, waiting while the client is slower.
    ///
    /// # Errors
    ///
    /// Fails when the client is gone, or more is written than the
    /// `content-length` said.
    ///
    /// # Cancel safety
    ///
    /// Dropping it may leave a part of the chunk written.
    pub async fn write(&mut self, chunk: impl AsRef<[u8]>) -> Result<(), WriteError> {
        let mut rest = chunk.as_ref();
        while !rest.is_empty() {
            let room = self.room().await?;
            let (now, later) = rest.split_at(rest.len().min(room));
            self.stream.write(now)?;
            rest = later;
        }
        Ok(())
    }

    /// Waits until there is room for more: with much that was written, until the
    /// first of it is on its way to the client.
    ///
    /// # Errors
    ///
    /// Fails when the client is gone.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        self.stream.flush()?;
        self.room().await?;
        Ok(())
    }

    /// Adds a trailer, which is sent after the body.
    ///
    /// On HTTP/1.1 it reaches clients that ask for trailers, by `te: trailers`, and
    /// only where the answer's header `trailer` names it.
    pub fn trailer(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.trailers.push((name.into(), value.into()));
    }

    /// Ends the body, which a closure that returns `Ok` does by itself.
    ///
    /// # Errors
    ///
    /// Fails when less was written than the `content-length` said, or a
    /// trailer is not valid. The body is aborted then.
    pub fn finish(self) -> Result<(), WriteError> {
        let trailers = if self.trailers.is_empty() {
            None
        } else {
            let list: Vec<_> = self
                .trailers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes()))
                .collect();
            let fields = Fields::from_list(&list);
            Some(fields.map_err(|error| WriteError::Failed(error.to_string()))?)
        };
        drop(self.subscription);
        drop(self.stream);
        OutgoingBody::finish(self.body, trailers)
            .map_err(|error| WriteError::Failed(error.to_string()))
    }

    /// Waits until at least one byte can be written, and says how many can.
    async fn room(&mut self) -> Result<usize, WriteError> {
        loop {
            match self.stream.check_write()? {
                0 => {
                    self.subscription
                        .get_or_insert_with(|| Subscription::new(self.stream.subscribe()))
                        .ready()
                        .await;
                }
                room => return Ok(usize::try_from(room).unwrap_or(usize::MAX)),
            }
        }
    }
}

/// Why a body could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The client is gone, or wants no body.
    Closed,
    /// The host could not write it; this is its reason.
    Failed(String),
}

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => formatter.write_str("the client is gone"),
            Self::Failed(reason) => write!(formatter, "the body cannot be written: {reason}"),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<StreamError> for WriteError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed => Self::Closed,
            StreamError::LastOperationFailed(error) => Self::Failed(error.to_debug_string()),
        }
    }
}
