//! A call by `wasi:http`, over the bindings.

use std::time::Duration;

use fanlight_guest::bindings::wasi::http::outgoing_handler::handle;
use fanlight_guest::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, OutgoingBody, OutgoingRequest,
    RequestOptions,
};
use fanlight_guest::bindings::wasi::io::streams::{InputStream, StreamError};
use fanlight_guest::{BodyWriter, Method, Scheme, ready};

/// The most that is read at once.
const CHUNK_BYTES: u64 = 64 * 1024;

/// A call that is not sent yet.
pub(crate) struct Call {
    request: OutgoingRequest,
}

/// How long the caller waits for each part; absent: as long as the host allows.
#[derive(Default)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) between_bytes: Option<Duration>,
}

impl Call {
    pub(crate) fn new(
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, ErrorCode> {
        let invalid = |()| ErrorCode::HttpRequestUriInvalid;
        let (scheme, rest) = url.split_once("://").ok_or(()).map_err(invalid)?;
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => Scheme::Other(other.into()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let fields: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let fields = Fields::from_list(&fields)
            .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        let request = OutgoingRequest::new(fields);
        request.set_method(method).map_err(invalid)?;
        request.set_scheme(Some(&scheme)).map_err(invalid)?;
        request.set_authority(Some(authority)).map_err(invalid)?;
        request
            .set_path_with_query(Some(path).filter(|path| !path.is_empty()))
            .map_err(invalid)?;
        Ok(Self { request })
    }

    /// Ends a call without a body.
    pub(crate) fn finish(self) -> Result<Self, ErrorCode> {
        let body = self
            .request
            .body()
            .map_err(|()| ErrorCode::InternalError(None))?;
        OutgoingBody::finish(body, None)?;
        Ok(self)
    }

    /// The body, which is written while the call is under way.
    pub(crate) fn body(&mut self) -> Result<BodyWriter, ErrorCode> {
        let body = self.request.body().ok();
        body.and_then(BodyWriter::from_raw)
            .ok_or(ErrorCode::InternalError(None))
    }

    /// Sends it at once; the future waits for the response's headers.
    pub(crate) fn send(
        self,
        timeouts: Timeouts,
    ) -> impl Future<Output = Result<Response, ErrorCode>> {
        let options = RequestOptions::new();
        let nanos =
            |it: Option<Duration>| it.map(|it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX));
        // The host takes any.
        let _ = options.set_connect_timeout(nanos(timeouts.connect));
        let _ = options.set_first_byte_timeout(nanos(timeouts.first_byte));
        let _ = options.set_between_bytes_timeout(nanos(timeouts.between_bytes));
        let sent = handle(self.request, Some(options));
        async move {
            let response = sent?;
            loop {
                match response.get() {
                    Some(Ok(Ok(response))) => return Ok(Response { response }),
                    Some(Ok(Err(code))) => return Err(code),
                    Some(Err(())) => return Err(ErrorCode::InternalError(None)),
                    None => ready(response.subscribe()).await,
                }
            }
        }
    }
}

/// A response whose headers have come.
pub(crate) struct Response {
    response: IncomingResponse,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.response.status()
    }

    pub(crate) fn body(self) -> Result<Body, ErrorCode> {
        let internal = |()| ErrorCode::InternalError(None);
        let body = self.response.consume().map_err(internal)?;
        Ok(Body {
            stream: body.stream().map_err(internal)?,
            _body: body,
            _response: self.response,
        })
    }

    pub(crate) async fn bytes(self) -> Result<Vec<u8>, ErrorCode> {
        let mut body = self.body()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend(chunk?);
        }
        Ok(bytes)
    }
}

/// A response's body.
pub(crate) struct Body {
    // The order matters: each is dropped before what it was taken from.
    stream: InputStream,
    _body: IncomingBody,
    _response: IncomingResponse,
}

impl Body {
    /// The next part, or none at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<u8>, ErrorCode>> {
        loop {
            match self.stream.read(CHUNK_BYTES) {
                Ok(chunk) if chunk.is_empty() => ready(self.stream.subscribe()).await,
                Ok(chunk) => return Some(Ok(chunk)),
                Err(StreamError::Closed) => return None,
                Err(StreamError::LastOperationFailed(error)) => {
                    let code = fanlight_guest::bindings::wasi::http::types::http_error_code(&error);
                    return Some(Err(code.unwrap_or(ErrorCode::InternalError(None))));
                }
            }
        }
    }
}
