//! A viewer that answers what a test wants, as no host's would.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A viewer with made-up answers. It ends when it is dropped.
pub struct FakeViewer {
    /// Where it is.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl FakeViewer {
    /// Answers each of these paths, whatever the query, and no other.
    pub async fn start(answers: &[(&str, Value)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let answers: HashMap<String, String> = answers
            .iter()
            .map(|(path, answer)| ((*path).to_owned(), answer.to_string()))
            .collect();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(|request: Request<Incoming>| {
                    let body = answers.get(request.uri().path()).cloned();
                    async move {
                        let status = if body.is_some() { 200 } else { 404 };
                        let body = Full::new(Bytes::from(body.unwrap_or_default()));
                        let response = Response::builder().status(status).body(body);
                        Ok::<_, Infallible>(response.expect("a response"))
                    }
                });
                // One client at a time is enough; one that breaks off is no failure here.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        });
        Self { address, task }
    }

    /// Its address as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FakeViewer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
