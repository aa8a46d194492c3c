//! Where a measured server exports to: acknowledges OTLP over gRPC at once,
//! keeps the bytes, and looks at them only when the load is over.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The server's, and the guest's two.
const SPANS_A_REQUEST: u8 = 3;
/// How long the last spans may be on their way.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sink on a port of its own.
pub(crate) struct Sink {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<Bytes>>>,
    serving: JoinHandle<()>,
}

impl Sink {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let kept = Arc::new(Mutex::new(Vec::new()));
        let serving = tokio::spawn(serve(listener, Arc::clone(&kept)));
        Ok(Self {
            address,
            kept,
            serving,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it holds three spans for each of so many requests, looks at
    /// them and forgets them. `cut` more may have been under way when the load
    /// ended: whoever asked does not count them.
    ///
    /// # Errors
    /// Where a span is missing, or there is one too many.
    pub(crate) async fn demand_whole_traces(&self, requests: u64, cut: u64) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut traces = Traces::default();
        while traces.whole() < requests {
            let kept = std::mem::take(&mut *lock(&self.kept));
            for request in kept {
                traces.add(request)?;
            }
            anyhow::ensure!(
                tokio::time::Instant::now() < deadline,
                "{} of {requests} traces arrived whole",
                traces.whole()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let all = traces.spans_of.len() as u64;
        anyhow::ensure!(
            all <= requests + cut,
            "{all} traces arrived of {requests} requests"
        );
        Ok(())
    }
}

/// How many spans arrived of each trace.
#[derive(Default)]
struct Traces {
    spans_of: HashMap<Vec<u8>, u8>,
    whole: u64,
}

impl Traces {
    fn whole(&self) -> u64 {
        self.whole
    }

    /// Takes a request in: a flag, a length, a message.
    fn add(&mut self, mut request: Bytes) -> anyhow::Result<()> {
        anyhow::ensure!(request.len() >= 5, "a request without a message");
        anyhow::ensure!(request.get_u8() == 0, "a request that is compressed");
        let length = request.get_u32() as usize;
        anyhow::ensure!(request.len() == length, "more than one message");
        let request = ExportTraceServiceRequest::decode(request).context("not OTLP")?;
        let resources = request.resource_spans.into_iter();
        let scopes = resources.flat_map(|it| it.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            let spans = self.spans_of.entry(span.trace_id).or_default();
            *spans += 1;
            self.whole += u64::from(*spans == SPANS_A_REQUEST);
            anyhow::ensure!(*spans <= SPANS_A_REQUEST, "a trace of too many spans");
        }
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, kept: Arc<Mutex<Vec<Bytes>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let kept = Arc::clone(&kept);
        tokio::spawn(async move {
            let service = service_fn(move |request| acknowledge(request, Arc::clone(&kept)));
            // A server that goes away is no matter here.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(8 * 1024 * 1024)
                .initial_connection_window_size(16 * 1024 * 1024)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Acknowledgement =
    WithTrailers<Full<Bytes>, std::future::Ready<Option<Result<HeaderMap, Infallible>>>>;

async fn acknowledge(
    request: Request<Incoming>,
    kept: Arc<Mutex<Vec<Bytes>>>,
) -> Result<Response<Acknowledgement>, hyper::Error> {
    let is_traces = request.uri().path() == TRACES;
    let body = request.into_body().collect().await?.to_bytes();
    if is_traces {
        lock(&kept).push(body);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    // An empty message: not compressed, no byte long.
    let message = Full::new(Bytes::from_static(&[0; 5]));
    let mut response = Response::new(message.with_trailers(std::future::ready(Some(Ok(trailers)))));
    let kind = HeaderValue::from_static("application/grpc");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
