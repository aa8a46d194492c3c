//! One connection of a client, HTTP/1.1 or HTTP/2. Every request is bounded in time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Longer than any deadline that a server is told here.
const PATIENCE: Duration = Duration::from_secs(180);

/// The version of HTTP to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A connection that is kept alive until it is dropped.
pub(crate) struct Connection {
    address: SocketAddr,
    sender: Sender,
    task: JoinHandle<()>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// The header `traceresponse`, where there is one that is text.
    pub(crate) traceresponse: Option<String>,
    /// From before the request was sent until the last byte was there.
    pub(crate) latency: Duration,
}

impl Connection {
    /// Connects and shakes hands.
    pub(crate) async fn open(address: SocketAddr, protocol: Protocol) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        // What ends a connection is told to whoever waits for an answer on it.
        let (sender, task) = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                let task = tokio::spawn(async move { drop(connection.await) });
                (Sender::Http1(sender), task)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                let task = tokio::spawn(async move { drop(connection.await) });
                (Sender::Http2(sender), task)
            }
        };
        Ok(Self {
            address,
            sender,
            task,
        })
    }

    /// Sends one request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let authority = self.address.to_string();
        let mut request = Request::builder().method(method);
        request = match &self.sender {
            Sender::Http1(_) => request
                .uri(target)
                .header(http::header::HOST, authority.as_str()),
            Sender::Http2(_) => request.uri(format!("http://{authority}{target}")),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let begun = Instant::now();
        let answer = async {
            let response = match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await?
                }
            };
            let (head, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .context("the answer breaks off")?
                .to_bytes();
            let traceresponse = head.headers.get("traceresponse");
            Ok(Answer {
                status: head.status.as_u16(),
                body,
                traceresponse: traceresponse
                    .and_then(|value| value.to_str().ok())
                    .map(str::to_owned),
                latency: begun.elapsed(),
            })
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer,
            Err(_) => anyhow::bail!("no answer to {target} within {PATIENCE:?}"),
        }
    }

    /// A GET without anything else.
    pub(crate) async fn get(&mut self, target: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, target, &[], Bytes::new()).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}
