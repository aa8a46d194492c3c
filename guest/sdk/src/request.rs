//! The request that a component answers.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::bindings::wasi::http::types::{IncomingRequest, Method, Scheme};
use crate::body::{Body, BodyError};
use crate::query;

/// A request.
///
/// ```
/// # use fanlight_guest::{Method, Request, Response};
/// async fn handle(request: Request) -> Response {
///     match (request.method(), request.path()) {
///         (Method::Get, "/hello") => {
///             let name = request.query_param("name").unwrap_or("world".into());
///             Response::text(format!("hello, {name}\n"))
///         }
///         _ => Response::new(404),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Request {
    raw: IncomingRequest,
    method: Method,
    path_and_query: OnceCell<String>,
    headers: OnceCell<Vec<(String, Vec<u8>)>>,
}

impl Request {
    /// Takes over a request that came by [`serve_raw!`](crate::serve_raw).
    pub fn from_raw(raw: IncomingRequest) -> Self {
        Self {
            method: raw.method(),
            path_and_query: OnceCell::new(),
            headers: OnceCell::new(),
            raw,
        }
    }

    /// Returns the request's method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path as it was sent, percent-encoded.
    pub fn path(&self) -> &str {
        let both = self.path_and_query();
        both.split_once('?').map_or(both, |(path, _)| path)
    }

    fn path_and_query(&self) -> &str {
        self.path_and_query
            .get_or_init(|| self.raw.path_with_query().unwrap_or_default())
    }

    /// Returns the path decoded.
    ///
    /// An encoded slash is a slash here, so split [`path`](Request::path)
    /// rather than this.
    pub fn decoded_path(&self) -> Cow<'_, str> {
        query::decode_path(self.path())
    }

    /// Returns the query as it was sent, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query()
            .split_once('?')
            .map(|(_, query)| query)
    }

    /// Returns the first value of a parameter in the query, decoded.
    pub fn query_param(&self, name: &str) -> Option<Cow<'_, str>> {
        query::find(self.query()?, name)
    }

    /// Returns the names and values in the query, decoded.
    pub fn query_params(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(self.query().unwrap_or_default())
    }

    /// Returns the first value of a header, if it is UTF-8; its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self
            .entries()
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        str::from_utf8(value).ok()
    }

    /// Returns the headers in the order of the host.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    fn entries(&self) -> &[(String, Vec<u8>)] {
        self.headers.get_or_init(|| self.raw.headers().entries())
    }

    /// Returns the scheme, where the host knows it.
    pub fn scheme(&self) -> Option<Scheme> {
        self.raw.scheme()
    }

    /// Returns the host and port that the client asked for.
    pub fn authority(&self) -> Option<String> {
        self.raw.authority()
    }

    /// Returns the body to read it as it comes.
    ///
    /// # Errors
    ///
    /// Fails when the body was taken before.
    pub fn body(&self) -> Result<Body, BodyError> {
        Body::of(&self.raw, usize::MAX)
    }

    /// Reads the whole body, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// Fails when the body is larger, was taken before, or cannot be read.
    pub async fn bytes(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        // One byte more than that is enough to know that it is larger.
        let mut body = Body::of(&self.raw, limit.saturating_add(1))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            if limit - bytes.len() < chunk.len() {
                return Err(BodyError::TooLarge { limit });
            }
            if bytes.is_empty() {
                bytes = chunk;
            } else {
                bytes.extend_from_slice(&chunk);
            }
        }
        Ok(bytes)
    }

    /// Reads the whole body as text, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// Fails when [`bytes`](Request::bytes) does, or it is not UTF-8.
    pub async fn text(&self, limit: usize) -> Result<String, BodyError> {
        let bytes = self.bytes(limit).await?;
        String::from_utf8(bytes).map_err(BodyError::NotText)
    }

    /// Reads the whole body as JSON, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// Fails when [`bytes`](Request::bytes) does, or it is not such JSON.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(&self, limit: usize) -> Result<T, BodyError> {
        let bytes = self.bytes(limit).await?;
        serde_json::from_slice(&bytes).map_err(BodyError::NotJson)
    }

    /// Returns the request of the bindings, for what this type leaves out.
    pub fn raw(&self) -> &IncomingRequest {
        &self.raw
    }

    /// Gives the request of the bindings back, to hand it on.
    pub fn into_raw(self) -> IncomingRequest {
        self.raw
    }
}

impl Method {
    /// Returns the method's name as it stands in a request.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other(name) => name,
        }
    }
}
