//! What sees each request at its end, beside its span and its metrics: a log of requests.

use std::time::{Duration, SystemTime};

use http::StatusCode;

/// Bytes of a path that are kept for the observer: a request's head may have many more.
pub(crate) const MAX_PATH_BYTES: usize = 512;

/// Sees each request that a server has handled.
pub trait RequestObserver: Send + Sync + 'static {
    /// Takes a request that has ended. The thread that serves the request calls it, so it
    /// must not block.
    fn request_ended(&self, request: &EndedRequest<'_>);
}

/// A request that has ended. Texts are the client's and the guest's: they may hold any
/// character.
#[derive(Clone, Copy, Debug)]
pub struct EndedRequest<'a> {
    /// The method, or `_OTHER` for one that is not known.
    pub method: &'a str,
    /// The beginning of the path, without the query.
    pub path: &'a str,
    /// The route that the guest named.
    pub route: Option<&'a str>,
    /// The status of the response; none where the client left before.
    pub status: Option<StatusCode>,
    /// What `error.type` of the request's span says, if the request failed.
    pub error_type: Option<&'a str>,
    /// When its head had been read.
    pub started_at: SystemTime,
    /// The time from then to the last byte of the response.
    pub duration: Duration,
    /// Bytes of the request's body that the guest read.
    pub request_bytes: u64,
    /// Bytes of the response's body that were handed to the connection.
    pub response_bytes: u64,
    /// How long the guest was busy until now; none where there was no instance.
    pub busy_time: Option<Duration>,
    /// The most bytes that the guest's memories had; none where there was no instance.
    pub memory_peak_bytes: Option<u64>,
    /// The trace of the request's span.
    pub trace_id: u128,
}
