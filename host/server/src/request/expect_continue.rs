//! `Expect: 100-continue`: whether a client waits for leave to send its body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderValue, header};

/// The leave that a client asks for by `Expect: 100-continue` to send its body
/// (RFC 9110 §10.1.1). hyper gives it once the body is polled, unless the head of
/// the answer was sent before.
#[derive(Clone, Default)]
pub(crate) struct ExpectContinue(Option<Arc<AtomicBool>>);

impl ExpectContinue {
    /// Of a request with these headers.
    pub(crate) fn asked_by(headers: &HeaderMap) -> Self {
        let asks = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        let is_asked = headers.get(header::EXPECT).is_some_and(asks);
        Self(is_asked.then(Arc::default))
    }

    /// Whether the client waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|given| !given.load(Ordering::Relaxed))
    }

    /// Whether it was asked for, and the body polled.
    pub(crate) fn is_given(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|given| given.load(Ordering::Relaxed))
    }

    /// Notes that the body was polled.
    pub(crate) fn give(&self) {
        if let Some(given) = &self.0 {
            given.store(true, Ordering::Relaxed);
        }
    }
}
