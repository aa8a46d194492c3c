//! OTLP over HTTP, with Protobuf or JSON.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use prost::Message as _;
use reqwest::{Body, Certificate, Client, Identity, Response, Url, redirect};

use crate::config::client_tls::ClientTls;
use crate::config::protocol::Protocol;
use crate::config::signal::{Compression, SignalConfig};
use crate::otlp::error::{ExporterError, OtlpError, Unanswered, chain};
use crate::otlp::json;
use crate::otlp::request::{EncodedRequest, OtlpRequest, Rejection, USER_AGENT, backend_text};

/// The most bytes that are read of a response, which says what the backend rejected, or
/// why it refused the request.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest wait for the next part of a response's body: the status says already
/// whether the backend took the request.
const MAX_PAUSE: Duration = Duration::from_secs(2);
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// A client and the headers of each request.
pub(crate) struct HttpTransport {
    client: Client,
    url: Url,
    headers: HeaderMap,
    protocol: Protocol,
    compression: Compression,
}

impl HttpTransport {
    pub(crate) fn new(config: &SignalConfig, timeout: Duration) -> Result<Self, ExporterError> {
        let url = Url::parse(&config.endpoint)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| ExporterError::Endpoint {
                endpoint: config.shown_endpoint(),
                source: None,
            })?;
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

    pub(crate) fn encode(&self, request: &impl EncodedRequest) -> Result<Bytes, OtlpError> {
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

    pub(crate) async fn send<R: OtlpRequest>(
        &self,
        body: Bytes,
        unanswered: &Unanswered,
    ) -> Result<Option<Rejection>, OtlpError> {
        let request = self.client.post(self.url.clone());
        let body = Body::wrap(SentBody {
            bytes: Some(body),
            unanswered: unanswered.clone(),
        });
        let sent = request.headers(self.headers.clone()).body(body).send();
        let response = sent.await.map_err(|error| {
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
        unanswered.set(false);
        let (status, headers) = (response.status(), response.headers().clone());
        let form = Form::of(&headers, self.protocol);
        let body = read(response).await;
        if !status.is_success() {
            return Err(failure(status, &headers, form, &body));
        }
        // It has taken the request: a response that cannot be read changes nothing.
        Ok(match form {
            Form::Json => Rejection::from_json(&body),
            Form::Protobuf => R::Response::decode(body).ok().and_then(R::rejected),
            Form::Text => None,
        })
    }
}

/// A body that notes when it is sent: not before there is a connection.
struct SentBody {
    bytes: Option<Bytes>,
    unanswered: Unanswered,
}

impl http_body::Body for SentBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.unanswered.set(true);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// The form of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
    Text,
}

impl Form {
    /// The form that the headers name, or that of the request.
    fn of(headers: &HeaderMap, protocol: Protocol) -> Self {
        let Some(media_type) = headers.get(header::CONTENT_TYPE) else {
            return match protocol {
                Protocol::HttpJson => Self::Json,
                Protocol::Grpc | Protocol::HttpProtobuf => Self::Protobuf,
            };
        };
        let media_type = media_type.to_str().unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        match media_type.to_ascii_lowercase().as_str() {
            JSON => Self::Json,
            PROTOBUF | "application/protobuf" => Self::Protobuf,
            _ => Self::Text,
        }
    }
}

fn with_tls(
    mut client: reqwest::ClientBuilder,
    files: &ClientTls,
) -> Result<reqwest::ClientBuilder, ExporterError> {
    if let Some(authorities) = files.authorities()? {
        client = client.tls_certs_only(Certificate::from_pem_bundle(&authorities)?);
    }
    if let Some(identity) = files.identity()? {
        let pem = [identity.certificate, identity.key].join(&b'\n');
        client = client.identity(Identity::from_pem(&pem)?);
    }
    Ok(client)
}

/// The body, or the part that arrived: no more than its bound, nor what breaks off.
async fn read(mut response: Response) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Ok(Some(part))) = tokio::time::timeout(MAX_PAUSE, response.chunk()).await {
        let room = MAX_ANSWER - body.len();
        body.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            break;
        }
    }
    body.freeze()
}

/// OTLP defines the codes that allow another attempt.
fn failure(status: StatusCode, headers: &HeaderMap, form: Form, body: &Bytes) -> OtlpError {
    let message = match reason(form, body) {
        reason if reason.is_empty() => format!("HTTP {status}"),
        reason => format!("HTTP {status}: {reason}"),
    };
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

/// A backend's reason for a refusal: the message of a `google.rpc.Status`, as
/// OTLP has it, or the body itself where that is a text.
fn reason(form: Form, body: &Bytes) -> String {
    let message = match form {
        Form::Protobuf => tonic_types::Status::decode(body.clone())
            .ok()
            .map(|status| status.message),
        Form::Json => serde_json::from_slice::<serde_json::Value>(body)
            .ok()
            .and_then(|status| Some(status.get("message")?.as_str()?.to_owned())),
        Form::Text => None,
    };
    let text = || str::from_utf8(body).ok().map(str::to_owned);
    backend_text(&message.or_else(text).unwrap_or_default())
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
            let OtlpError::Transient { after, .. } =
                failure(status, &headers, Form::Text, &Bytes::new())
            else {
                unreachable!("{code} may pass")
            };
            assert_eq!(after, Some(Duration::from_secs(3)));
        }
        for code in [302, 400, 401, 413, 500] {
            let status = StatusCode::from_u16(code).unwrap();
            let failure = failure(status, &headers, Form::Text, &Bytes::new());
            assert!(matches!(failure, OtlpError::Permanent(_)), "{code}");
        }
        let missing = failure(StatusCode::NOT_FOUND, &headers, Form::Text, &Bytes::new());
        assert!(matches!(missing, OtlpError::NoService(_)));
    }

    #[test]
    fn the_reason_of_a_refusal_is_read_in_each_form_bounded_and_in_one_line() {
        let status = tonic_types::Status {
            code: 3,
            message: "too\nlarge\u{1b}[2J".to_owned(),
            details: Vec::new(),
        };
        let json = r#"{"code":3,"message":"too\nlarge\u001b[2J","details":[]}"#;
        let wanted = "too\\nlarge\\u{1b}[2J";
        for (form, body) in [
            (Form::Protobuf, Bytes::from(status.encode_to_vec())),
            (Form::Json, Bytes::from(json)),
            (Form::Text, Bytes::from("too\nlarge\u{1b}[2J\n")),
            (Form::Json, Bytes::from("too\nlarge\u{1b}[2J")),
        ] {
            assert_eq!(reason(form, &body), wanted, "{form:?}");
        }
        for (form, body) in [
            (Form::Protobuf, Bytes::new()),
            (Form::Json, Bytes::new()),
            (Form::Text, Bytes::from_static(&[0xff, 0xfe])),
        ] {
            assert_eq!(reason(form, &body), "", "{form:?}");
        }
        let page = Bytes::from("\u{e4}".repeat(MAX_ANSWER));
        assert!(reason(Form::Text, &page).len() < 600);
        let refused = failure(
            StatusCode::BAD_REQUEST,
            &HeaderMap::new(),
            Form::Text,
            &Bytes::from("no"),
        );
        assert_eq!(refused.to_string(), "HTTP 400 Bad Request: no");
    }

    #[test]
    fn the_form_of_an_answer_is_what_it_says_or_that_of_the_request() {
        for (media_type, wanted) in [
            ("application/x-protobuf", Form::Protobuf),
            ("application/json; charset=utf-8", Form::Json),
            ("Application/JSON", Form::Json),
            ("text/html", Form::Text),
        ] {
            let media_type = HeaderValue::from_static(media_type);
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media_type)]);
            assert_eq!(Form::of(&headers, Protocol::HttpProtobuf), wanted);
        }
        let none = HeaderMap::new();
        assert_eq!(Form::of(&none, Protocol::HttpJson), Form::Json);
        assert_eq!(Form::of(&none, Protocol::HttpProtobuf), Form::Protobuf);
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
