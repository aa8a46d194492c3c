//! OTLP over gRPC.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, ConnectError, Request, Status};
use tonic_types::StatusExt as _;

use crate::config::client_tls::{ClientTls, ClientTlsError};
use crate::config::signal::{Compression, SignalConfig};
use crate::otlp::encoded::EncodedCodec;
use crate::otlp::error::{ExporterError, OtlpError, Unanswered, chain};
use crate::otlp::request::{OtlpRequest, Rejection, USER_AGENT, backend_text};

/// The time without data from the backend after which the client sends a ping. Only
/// while a request is open: servers treat other pings as abuse.
const PING_AFTER: Duration = Duration::from_secs(10);
/// The time for the response to a ping. After it the connection is closed, and the next
/// attempt opens another.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// TCP keepalive, which also works between requests.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// A channel and the metadata of each request.
pub(crate) struct GrpcTransport {
    client: tonic::client::Grpc<Channel>,
    metadata: MetadataMap,
}

impl GrpcTransport {
    pub(crate) fn new(config: &SignalConfig, timeout: Duration) -> Result<Self, ExporterError> {
        let mut endpoint = Channel::from_shared(config.endpoint.clone())
            .map_err(|source| ExporterError::Endpoint {
                endpoint: config.shown_endpoint(),
                source: Some(source),
            })?
            .user_agent(USER_AGENT)?
            .connect_timeout(timeout)
            .tcp_keepalive(Some(TCP_KEEPALIVE))
            .http2_keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(false);
        if config.is_https() {
            endpoint = endpoint.tls_config(tls(&config.tls)?)?;
        }
        let mut client = tonic::client::Grpc::new(endpoint.connect_lazy());
        if config.compression == Compression::Gzip {
            client = client
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self {
            client,
            metadata: MetadataMap::from_headers(config.headers.clone()),
        })
    }

    pub(crate) async fn send<R: OtlpRequest>(
        &self,
        body: Bytes,
        unanswered: &Unanswered,
    ) -> Result<Option<Rejection>, OtlpError> {
        let mut client = self.client.clone();
        let ready = client.ready().await;
        ready.map_err(|error| OtlpError::Unreachable(chain(&error)))?;
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        let path = PathAndQuery::from_static(R::METHOD);
        let codec = EncodedCodec::<R::Response>::new(unanswered.clone());
        let response = client.unary(request, path, codec).await;
        // A status that the transport made is no response.
        if response.as_ref().err().and_then(Error::source).is_none() {
            unanswered.set(false);
        }
        match response {
            Ok(response) => Ok(R::rejected(response.into_inner())),
            Err(status) => Err(failure(&status)),
        }
    }
}

fn tls(files: &ClientTls) -> Result<ClientTlsConfig, ClientTlsError> {
    let mut tls = ClientTlsConfig::new();
    tls = match files.authorities()? {
        Some(authorities) => tls.ca_certificate(Certificate::from_pem(authorities)),
        None => tls.with_native_roots(),
    };
    if let Some(identity) = files.identity()? {
        tls = tls.identity(Identity::from_pem(identity.certificate, identity.key));
    }
    Ok(tls)
}

/// OTLP defines the codes that allow another attempt. A code that the transport made is
/// different: no backend has refused the request.
fn failure(status: &Status) -> OtlpError {
    if let Some(cause) = status.source() {
        let message = chain(cause);
        return match is_about_connecting(cause) {
            true => OtlpError::Unreachable(message),
            false => OtlpError::Transient {
                message,
                after: None,
            },
        };
    }
    let message = match backend_text(status.message()) {
        reason if reason.is_empty() => status.code().to_string(),
        reason => format!("{}: {reason}", status.code()),
    };
    let asked = status.get_details_retry_info();
    let after = asked.as_ref().and_then(|info| info.retry_delay);
    match status.code() {
        Code::Unimplemented => OtlpError::NoService(message),
        // Without a word on when, the backend says that it is over for good.
        Code::ResourceExhausted if asked.is_none() => OtlpError::Permanent(message),
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => OtlpError::Transient { message, after },
        _ => OtlpError::Permanent(message),
    }
}

fn is_about_connecting(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.any(|cause| cause.is::<ConnectError>())
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn an_exhausted_backend_is_asked_again_only_where_it_says_when() {
        let exhausted = Status::new(Code::ResourceExhausted, "full");
        assert!(matches!(failure(&exhausted), OtlpError::Permanent(_)));
        let soon = Duration::from_secs(2);
        let details = ErrorDetails::with_retry_info(Some(soon));
        let later = Status::with_error_details(Code::ResourceExhausted, "full", details);
        let OtlpError::Transient { after, .. } = failure(&later) else {
            unreachable!("it says when")
        };
        assert_eq!(after, Some(soon));
        let invalid = Status::new(Code::InvalidArgument, "no");
        assert!(matches!(failure(&invalid), OtlpError::Permanent(_)));
        let gone = Status::new(Code::Unavailable, "later");
        assert!(matches!(failure(&gone), OtlpError::Transient { .. }));
        let missing = failure(&Status::new(Code::Unimplemented, "no such service"));
        let OtlpError::NoService(message) = missing else {
            unreachable!("it has none")
        };
        assert!(message.contains("no such service"), "{message}");
    }

    #[test]
    fn what_the_transport_says_is_no_refusal() {
        let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let status = Status::from_error(Box::new(broken()));
        assert_eq!(status.code(), Code::Unknown);
        assert!(matches!(failure(&status), OtlpError::Transient { .. }));
        let nobody = Status::from_error(Box::new(ConnectError(Box::new(broken()))));
        assert!(matches!(failure(&nobody), OtlpError::Unreachable(_)));
        // The same code from the backend itself is its word.
        let unknown = Status::new(Code::Unknown, "?");
        assert!(matches!(failure(&unknown), OtlpError::Permanent(_)));
    }
}
