//! OTLP over HTTP, with Protobuf or JSON.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message as _;
use reqwest::{Certificate, Client, Identity, Response, Url, redirect};

use super::super::client_tls::ClientTls;
use super::super::signal::{Compression, Protocol, SignalConfig};
use super::{OtlpError, OtlpRequest, Outgoing, Rejection, USER_AGENT, chain, json};

/// What is read of an answer, in bytes: it says no more than what was left out.
const MAX_ANSWER: usize = 64 * 1024;
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A client and what goes with each request.
pub(super) struct HttpTransport {
    client: Client,
    url: Url,
    headers: HeaderMap,
    protocol: Protocol,
    compression: Compression,
}

impl HttpTransport {
    pub(super) fn new(config: &SignalConfig, timeout: Duration) -> anyhow::Result<Self> {
        let url = Url::parse(&config.endpoint)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .with_context(|| format!("{} is no address", config.shown_endpoint()))?;
        let mut headers = config.headers.clone();
        let media_type = match config.protocol {
            Protocol::HttpJson => JSON,
            Protocol::Grpc | Protocol::HttpProtobuf => PROTOBUF,
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if config.compression == Compression::Gzip {
            let gzip = HeaderValue::from_static("gzip");
            headers.insert(header::CONTENT_ENCODING, gzip);
        }
        let mut client = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(timeout)
            // Headers may be secrets, which are for the backend that was named.
            .redirect(redirect::Policy::none())
            // For the same reason, and because gRPC knows of none.
            .no_proxy();
        if config.is_https() {
            client = with_tls(client, &config.tls)?;
        }
        Ok(Self {
            client: client.build()?,
            url,
            headers,
            protocol: config.protocol,
            compression: config.compression,
        })
    }

    pub(super) fn encode(&self, request: &impl Outgoing) -> Result<Bytes, OtlpError> {
        let permanent = |error: &dyn std::error::Error| OtlpError::Permanent(chain(error));
        let body: Bytes = match self.protocol {
            Protocol::HttpJson => json::encode(&*request.message())
                .map_err(|e| permanent(&e))?
                .into(),
            Protocol::Grpc | Protocol::HttpProtobuf => request.protobuf(),
        };
        match self.compression {
            Compression::None => Ok(body),
            Compression::Gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
                let written = gzip.write_all(&body).and_then(|()| gzip.finish());
                written.map(Bytes::from).map_err(|e| permanent(&e))
            }
        }
    }

    pub(super) async fn send<R: OtlpRequest>(
        &self,
        body: Bytes,
    ) -> Result<Option<Rejection>, OtlpError> {
        let request = self.client.post(self.url.clone());
        let sent = request.headers(self.headers.clone()).body(body).send();
        let answer = sent.await.map_err(|error| {
            let nobody_there = error.is_connect();
            let message = chain(&error.without_url());
            match nobody_there {
                true => OtlpError::Unreachable(message),
                false => OtlpError::Transient {
                    message,
                    after: None,
                },
            }
        })?;
        if !answer.status().is_success() {
            return Err(failure(answer.status(), answer.headers()));
        }
        let is_json = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(JSON.as_bytes()));
        // It has taken the request: an answer that cannot be read changes nothing.
        let Some(body) = read(answer).await else {
            return Ok(None);
        };
        Ok(if is_json {
            Rejection::from_json(&body)
        } else {
            R::Response::decode(body).ok().and_then(R::rejected)
        })
    }
}

fn with_tls(
    mut client: reqwest::ClientBuilder,
    files: &ClientTls,
) -> anyhow::Result<reqwest::ClientBuilder> {
    if let Some(authorities) = files.authorities()? {
        client = client.tls_certs_only(Certificate::from_pem_bundle(&authorities)?);
    }
    if let Some((mut identity, key)) = files.identity()? {
        identity.push(b'\n');
        identity.extend(key);
        client = client.identity(Identity::from_pem(&identity)?);
    }
    Ok(client)
}

async fn read(mut answer: Response) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(part) = answer.chunk().await.ok()? {
        if body.len() + part.len() > MAX_ANSWER {
            return None;
        }
        body.extend_from_slice(&part);
    }
    Some(body.freeze())
}

/// Which codes are worth another attempt is OTLP's to say.
fn failure(status: StatusCode, headers: &HeaderMap) -> OtlpError {
    let message = format!("HTTP {status}");
    match status {
        StatusCode::NOT_FOUND => OtlpError::NoService(message),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => OtlpError::Transient {
            message,
            after: headers.get(header::RETRY_AFTER).and_then(retry_after),
        },
        _ => OtlpError::Permanent(message),
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_backend_is_asked_again_when_it_says_and_a_refusal_stands() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("3"));
        for code in [429, 502, 503, 504] {
            let status = StatusCode::from_u16(code).unwrap();
            let OtlpError::Transient { after, .. } = failure(status, &headers) else {
                unreachable!("{code} may pass")
            };
            assert_eq!(after, Some(Duration::from_secs(3)));
        }
        for code in [302, 400, 401, 413, 500] {
            let status = StatusCode::from_u16(code).unwrap();
            let failure = failure(status, &headers);
            assert!(matches!(failure, OtlpError::Permanent(_)), "{code}");
        }
        let missing = failure(StatusCode::NOT_FOUND, &headers);
        assert!(matches!(missing, OtlpError::NoService(_)));
    }

    #[test]
    fn a_date_is_a_time_to_wait_until() {
        let soon = SystemTime::now() + Duration::from_secs(60);
        let date = HeaderValue::from_str(&httpdate::fmt_http_date(soon)).unwrap();
        let wait = retry_after(&date).unwrap();
        assert!(wait > Duration::from_secs(50) && wait <= Duration::from_secs(60));
        let past = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(retry_after(&past), Some(Duration::ZERO));
        assert_eq!(retry_after(&HeaderValue::from_static("soon")), None);
    }
}
