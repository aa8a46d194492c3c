//! Where a measured server exports to: acknowledges OTLP over gRPC at once,
//! keeps the bytes, and looks at them only when the load is over.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::traces::Traces;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// How long the last spans may be on their way.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long after the others the spans of requests come that were cut: a batch
/// leaves every second.
const STRAGGLERS: Duration = Duration::from_millis(1_500);

/// A sink on a port of its own.
pub(crate) struct Sink {
    address: SocketAddr,
    kept: Kept,
    serving: JoinHandle<()>,
}

/// Requests for traces, each as the frames that it came in.
type Kept = Arc<Mutex<Vec<Vec<Bytes>>>>;

/// What must have arrived of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// How many requests were answered.
    pub(crate) requests: u64,
    /// How many more may have been under way when the load ended: whoever asked
    /// does not count them.
    pub(crate) cut: u64,
    pub(crate) spans_a_request: u32,
}

impl Sink {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let kept = Kept::default();
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

    /// Forgets what came late of an earlier load.
    pub(crate) fn forget(&self) {
        lock(&self.kept).clear();
    }

    /// Waits until it holds all spans of all requests, looks at them and forgets
    /// them.
    ///
    /// # Errors
    /// Where a span is missing, or there is one too many.
    pub(crate) async fn demand(&self, expected: Expected) -> anyhow::Result<()> {
        let traces = self.wait_for(expected, PATIENCE).await?;
        traces.demand(expected)
    }

    /// Waits until it holds all spans of all requests, or for so long; gives what
    /// has arrived. Where requests were cut it waits for theirs too: they would
    /// be taken for those of the next load.
    ///
    /// # Errors
    /// Where something else than spans has.
    pub(crate) async fn wait_for(
        &self,
        expected: Expected,
        patience: Duration,
    ) -> anyhow::Result<Traces> {
        let deadline = Instant::now() + patience;
        let mut traces = Traces::of(expected.spans_a_request);
        let mut last_came = Instant::now();
        loop {
            let kept = std::mem::take(&mut *lock(&self.kept));
            if !kept.is_empty() {
                last_came = Instant::now();
            }
            for frames in kept {
                traces.add(&frames.concat())?;
            }
            let may_come = expected.cut > 0 && last_came.elapsed() < STRAGGLERS;
            let is_whole = traces.demand(expected).is_ok() && !may_come;
            if is_whole || Instant::now() > deadline {
                return Ok(traces);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, kept: Kept) {
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
    kept: Kept,
) -> Result<Response<Acknowledgement>, hyper::Error> {
    let is_traces = request.uri().path() == TRACES;
    let mut body = request.into_body();
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        // Trailers say nothing here.
        if let Ok(data) = frame?.into_data() {
            frames.push(data);
        }
    }
    if is_traces {
        lock(&kept).push(frames);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;

    use super::super::traces::tests::request;
    use super::{Expected, Sink};

    #[tokio::test]
    async fn what_a_client_of_otlp_sends_is_there_when_it_has_its_answer() {
        let sink = Sink::start().await.unwrap();
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", sink.address()))
            .unwrap()
            .connect()
            .await
            .unwrap();
        let mut client = TraceServiceClient::new(channel);
        client.export(request(&[(1, 3), (2, 2)])).await.unwrap();
        let expected = |requests| Expected {
            requests,
            cut: 0,
            spans_a_request: 3,
        };
        let patience = Duration::from_millis(1);
        let traces = sink.wait_for(expected(2), patience).await.unwrap();
        assert!(traces.demand(expected(2)).is_err());
        assert_eq!(traces.whole(), 1);

        client.export(request(&[(3, 3)])).await.unwrap();
        sink.demand(expected(1)).await.unwrap();
    }

    #[tokio::test]
    async fn what_comes_late_of_cut_requests_is_not_taken_for_the_next_load() {
        let sink = Sink::start().await.unwrap();
        let endpoint = format!("http://{}", sink.address());
        let mut client = TraceServiceClient::connect(endpoint).await.unwrap();
        client.export(request(&[(1, 3)])).await.unwrap();
        let late = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            client.export(request(&[(2, 3)])).await.unwrap();
        });
        let expected = Expected {
            requests: 1,
            cut: 1,
            spans_a_request: 3,
        };
        sink.demand(expected).await.unwrap();
        assert!(late.is_finished());
        assert!(super::lock(&sink.kept).is_empty());
    }
}
