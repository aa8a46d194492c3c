//! The client of the admin port: `fanlight health`, `swap`, `rollback`, and what the
//! viewer's client reads.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::commands::inspect::changes;
use fanlight_server::{AdminToken, Changes};

/// How long `fanlight health` waits for the response.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the others do: a large component takes its time to compile.
const SWAP_TIMEOUT: Duration = Duration::from_secs(300);
/// How long a GET waits.
const GET_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a response is read.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// How much of the response to a GET is: the viewer's traces take up to 64 MiB, and
/// more as JSON.
const MAX_GET_BYTES: usize = 512 * 1024 * 1024;

/// Asks the admin port of a running server.
#[derive(Debug)]
pub(crate) struct AdminClient {
    url: String,
    token: Option<AdminToken>,
}

/// A response whose body is still to be read. Dropped, it closes its connection.
pub(crate) struct OpenResponse {
    pub(crate) response: Response<Incoming>,
    _connection: JoinSet<()>,
}

impl AdminClient {
    /// Makes a client for the server whose admin port is at `url`.
    pub(crate) fn new(url: String, token: Option<AdminToken>) -> Self {
        Self { url, token }
    }

    /// The address of the admin port, without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        self.url.trim_end_matches('/')
    }

    /// Asks whether it is ready.
    ///
    /// # Errors
    /// Where it is not, or does not answer in time.
    pub(crate) async fn health(&self) -> anyhow::Result<()> {
        let asked = self.ask(Method::GET, "/readyz", Bytes::new(), HEALTH_TIMEOUT);
        let (status, text) = asked.await?;
        anyhow::ensure!(status == StatusCode::OK, "{}", text.trim());
        Ok(())
    }

    /// Uploads a component to be served; returns the outcome in one line, and one for
    /// each kind of thing that differs from the component before. With
    /// `deny_new_imports` the server refuses one that imports more than that.
    ///
    /// # Errors
    /// Where it refuses, with the reason, or does not answer in time.
    pub(crate) async fn swap(
        &self,
        component: Bytes,
        deny_new_imports: bool,
    ) -> anyhow::Result<String> {
        let path = match deny_new_imports {
            true => "/component?deny-new-imports",
            false => "/component",
        };
        let asked = self.ask(Method::PUT, path, component, SWAP_TIMEOUT);
        outcome(asked.await?)
    }

    /// Rolls the server back to the previous component.
    ///
    /// # Errors
    /// Where there is none, or it does not answer in time.
    pub(crate) async fn roll_back(&self) -> anyhow::Result<String> {
        let path = "/component/rollback";
        outcome(
            self.ask(Method::POST, path, Bytes::new(), SWAP_TIMEOUT)
                .await?,
        )
    }

    /// Reads what is at a path, which may have a query.
    ///
    /// # Errors
    /// Where the server does not answer in time.
    pub(crate) async fn get(&self, target: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = self.request(Method::GET, target, Bytes::new())?;
        self.in_time(GET_TIMEOUT, async {
            let open = send(&self.authority()?, request).await?;
            read(open, MAX_GET_BYTES).await
        })
        .await
    }

    /// Opens what is at a path as a stream of events, from the one after `last_event` on.
    ///
    /// # Errors
    /// Where the server does not answer in time.
    pub(crate) async fn open(
        &self,
        target: &str,
        last_event: Option<&str>,
    ) -> anyhow::Result<OpenResponse> {
        let mut request = self.request(Method::GET, target, Bytes::new())?;
        if let Some(id) = last_event {
            request.headers_mut().insert("last-event-id", id.parse()?);
        }
        let sent = async { send(&self.authority()?, request).await };
        self.in_time(GET_TIMEOUT, sent).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> anyhow::Result<(StatusCode, String)> {
        let request = self.request(method, path, body)?;
        let (status, body) = self
            .in_time(timeout, async {
                let open = send(&self.authority()?, request).await?;
                read(open, MAX_ANSWER_BYTES).await
            })
            .await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn authority(&self) -> anyhow::Result<http::uri::Authority> {
        let url = &self.url;
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        anyhow::ensure!(uri.scheme_str() == Some("http"), "{url} is no http:// URL");
        let authority = uri.into_parts().authority;
        authority.with_context(|| format!("{url} names no host"))
    }

    fn request(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.authority()?.as_str());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.authorization());
        }
        Ok(request.body(Full::new(body))?)
    }

    async fn in_time<T>(
        &self,
        timeout: Duration,
        answer: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let answered = tokio::time::timeout(timeout, answer).await;
        answered.with_context(|| format!("no answer from {} in {timeout:?}", self.url))?
    }
}

/// Asks whether a server accepts connections at an address.
///
/// # Errors
/// Where none does in time.
pub(crate) async fn accepts(address: SocketAddr) -> anyhow::Result<()> {
    let connected = tokio::time::timeout(HEALTH_TIMEOUT, TcpStream::connect(address)).await;
    let connected =
        connected.with_context(|| format!("no connection to {address} in {HEALTH_TIMEOUT:?}"))?;
    connected.with_context(|| format!("cannot reach {address}"))?;
    Ok(())
}

async fn send(
    authority: &http::uri::Authority,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<OpenResponse> {
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let address = (host, authority.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot reach {authority}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async {
        // The response, or its body, has the error.
        let _ = connection.await;
    });
    Ok(OpenResponse {
        response: sender.send_request(request).await?,
        _connection: tasks,
    })
}

async fn read(open: OpenResponse, max_bytes: usize) -> anyhow::Result<(StatusCode, Bytes)> {
    let OpenResponse {
        response,
        _connection,
    } = open;
    let status = response.status();
    let body = Limited::new(response.into_body(), max_bytes);
    let body = body.collect().await.map_err(anyhow::Error::from_boxed)?;
    Ok((status, body.to_bytes()))
}

/// Reads the outcome of a swap from the server's response.
fn outcome((status, text): (StatusCode, String)) -> anyhow::Result<String> {
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let said = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    if status != StatusCode::OK {
        let detail = answer["detail"].as_str().or(answer["title"].as_str());
        anyhow::bail!("{} ({status})", detail.unwrap_or(text.trim()));
    }
    let current = &answer["current"];
    // An older server does not say what differs.
    let changes = Changes::deserialize(&answer["changes"]).unwrap_or_default();
    let changes = changes::lines(&changes);
    let text = format!(
        "{}: version {}, generation {}, {}\n{changes}",
        said(&answer["outcome"]).replace('_', " "),
        said(&current["version"]),
        current["generation"],
        said(&current["digest"]),
    );
    Ok(text.trim_end().to_owned())
}
