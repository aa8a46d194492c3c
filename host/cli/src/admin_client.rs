//! The client of the admin port: `fanlight health`, `swap`, `rollback`.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::commands::inspect::changes;
use fanlight_server::{AdminToken, Changes};

/// How long `fanlight health` waits for the response.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the others do: a large component takes its time to compile.
const SWAP_TIMEOUT: Duration = Duration::from_secs(300);
/// How much of a response is read.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Asks the admin port of a running server.
#[derive(Debug)]
pub(crate) struct AdminClient {
    url: String,
    token: Option<AdminToken>,
}

impl AdminClient {
    /// Makes a client for the server whose admin port is at `url`.
    pub(crate) fn new(url: String, token: Option<AdminToken>) -> Self {
        Self { url, token }
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

    async fn ask(
        &self,
        method: Method,
        path: &'static str,
        body: Bytes,
        timeout: Duration,
    ) -> anyhow::Result<(StatusCode, String)> {
        let url = &self.url;
        let uri: Uri = url.parse().with_context(|| format!("{url} is no URL"))?;
        anyhow::ensure!(uri.scheme_str() == Some("http"), "{url} is no http:// URL");
        let authority = uri
            .authority()
            .with_context(|| format!("{url} names no host"))?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, authority.as_str());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.authorization());
        }
        let request = request.body(Full::new(body))?;
        let answered = tokio::time::timeout(timeout, send(authority, request)).await;
        answered.with_context(|| format!("no answer from {url} in {timeout:?}"))?
    }
}

async fn send(
    authority: &http::uri::Authority,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, String)> {
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
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
    let body = body
        .collect()
        .await
        .map_err(anyhow::Error::from_boxed)?
        .to_bytes();
    connection.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
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
