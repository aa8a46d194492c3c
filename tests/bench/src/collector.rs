//! An OTLP collector that can be killed, restarted on its port, or in a bad mood.
//!
//! Keeps nothing: spans are shown to whoever listens, of metrics it remembers
//! what the server counted as lost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
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
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tonic::service::Routes;

/// The server's own count of what never left.
const LOST: &str = "fanlight.telemetry.lost";

/// How it takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Slow(Duration),
    Hanging,
    Failing,
}

/// What is done with each span that it took.
pub(crate) type OnSpan = Box<dyn Fn(&Span) + Send + Sync>;

/// A collector on a port of its own.
pub(crate) struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

struct Shared {
    mood: Mutex<Mood>,
    on_span: OnSpan,
    /// By the reason: the server's counts only grow.
    lost_spans: Mutex<HashMap<String, u64>>,
}

impl Collector {
    /// Starts one.
    pub(crate) async fn start(on_span: OnSpan) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut collector = Self {
            address: listener.local_addr()?,
            shared: Arc::new(Shared {
                mood: Mutex::new(Mood::Fine),
                on_span,
                lost_spans: Mutex::default(),
            }),
            serving: None,
        };
        collector.serve(listener);
        Ok(collector)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *lock(&self.shared.mood) = mood;
    }

    /// How many spans the server said were lost, when it last said so.
    pub(crate) fn lost_spans(&self) -> u64 {
        lock(&self.shared.lost_spans).values().sum()
    }

    /// Closes the port and every connection.
    pub(crate) async fn kill(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // That it was cancelled is what it has to say.
            let _ = serving.await;
        }
    }

    /// Serves on the same port again.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill().await;
        let listener = TcpListener::bind(self.address).await?;
        self.serve(listener);
        Ok(())
    }

    fn serve(&mut self, listener: TcpListener) {
        let service = Service(Arc::clone(&self.shared));
        let routes = Routes::new(TraceServiceServer::new(service.clone()))
            .add_service(MetricsServiceServer::new(service.clone()))
            .add_service(LogsServiceServer::new(service));
        self.serving = Some(tokio::spawn(async move {
            // They end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(routes.clone());
                connections.spawn(async move {
                    // A server that goes away is no matter here.
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
                while connections.try_join_next().is_some() {}
            }
        }));
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

#[derive(Clone)]
struct Service(Arc<Shared>);

impl Service {
    /// Acts on the mood that it is in.
    async fn react(&self) -> Result<(), tonic::Status> {
        let mood = *lock(&self.0.mood);
        match mood {
            Mood::Fine => Ok(()),
            Mood::Slow(delay) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Mood::Hanging => std::future::pending().await,
            Mood::Failing => Err(tonic::Status::unavailable("out of order")),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.react().await?;
        let scopes = request
            .into_inner()
            .resource_spans
            .into_iter()
            .flat_map(|resource| resource.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            (self.0.on_span)(&span);
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        self.react().await?;
        let scopes = request
            .into_inner()
            .resource_metrics
            .into_iter()
            .flat_map(|resource| resource.scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics) {
            if metric.name == LOST {
                lock(&self.0.lost_spans).extend(lost_spans(metric));
            }
        }
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        _request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        self.react().await?;
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}

/// The counts for traces by their reason.
fn lost_spans(metric: Metric) -> Vec<(String, u64)> {
    let Some(metric::Data::Sum(sum)) = metric.data else {
        return Vec::new();
    };
    let of_traces = sum
        .data_points
        .into_iter()
        .filter(|point| text(&point.attributes, "signal") == Some("traces"));
    of_traces
        .filter_map(|point| {
            let reason = text(&point.attributes, "reason")?.to_owned();
            match point.value? {
                number_data_point::Value::AsInt(count) => {
                    Some((reason, u64::try_from(count).ok()?))
                }
                number_data_point::Value::AsDouble(_) => None,
            }
        })
        .collect()
}

/// The attribute of this key, where it is a text.
pub(crate) fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let attribute = attributes.iter().find(|it| it.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
