//! What can end a request other than the guest's own answer.
//!
//! One variant for each row of the outcome table that is not the guest's own
//! status. Clients see a status and a fixed title; spans and logs see the chain.

pub(crate) mod backtrace;

use std::fmt;

use http::StatusCode;
use wasmtime::{Trap as TrapKind, WasmBacktrace};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use crate::error::backtrace::backtrace_text;
use fanlight_telemetry::sanitize::{one_line, truncated};

/// Why a request was not answered by the guest, or its answer cut short.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The request has no authority, or a target that is none.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// The request's body is over the bound.
    #[error("the request's body is too large")]
    BodyTooLarge,
    /// The request's header section is over the bounds.
    #[error("the request's headers are too many or too large")]
    HeadersTooLarge,
    /// CONNECT and protocol upgrades are not served.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// The request has come from this host: a guest's call that leads to itself.
    #[error("the request has passed this host before")]
    LoopDetected,
    /// No instance became free within the queue timeout.
    #[error("no instance became free within the queue timeout")]
    Overloaded,
    /// The server is going away.
    #[error("the server is shutting down")]
    Unavailable,
    /// The guest did not answer before the deadline.
    #[error("the guest did not answer before the deadline")]
    Timeout,
    /// The guest returned without having answered.
    #[error("the guest returned without a response")]
    NoResponse,
    /// The guest answered with an informational status as its final one.
    #[error("the guest answered with the informational status {0}")]
    InvalidResponse(u16),
    /// The guest answered with an error code of `wasi:http`.
    #[error("the guest answered with an error code")]
    ErrorCode(#[source] ErrorCodeError),
    /// The guest trapped.
    #[error("the guest trapped")]
    Trap(#[source] GuestTrap),
    /// The guest exited, and not with success.
    #[error("the guest exited with a failure")]
    Exit,
    /// The guest's response body was cut short by the guest itself.
    #[error("the guest aborted its response body")]
    BodyAborted,
    /// The response made no progress for too long.
    #[error("the response made no progress within the stream idle timeout")]
    StreamIdle {
        /// Whether it waited for the client, to read or to send, rather than
        /// for the guest.
        waits_for_client: bool,
    },
    /// The host could not make an instance.
    #[error("the host could not make an instance")]
    Instantiate(#[source] InstantiateError),
    /// The client went away before it had the whole answer.
    #[error("the client went away")]
    Cancelled,
}

/// Who is to blame for a failed request, as `error.blame` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The component.
    Guest,
    /// This server or its machine.
    Host,
    /// The client.
    Client,
}

impl Blame {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Host => "host",
            Self::Client => "client",
        }
    }
}

impl HandleError {
    /// The status of the host's own answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
            Self::Overloaded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ErrorCode(code) if code.is_upstream() => StatusCode::BAD_GATEWAY,
            // A client that left gets no answer, and an answer that is cut short
            // has its status: these are never sent.
            Self::NoResponse
            | Self::InvalidResponse(_)
            | Self::ErrorCode(_)
            | Self::Trap(_)
            | Self::Exit
            | Self::BodyAborted
            | Self::StreamIdle { .. }
            | Self::Instantiate(_)
            | Self::Cancelled => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The value of `error.type`: a fixed word, never a formatted error.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::BodyTooLarge => "body_too_large",
            Self::HeadersTooLarge => "header_fields_too_large",
            Self::Unsupported(_) => "unsupported",
            Self::LoopDetected => "loop_detected",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::NoResponse => "no_response",
            Self::InvalidResponse(_) => "invalid_response",
            Self::ErrorCode(code) => code.name(),
            Self::Trap(_) => "trap",
            Self::Exit => "exit",
            Self::BodyAborted => "body_aborted",
            Self::StreamIdle { .. } => "stream_idle_timeout",
            Self::Instantiate(_) => "instantiate",
            Self::Cancelled => "cancelled",
        }
    }

    /// Who is to blame.
    pub fn blame(&self) -> Blame {
        match self {
            Self::BadRequest(_)
            | Self::BodyTooLarge
            | Self::HeadersTooLarge
            | Self::Unsupported(_)
            | Self::LoopDetected
            | Self::StreamIdle {
                waits_for_client: true,
            }
            | Self::Cancelled => Blame::Client,
            Self::Overloaded | Self::Unavailable | Self::Instantiate(_) => Blame::Host,
            Self::Timeout
            | Self::NoResponse
            | Self::InvalidResponse(_)
            | Self::ErrorCode(_)
            | Self::Trap(_)
            | Self::Exit
            | Self::BodyAborted
            | Self::StreamIdle { .. } => Blame::Guest,
        }
    }

    /// The title in the client's response: a short text without anything internal.
    pub fn title(&self) -> &'static str {
        match self {
            Self::BadRequest(why) | Self::Unsupported(why) => why,
            Self::BodyTooLarge => "The request's body is too large",
            Self::HeadersTooLarge => "The request's headers are too many or too large",
            Self::LoopDetected => "The request has passed this server before",
            Self::Overloaded => "The server is at its limit of concurrent requests",
            Self::Unavailable => "The server is shutting down",
            Self::Timeout => "The component did not answer in time",
            Self::NoResponse => "The component gave no response",
            Self::InvalidResponse(_) => "The component gave an invalid response",
            Self::ErrorCode(code) if code.is_upstream() => {
                "The component could not reach a service it needs"
            }
            Self::ErrorCode(_)
            | Self::Trap(_)
            | Self::Exit
            | Self::BodyAborted
            | Self::StreamIdle { .. } => "The component failed",
            Self::Instantiate(_) => "The component could not be started",
            Self::Cancelled => "The client went away",
        }
    }

    /// The trap, where the guest trapped.
    pub fn trap(&self) -> Option<&GuestTrap> {
        match self {
            Self::Trap(trap) => Some(trap),
            _ => None,
        }
    }
}

/// A trap as logs and spans show it.
#[derive(Clone, Debug)]
pub struct GuestTrap {
    kind: String,
    backtrace: Option<String>,
    stderr: String,
}

impl GuestTrap {
    /// Reads kind and backtrace out of the engine's error; `stderr` is the tail
    /// of what the guest wrote there, where a Rust guest's panic message is.
    pub(crate) fn new(error: &wasmtime::Error, stderr: String) -> Self {
        let kind = match error.downcast_ref::<TrapKind>() {
            Some(trap) => trap.to_string(),
            None => one_line(error.root_cause(), MAX_MESSAGE),
        };
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(backtrace_text);
        Self {
            kind,
            backtrace,
            stderr,
        }
    }

    /// What the guest said last on stderr, or the trap's kind.
    pub(crate) fn message(&self) -> String {
        let stderr = self.stderr.trim();
        if stderr.is_empty() {
            self.kind.clone()
        } else {
            format!("{}: {stderr}", self.kind)
        }
    }

    /// The guest's functions, demangled, innermost first.
    pub(crate) fn backtrace(&self) -> Option<&str> {
        self.backtrace.as_deref()
    }
}

impl fmt::Display for GuestTrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for GuestTrap {}

/// How much of a guest's own message is shown, in bytes.
const MAX_MESSAGE: usize = 1024;

/// An error code of `wasi:http`, by which a guest can answer instead of a response.
#[derive(Debug)]
pub struct ErrorCodeError(pub(crate) ErrorCode);

impl ErrorCodeError {
    /// Whether it speaks of a service that the guest called.
    fn is_upstream(&self) -> bool {
        let name = self.name();
        [
            "DNS-",
            "destination-",
            "connection-",
            "TLS-",
            "HTTP-response-",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix))
    }

    /// The case's name as the WIT of `wasi:http` 0.2 writes it.
    pub(crate) fn name(&self) -> &'static str {
        match &self.0 {
            ErrorCode::DnsTimeout => "DNS-timeout",
            ErrorCode::DnsError(_) => "DNS-error",
            ErrorCode::DestinationNotFound => "destination-not-found",
            ErrorCode::DestinationUnavailable => "destination-unavailable",
            ErrorCode::DestinationIpProhibited => "destination-IP-prohibited",
            ErrorCode::DestinationIpUnroutable => "destination-IP-unroutable",
            ErrorCode::ConnectionRefused => "connection-refused",
            ErrorCode::ConnectionTerminated => "connection-terminated",
            ErrorCode::ConnectionTimeout => "connection-timeout",
            ErrorCode::ConnectionReadTimeout => "connection-read-timeout",
            ErrorCode::ConnectionWriteTimeout => "connection-write-timeout",
            ErrorCode::ConnectionLimitReached => "connection-limit-reached",
            ErrorCode::TlsProtocolError => "TLS-protocol-error",
            ErrorCode::TlsCertificateError => "TLS-certificate-error",
            ErrorCode::TlsAlertReceived(_) => "TLS-alert-received",
            ErrorCode::HttpRequestDenied => "HTTP-request-denied",
            ErrorCode::HttpRequestLengthRequired => "HTTP-request-length-required",
            ErrorCode::HttpRequestBodySize(_) => "HTTP-request-body-size",
            ErrorCode::HttpRequestMethodInvalid => "HTTP-request-method-invalid",
            ErrorCode::HttpRequestUriInvalid => "HTTP-request-URI-invalid",
            ErrorCode::HttpRequestUriTooLong => "HTTP-request-URI-too-long",
            ErrorCode::HttpRequestHeaderSectionSize(_) => "HTTP-request-header-section-size",
            ErrorCode::HttpRequestHeaderSize(_) => "HTTP-request-header-size",
            ErrorCode::HttpRequestTrailerSectionSize(_) => "HTTP-request-trailer-section-size",
            ErrorCode::HttpRequestTrailerSize(_) => "HTTP-request-trailer-size",
            ErrorCode::HttpResponseIncomplete => "HTTP-response-incomplete",
            ErrorCode::HttpResponseHeaderSectionSize(_) => "HTTP-response-header-section-size",
            ErrorCode::HttpResponseHeaderSize(_) => "HTTP-response-header-size",
            ErrorCode::HttpResponseBodySize(_) => "HTTP-response-body-size",
            ErrorCode::HttpResponseTrailerSectionSize(_) => "HTTP-response-trailer-section-size",
            ErrorCode::HttpResponseTrailerSize(_) => "HTTP-response-trailer-size",
            ErrorCode::HttpResponseTransferCoding(_) => "HTTP-response-transfer-coding",
            ErrorCode::HttpResponseContentCoding(_) => "HTTP-response-content-coding",
            ErrorCode::HttpResponseTimeout => "HTTP-response-timeout",
            ErrorCode::HttpUpgradeFailed => "HTTP-upgrade-failed",
            ErrorCode::HttpProtocolError => "HTTP-protocol-error",
            ErrorCode::LoopDetected => "loop-detected",
            ErrorCode::ConfigurationError => "configuration-error",
            ErrorCode::InternalError(_) => "internal-error",
        }
    }
}

impl fmt::Display for ErrorCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ErrorCode::InternalError(Some(message)) => {
                // A guest's own words, as long as it likes.
                let message = truncated(message, MAX_MESSAGE);
                write!(f, "{}: {message}", self.name())
            }
            _ => f.write_str(self.name()),
        }
    }
}

impl std::error::Error for ErrorCodeError {}

/// Why the engine made no instance. (`wasmtime::Error` itself is no `std` error.)
#[derive(Debug)]
pub struct InstantiateError(pub(crate) wasmtime::Error);

impl fmt::Display for InstantiateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for InstantiateError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_about_a_service_that_was_called_become_502_and_others_500() {
        for (code, status) in [
            (ErrorCode::DnsTimeout, 502),
            (ErrorCode::DestinationNotFound, 502),
            (ErrorCode::ConnectionRefused, 502),
            (ErrorCode::TlsProtocolError, 502),
            (ErrorCode::HttpResponseTimeout, 502),
            (ErrorCode::HttpRequestDenied, 500),
            (ErrorCode::LoopDetected, 500),
            (ErrorCode::InternalError(None), 500),
        ] {
            let error = HandleError::ErrorCode(ErrorCodeError(code));
            assert_eq!(error.status().as_u16(), status, "{}", error.error_type());
        }
    }

    #[test]
    fn an_error_prints_one_level_and_leaves_the_rest_to_its_source() {
        let trap = GuestTrap {
            kind: "wasm `unreachable` instruction executed".into(),
            backtrace: None,
            stderr: "panicked at src/lib.rs:1\n".into(),
        };
        let error = HandleError::Trap(trap);
        assert_eq!(error.to_string(), "the guest trapped");
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(
            source.as_deref(),
            Some("wasm `unreachable` instruction executed: panicked at src/lib.rs:1")
        );
    }
}
