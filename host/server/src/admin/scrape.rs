//! `/metrics` on an address of its own, where `OTEL_METRICS_EXPORTER` names
//! `prometheus`. It has no token: who opens it means it to be read.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::admin::listener;
use crate::admin::responses;
use crate::http::body::drain::DrainOnDrop;
use fanlight_telemetry::PrometheusText;

/// The listener's task. It ends with its owner, and its connections with it.
pub struct PrometheusListener {
    task: JoinHandle<()>,
}

impl PrometheusListener {
    /// Answers on `listener` until it is dropped.
    pub fn serve(listener: TcpListener, metrics: PrometheusText) -> Self {
        let answers = move |request| {
            let metrics = metrics.clone();
            async move { answer(&request, &metrics).await }
        };
        Self {
            task: tokio::spawn(listener::accept(
                listener,
                listener::UNWANTED_BYTES,
                answers,
            )),
        }
    }
}

impl Drop for PrometheusListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: &Request<DrainOnDrop<Incoming>>,
    metrics: &PrometheusText,
) -> Response<Full<Bytes>> {
    match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET | &Method::HEAD) => {
            responses::metrics(Some(metrics), request.headers()).await
        }
        ("/metrics", _) => responses::method_not_allowed("GET, HEAD"),
        _ => responses::problem(StatusCode::NOT_FOUND, "not_found", "There is nothing here"),
    }
}
