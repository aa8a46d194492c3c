//! Plain HTTP. Every request is bounded in time, every answer in size.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::traceresponse::TraceResponse;

/// Longer than the server's own deadline for a guest, which answers by itself.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A search in Jaeger brings hundreds of traces at once.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Sends requests without a body and reads the answers whole. Clones share their
/// connections.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<HttpConnector, Empty<Bytes>>,
}

impl Client {
    /// Makes one that has no connection yet.
    #[must_use]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        Self {
            inner: legacy::Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// When there is no answer within a minute, or it breaks off, or is too large.
    pub async fn send(&self, method: &Method, url: &str) -> anyhow::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(http::header::USER_AGENT, "fanlight-runner")
            .body(Empty::new())
            .with_context(|| format!("cannot ask {url}"))?;
        let begun = Instant::now();
        tokio::time::timeout(REQUEST_TIMEOUT, async {
            let response = self.inner.request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_BODY_BYTES)
                .collect()
                .await
                .map_err(|error| anyhow::anyhow!(error).context("the answer breaks off"))?
                .to_bytes();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
                latency: begun.elapsed(),
            })
        })
        .await
        .unwrap_or_else(|_| {
            anyhow::bail!("no answer within {} s", REQUEST_TIMEOUT.as_secs());
        })
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// From before the request was sent until the last byte was there, connecting
    /// included.
    pub latency: Duration,
}

impl Answer {
    /// Reads the header of this name; `None` when there is none, or not exactly
    /// one, or it is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).context("the body is not JSON")
    }

    /// Reads which trace the answer belongs to.
    ///
    /// # Errors
    /// When the header is not there, or malformed.
    pub fn trace(&self) -> anyhow::Result<TraceResponse> {
        self.header("traceresponse")
            .context("there is no traceresponse header: was the server told --no-trace-header?")?
            .parse()
    }
}
