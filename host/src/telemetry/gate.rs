//! Keeps a signal from a backend that does not take it.
//!
//! Jaeger takes traces and refuses metrics and logs. The stock exporters give
//! an error's text only, so an empty request asks first: where the answer is
//! that there is no such service, one line says so, the signal pauses, and the
//! backend is asked again every 60 s.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use opentelemetry_otlp::MetricExporter;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::Channel;

use super::dropped::Exported;
use super::health::ExportHealth;

/// The time after which a backend that refused is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Whether a backend takes a signal, as far as is known.
pub(crate) struct Gate {
    probe: Probe,
    health: Arc<ExportHealth>,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    Unknown,
    Accepted,
    Refused(Instant),
}

/// How to ask a backend whether it takes a signal.
pub(crate) enum Probe {
    /// An empty request for metrics over gRPC.
    GrpcMetrics(Channel),
    /// An empty request for logs over gRPC.
    GrpcLogs(Channel),
    /// An empty request to this address.
    Http(reqwest::Client, String),
}

impl Probe {
    /// Whether the backend says that it has no such service. An answer that
    /// says anything else, or none, leaves that to the export itself.
    async fn is_refused(&self) -> bool {
        match self {
            Self::GrpcMetrics(channel) => {
                let request = ExportMetricsServiceRequest::default();
                let answer = MetricsServiceClient::new(channel.clone())
                    .export(request)
                    .await;
                answer.is_err_and(|status| status.code() == Code::Unimplemented)
            }
            Self::GrpcLogs(channel) => {
                let request = ExportLogsServiceRequest::default();
                let answer = LogsServiceClient::new(channel.clone())
                    .export(request)
                    .await;
                answer.is_err_and(|status| status.code() == Code::Unimplemented)
            }
            Self::Http(client, url) => {
                let request = client
                    .post(url)
                    .header("content-type", "application/x-protobuf")
                    .body(Vec::new());
                let answer = request.send().await;
                answer.is_ok_and(|answer| answer.status() == reqwest::StatusCode::NOT_FOUND)
            }
        }
    }
}

impl Gate {
    pub(crate) fn new(probe: Probe, health: Arc<ExportHealth>) -> Self {
        Self {
            probe,
            health,
            state: Mutex::new(State::Unknown),
        }
    }

    /// Whether to export now; asks the backend where that is not known.
    pub(crate) async fn is_open(&self) -> bool {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            State::Accepted => return true,
            State::Refused(asked) if asked.elapsed() < ASK_AGAIN => return false,
            State::Refused(_) | State::Unknown => {}
        }
        let refused = self.probe.is_refused().await;
        let known_refused = matches!(state, State::Refused(_));
        if refused && !known_refused {
            tracing::info!(
                signal = self.health.signal(),
                endpoint = self.health.endpoint(),
                "the backend does not take this signal; paused, asking again every 60s"
            );
        } else if !refused && known_refused {
            tracing::info!(
                signal = self.health.signal(),
                endpoint = self.health.endpoint(),
                "the backend takes this signal now"
            );
        }
        let state = if refused {
            State::Refused(Instant::now())
        } else {
            State::Accepted
        };
        self.set(state);
        !refused
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Takes note of an export: after a failure another backend may answer.
    pub(crate) fn note(&self, result: &OTelSdkResult) {
        if result.is_err() {
            self.set(State::Unknown);
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("signal", &self.health.signal())
            .finish_non_exhaustive()
    }
}

/// Exports metrics while the gate is open.
#[derive(Debug)]
pub(crate) struct GatedMetricExporter {
    pub(crate) inner: MetricExporter,
    pub(crate) gate: Gate,
    pub(crate) counts: Arc<Exported>,
    pub(crate) runtime: Handle,
    /// Is cancelled when the runtime ends: its sockets and timers wake nobody
    /// from then on.
    pub(crate) ended: CancellationToken,
}

impl PushMetricExporter for GatedMetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let export = async {
            // Cumulative sums lose nothing while they wait.
            if !self.gate.is_open().await {
                return Ok(());
            }
            let streams: usize = metrics
                .scope_metrics()
                .map(|scope| scope.metrics().count())
                .sum();
            let result = self.inner.export(metrics).await;
            self.gate.note(&result);
            match &result {
                Ok(()) => {
                    self.counts.exported(streams as u64);
                    self.gate.health.succeeded();
                }
                Err(error) => {
                    self.counts.export_failed(streams as u64);
                    self.gate.health.failed(error, streams as u64);
                }
            }
            result
        };
        tokio::select! {
            biased;
            () = self.ended.cancelled() => Err(OTelSdkError::AlreadyShutdown),
            result = OnRuntime::new(&self.runtime, export) => result,
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

/// Polls a future with a runtime at hand, on whatever thread that happens.
///
/// The SDK's reader blocks on export on a thread of its own, where timers and sockets would find no runtime.
struct OnRuntime<'a, F> {
    runtime: &'a Handle,
    future: Pin<Box<F>>,
}

impl<'a, F> OnRuntime<'a, F> {
    fn new(runtime: &'a Handle, future: F) -> Self {
        Self {
            runtime,
            future: Box::pin(future),
        }
    }
}

impl<F: Future> Future for OnRuntime<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.runtime.enter();
        self.future.as_mut().poll(context)
    }
}
