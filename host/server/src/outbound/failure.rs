//! Why a call failed: what the guest receives, and what the span says.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;

use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::{
    DnsErrorPayload, ErrorCode, TlsAlertReceivedPayload,
};

/// Why the policy refuses a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// No rule speaks for the origin.
    #[error("--allow-outbound names no such origin")]
    Origin,
    /// The name resolves to an address that no rule speaks for.
    #[error("{0} is an address that --allow-outbound does not name")]
    Address(IpAddr),
    /// The request's guest has made its calls.
    #[error("the request has made as many calls as --max-outbound-calls allows")]
    Calls,
}

impl Denied {
    /// What refuses, as an attribute's value.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Address(_) => "address",
            Self::Calls => "calls",
        }
    }
}

/// A name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("the name cannot be resolved")]
pub(crate) struct Unresolved(#[source] pub(crate) io::Error);

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum CallFailure {
    Denied(Denied),
    /// The target is no URI of HTTP.
    InvalidUri,
    /// No other call ended in time.
    Crowded,
    ConnectTimeout,
    FirstByteTimeout,
    /// What the client, the network or the other side reported.
    Client(ErrorCode),
}

impl CallFailure {
    /// Reads the reason out of the chain of a client's error.
    pub(crate) fn of(error: &hyper_util::client::legacy::Error) -> Self {
        for cause in causes(error) {
            if let Some(denied) = cause.downcast_ref::<Denied>() {
                return Self::Denied(*denied);
            }
            if cause.is::<Unresolved>() {
                return Self::Client(ErrorCode::DnsError(DnsErrorPayload {
                    rcode: None,
                    info_code: None,
                }));
            }
            if let Some(known) = code_of(cause) {
                return Self::Client(known);
            }
        }
        let rest = if error.is_connect() {
            ErrorCode::DestinationUnavailable
        } else {
            ErrorCode::HttpProtocolError
        };
        Self::Client(rest)
    }

    /// What the policy says, where that is the reason.
    pub(crate) fn denied(&self) -> Option<Denied> {
        match self {
            Self::Denied(denied) => Some(*denied),
            _ => None,
        }
    }
}

impl From<CallFailure> for ErrorCode {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Denied(_) => Self::HttpRequestDenied,
            CallFailure::InvalidUri => Self::HttpRequestUriInvalid,
            CallFailure::Crowded => Self::ConnectionLimitReached,
            CallFailure::ConnectTimeout => Self::ConnectionTimeout,
            CallFailure::FirstByteTimeout => Self::HttpResponseTimeout,
            CallFailure::Client(code) => code,
        }
    }
}

/// An error and its causes, the innermost last. What an error of input and output wraps
/// is one of them: its own `source` passes it by.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |current| {
        let current: &'a (dyn StdError + 'static) = *current;
        let io: Option<&'a io::Error> = current.downcast_ref();
        match io.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => current.source(),
        }
    })
}

fn code_of(cause: &(dyn StdError + 'static)) -> Option<ErrorCode> {
    if let Some(tls) = cause.downcast_ref() {
        return Some(of_tls(tls));
    }
    let http = cause.downcast_ref().and_then(of_http);
    http.or_else(|| cause.downcast_ref().and_then(of_io))
}

fn of_tls(error: &rustls::Error) -> ErrorCode {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            ErrorCode::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => {
            ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
                alert_id: Some((*alert).into()),
                alert_message: Some(format!("{alert:?}")),
            })
        }
        _ => ErrorCode::TlsProtocolError,
    }
}

fn of_http(error: &hyper::Error) -> Option<ErrorCode> {
    if error.is_incomplete_message() {
        Some(ErrorCode::ConnectionTerminated)
    } else if error.is_parse_too_large() {
        Some(ErrorCode::HttpResponseHeaderSectionSize(None))
    } else if error.is_parse() {
        Some(ErrorCode::HttpProtocolError)
    } else {
        None
    }
}

fn of_io(error: &io::Error) -> Option<ErrorCode> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => ErrorCode::ConnectionTerminated,
        io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorCode::DestinationIpUnroutable
        }
        _ => return None,
    })
}

/// What breaks off a response's body.
pub(crate) fn of_body(error: &hyper::Error) -> Error {
    let io = |cause: &'_ (dyn StdError + 'static)| cause.downcast_ref().map(io::Error::kind);
    let code = match causes(error).find_map(io) {
        // Fewer bytes than the length, or no end of the chunks.
        Some(io::ErrorKind::UnexpectedEof) => ErrorCode::HttpResponseIncomplete,
        Some(_) => ErrorCode::ConnectionTerminated,
        None if error.is_incomplete_message() => ErrorCode::HttpResponseIncomplete,
        None => ErrorCode::HttpProtocolError,
    };
    code.into()
}
