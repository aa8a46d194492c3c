//! An OTLP collector in the test's own process: takes gRPC and HTTP, decodes
//! protobuf, and keeps what it was sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::collected::{self, CollectedLog, CollectedPoint, CollectedSpan};
use crate::eventually;

/// A collector on two ports of its own.
pub struct Collector {
    kept: Arc<Kept>,
    grpc: String,
    http: String,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// How a collector answers.
#[derive(Clone, Copy, Debug, Default)]
pub enum Mood {
    /// It takes what comes.
    #[default]
    Well,
    /// It takes it after a while.
    Slow(Duration),
    /// It answers that it cannot.
    Failing,
    /// It takes the request and never answers.
    Hanging,
}

#[derive(Default)]
struct Kept {
    mood: Mutex<Mood>,
    spans: Mutex<Vec<CollectedSpan>>,
    logs: Mutex<Vec<CollectedLog>>,
    points: Mutex<Vec<CollectedPoint>>,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Collector {
    /// Starts one that takes everything.
    pub async fn start() -> Self {
        Self::start_taking(true, [free(), free()]).await
    }

    /// Starts one where another has stopped.
    pub async fn start_at(grpc: SocketAddr, http: SocketAddr) -> Self {
        Self::start_taking(true, [grpc, http]).await
    }

    /// Starts one that takes traces and has no service for the rest, as Jaeger.
    pub async fn for_traces_alone() -> Self {
        Self::start_taking(false, [free(), free()]).await
    }

    async fn start_taking(everything: bool, addresses: [SocketAddr; 2]) -> Self {
        let kept = Arc::new(Kept::default());
        let stop = CancellationToken::new();
        let listener = TcpListener::bind(addresses[0]).await.expect("a free port");
        let grpc = format!("http://{}", listener.local_addr().expect("it is bound"));
        let service = Service(Arc::clone(&kept));
        let mut router = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(service.clone()));
        if everything {
            router = router
                .add_service(MetricsServiceServer::new(service.clone()))
                .add_service(LogsServiceServer::new(service.clone()));
        }
        let incoming = TcpIncoming::from(listener);
        let stopped = stop.clone().cancelled_owned();
        let grpc_task = tokio::spawn(async move {
            router
                .serve_with_incoming_shutdown(incoming, stopped)
                .await
                .expect("it serves");
        });
        let listener = TcpListener::bind(addresses[1]).await.expect("a free port");
        let http = format!("http://{}", listener.local_addr().expect("it is bound"));
        let http_task = tokio::spawn(serve_http(
            listener,
            Arc::clone(&kept),
            everything,
            stop.clone(),
        ));
        Self {
            kept,
            grpc,
            http,
            tasks: vec![grpc_task, http_task],
            stop,
        }
    }

    /// Changes how it answers from now on.
    pub fn set_mood(&self, mood: Mood) {
        *lock(&self.kept.mood) = mood;
    }

    /// Stops it and closes its connections; gives back where it was, by gRPC
    /// and by HTTP.
    pub async fn stop(mut self) -> (SocketAddr, SocketAddr) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            // A connection in the midst of a request is not waited for.
            let _ = tokio::time::timeout(Duration::from_millis(500), task).await;
        }
        let address = |url: &str| {
            let text = url.strip_prefix("http://").expect("an http URL");
            text.parse().expect("an address")
        };
        (address(&self.grpc), address(&self.http))
    }

    /// Where it takes gRPC.
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// Where it takes HTTP.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        lock(&self.kept.spans).clone()
    }

    /// How many spans it has.
    pub fn span_count(&self) -> usize {
        lock(&self.kept.spans).len()
    }

    /// The spans of a trace, once there are `count` of them and no more came.
    pub async fn trace(&self, trace_id: &str, count: usize) -> Vec<CollectedSpan> {
        let of_trace = || {
            let all = lock(&self.kept.spans);
            let spans = all.iter().filter(|span| span.trace_id == trace_id);
            spans.cloned().collect::<Vec<_>>()
        };
        let found = eventually(&format!("trace {trace_id} of {count} spans"), || {
            Some(of_trace()).filter(|spans| spans.len() >= count)
        })
        .await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// The first span that `is_it` says yes to.
    pub async fn span(&self, is_it: impl Fn(&CollectedSpan) -> bool) -> CollectedSpan {
        eventually("a span", || {
            lock(&self.kept.spans)
                .iter()
                .find(|span| is_it(span))
                .cloned()
        })
        .await
    }

    /// The log records of a trace, once there are `count` of them.
    pub async fn logs(&self, trace_id: &str, count: usize) -> Vec<CollectedLog> {
        let of_trace = || {
            let all = lock(&self.kept.logs);
            let logs = all.iter().filter(|log| log.trace_id == trace_id);
            logs.cloned().collect::<Vec<_>>()
        };
        let found = eventually(&format!("{count} log records of {trace_id}"), || {
            Some(of_trace()).filter(|logs| logs.len() >= count)
        })
        .await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// How many log records with this text for a body it has.
    pub fn log_count(&self, body: &str) -> usize {
        let logs = lock(&self.kept.logs);
        logs.iter().filter(|log| log.body == body).count()
    }

    /// All log records so far.
    pub fn all_logs(&self) -> Vec<CollectedLog> {
        lock(&self.kept.logs).clone()
    }

    /// The first log record that `is_it` says yes to.
    pub async fn log(&self, is_it: impl Fn(&CollectedLog) -> bool) -> CollectedLog {
        eventually("a log record", || {
            let logs = lock(&self.kept.logs);
            logs.iter().find(|log| is_it(log)).cloned()
        })
        .await
    }

    /// The latest points of a metric, one for each set of attributes, once
    /// `enough` says yes to them.
    pub async fn points(
        &self,
        name: &str,
        enough: impl Fn(&[CollectedPoint]) -> bool,
    ) -> Vec<CollectedPoint> {
        eventually(&format!("metric {name}"), || {
            let mut latest: Vec<CollectedPoint> = Vec::new();
            for point in lock(&self.kept.points)
                .iter()
                .filter(|point| point.name == name)
            {
                match latest
                    .iter_mut()
                    .find(|it| it.attributes == point.attributes)
                {
                    Some(known) => *known = point.clone(),
                    None => latest.push(point.clone()),
                }
            }
            Some(latest).filter(|points| !points.is_empty() && enough(points))
        })
        .await
    }

    /// How many points it has of whatever metric.
    pub fn point_count(&self) -> usize {
        lock(&self.kept.points).len()
    }

    /// All points so far, the latest last.
    pub fn all_points(&self) -> Vec<CollectedPoint> {
        lock(&self.kept.points).clone()
    }

    /// Exports that it has failed, in that mood.
    pub fn failed(&self) -> u64 {
        self.kept.failed.load(Ordering::Relaxed)
    }

    /// Requests over HTTP that it answered by 404.
    pub fn refused(&self) -> u64 {
        self.kept.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Kept {
    /// Waits as the mood has it.
    ///
    /// # Errors
    /// Where it is to fail.
    async fn answer(&self) -> Result<(), tonic::Status> {
        let mood = *lock(&self.mood);
        match mood {
            Mood::Well => Ok(()),
            Mood::Slow(while_) => {
                tokio::time::sleep(while_).await;
                Ok(())
            }
            Mood::Failing => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                Err(tonic::Status::internal("not now"))
            }
            Mood::Hanging => std::future::pending().await,
        }
    }

    fn traces(&self, request: ExportTraceServiceRequest) {
        let spans = collected::spans(request);
        lock(&self.spans).extend(spans);
    }

    fn metrics(&self, request: ExportMetricsServiceRequest) {
        let points = collected::points(request);
        lock(&self.points).extend(points);
    }

    fn logs(&self, request: ExportLogsServiceRequest) {
        let logs = collected::logs(request);
        lock(&self.logs).extend(logs);
    }
}

#[derive(Clone)]
struct Service(Arc<Kept>);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.answer().await?;
        self.0.traces(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.0.answer().await?;
        self.0.metrics(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        self.0.answer().await?;
        self.0.logs(request.into_inner());
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}

async fn serve_http(
    listener: TcpListener,
    kept: Arc<Kept>,
    everything: bool,
    stop: CancellationToken,
) {
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => return,
            },
        };
        let (kept, stop) = (Arc::clone(&kept), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| take(request, Arc::clone(&kept), everything));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no matter here.
            tokio::select! {
                _ = connection => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn take(
    request: Request<Incoming>,
    kept: Arc<Kept>,
    everything: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request
        .into_body()
        .collect()
        .await
        .expect("a whole request")
        .to_bytes();
    let mut status = StatusCode::OK;
    let well = kept.answer().await;
    match path.as_str() {
        _ if well.is_err() => status = StatusCode::INTERNAL_SERVER_ERROR,
        "/v1/traces" => kept.traces(Message::decode(body).expect("it is protobuf")),
        "/v1/metrics" if everything => kept.metrics(Message::decode(body).expect("protobuf")),
        "/v1/logs" if everything => kept.logs(Message::decode(body).expect("it is protobuf")),
        _ => {
            kept.refused.fetch_add(1, Ordering::Relaxed);
            status = StatusCode::NOT_FOUND;
        }
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    Ok(response)
}
