//! Why a client cannot be made, and why a backend did not take a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::InvalidUri;

use crate::config::client_tls::ClientTlsError;

/// Why a client for a backend cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The endpoint is no address.
    #[error("{endpoint} is no address")]
    Endpoint {
        /// The endpoint as the configuration names it.
        endpoint: String,
        /// What is wrong with it, where the parser says so.
        source: Option<InvalidUri>,
    },
    /// A file for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    /// The gRPC transport does not take the configuration.
    #[error(transparent)]
    Grpc(#[from] tonic::transport::Error),
    /// The HTTP transport does not take the configuration.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

/// Why a backend did not take a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OtlpError {
    /// It has no service for this signal: Jaeger takes traces alone.
    #[error("the backend has no service for this signal: {0}")]
    NoService(String),
    /// There is no connection to it.
    #[error("{0}")]
    Unreachable(String),
    /// It may take the request later, but not before `after`.
    #[error("{message}")]
    Transient {
        message: String,
        after: Option<Duration>,
    },
    /// It will never take this request.
    #[error("{0}")]
    Permanent(String),
    /// The time was over before it took the request.
    #[error("not taken within {0:?}")]
    Timeout(Duration),
    /// The request was sent and not answered: the backend may have it.
    #[error("sent, and not answered: {0}")]
    Unanswered(String),
}

/// Whether the last attempt was sent, in part at least, and not answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unanswered(Arc<AtomicBool>);

impl Unanswered {
    pub(crate) fn set(&self, is_unanswered: bool) {
        self.0.store(is_unanswered, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An error and its causes: what transports say by themselves is no more than
/// "transport error".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = match is_without_tls(cause) {
            true => "it does not speak TLS; an address without TLS begins with http://".to_owned(),
            false => cause.to_string(),
        };
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Whether what came in place of TLS was something else, which rustls calls a corrupt
/// message.
fn is_without_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    let inner = cause.downcast_ref::<std::io::Error>();
    let inner = inner.and_then(std::io::Error::get_ref);
    let tls = inner
        .and_then(|error| error.downcast_ref::<rustls::Error>())
        .or_else(|| cause.downcast_ref::<rustls::Error>());
    matches!(
        tls,
        Some(rustls::Error::InvalidMessage(
            rustls::InvalidMessage::InvalidContentType
        ))
    )
}
