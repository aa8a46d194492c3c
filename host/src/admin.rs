//! The admin listener: whether the process lives and whether it is ready.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::server::Readiness;

/// How long a request's head may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `fanlight health` waits for its answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// What it reads of it.
const HEALTH_BODY_BYTES: usize = 4 * 1024;

/// The admin listener's task. It ends with its owner.
pub struct Admin {
    task: JoinHandle<()>,
}

impl Admin {
    /// Answers on `listener` until it is dropped.
    pub fn serve(listener: TcpListener, readiness: Readiness) -> Self {
        Self {
            task: tokio::spawn(accept(listener, readiness)),
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, readiness: Readiness) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the admin port");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let readiness = readiness.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&request, &readiness);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "an admin connection ended with an error");
            }
        });
    }
}

fn answer<B>(request: &Request<B>, readiness: &Readiness) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => (StatusCode::OK, "alive\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if readiness.is_ready() => {
            (StatusCode::OK, "ready\n")
        }
        (&Method::GET | &Method::HEAD, "/readyz") => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        }
        (_, "/livez" | "/readyz") => (StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
        _ => (StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Asks the server behind `url` whether it is ready.
///
/// # Errors
/// Where it is not, or does not answer in time.
pub async fn health(url: &str) -> anyhow::Result<()> {
    let asked = tokio::time::timeout(HEALTH_TIMEOUT, ask(url)).await;
    let (status, text) = asked.with_context(|| format!("no answer from {url} in 3s"))??;
    anyhow::ensure!(status == StatusCode::OK, "{}", text.trim());
    Ok(())
}

async fn ask(url: &str) -> anyhow::Result<(StatusCode, String)> {
    let uri: http::Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
    anyhow::ensure!(uri.scheme_str() == Some("http"), "{url} is no http:// URL");
    let authority = uri
        .authority()
        .with_context(|| format!("{url} names no host"))?;
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot reach {authority}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/readyz")
        .header(header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), HEALTH_BODY_BYTES);
    let body = body
        .collect()
        .await
        .map_err(anyhow::Error::from_boxed)?
        .to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Where the admin listener is, unless it is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// There is none.
    Off,
    /// It binds here.
    Bind(SocketAddr),
}

impl std::str::FromStr for AdminAddress {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::Bind),
        }
    }
}
