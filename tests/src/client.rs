//! A client that does just what a test says, over one connection a request.

use bytes::Bytes;
use fanlight_runner::client::Answer;
use fanlight_runner::traceresponse::TraceResponse;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::PATIENCE;

/// A request as a test builds it.
pub struct Ask {
    address: SocketAddr,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    /// A GET of `target` at `address`.
    pub fn get(address: SocketAddr, target: &str) -> Self {
        Self {
            address,
            method: Method::GET,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Another method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .append(name, value.parse().expect("a header's value"));
        self
    }

    /// A body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it over HTTP/1.1.
    ///
    /// # Errors
    /// When no whole answer comes, as when a body is cut short.
    pub async fn try_send(self) -> anyhow::Result<Answer> {
        let stream = TcpStream::connect(self.address).await?;
        self.try_send_on(stream).await
    }

    /// Sends it over HTTP/1.1 on a connection that is there already.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn try_send_on<S>(self, stream: S) -> anyhow::Result<Answer>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let authority = self.address.to_string();
        let request = self.request(&authority, "")?;
        let begun = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, async {
            read(sender.send_request(request).await?, begun).await
        })
        .await?;
        connection.abort();
        answer
    }

    /// Sends it over HTTP/2 without TLS.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn try_send_h2(self) -> anyhow::Result<Answer> {
        let stream = TcpStream::connect(self.address).await?;
        self.send_h2(stream, "http").await
    }

    /// Sends it over HTTP/2 on a connection with TLS that is there already.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn try_send_h2_on<S>(self, stream: S) -> anyhow::Result<Answer>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.send_h2(stream, "https").await
    }

    async fn send_h2<S>(self, stream: S, scheme: &str) -> anyhow::Result<Answer>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await?;
        let connection = tokio::spawn(connection);
        let origin = format!("{scheme}://{}", self.address);
        let request = self.request("", &origin)?;
        let begun = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, async {
            read(sender.send_request(request).await?, begun).await
        })
        .await?;
        connection.abort();
        answer
    }

    /// Sends it and demands a whole answer.
    pub async fn send(self) -> Answer {
        self.try_send().await.expect("a whole answer")
    }

    fn request(self, host: &str, origin: &str) -> anyhow::Result<Request<Full<Bytes>>> {
        let uri = format!("{origin}{}", self.target);
        let mut request = Request::builder().method(self.method).uri(uri);
        if !host.is_empty() && !self.headers.contains_key(http::header::HOST) {
            request = request.header(http::header::HOST, host);
        }
        let mut request = request.body(Full::new(self.body))?;
        request.headers_mut().extend(self.headers);
        Ok(request)
    }
}

async fn read(
    response: http::Response<hyper::body::Incoming>,
    begun: Instant,
) -> anyhow::Result<Answer> {
    let (head, body) = response.into_parts();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
        latency: begun.elapsed(),
    })
}

/// The trace that an answer names.
pub fn trace_of(answer: &Answer) -> TraceResponse {
    answer.trace().expect("the answer names its trace")
}

/// Sends bytes as they are and reads until the server closes.
pub async fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server is there");
    stream.write_all(request).await.expect("the server reads");
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes")
        // What came before it may be enough; where it is not, this says why.
        .inspect_err(|error| eprintln!("the connection broke: {error}"))
        .ok();
    answer
}
