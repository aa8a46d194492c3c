//! Owns the providers, their runtime, and the export of every signal. Uses no HTTP
//! request, no component and no global state: one process can have two of them.
//!
//! The wings, from the top down. A wing uses those below it and never those above;
//! `cargo xtask wings` checks that.
//!
//! | wing | owns |
//! |---|---|
//! | `metrics` | the export of metrics, Prometheus' text, what guests aggregate, telemetry about telemetry |
//! | `trace` | tracer, spans, their queue and their encoding |
//! | `logs` | log records, their queue, the host's own log |
//! | `export` | each signal's pipeline: back-off, counts, the log of its trouble |
//! | `console` | standard output |
//! | `otlp` | clients for gRPC and HTTP, OTLP's JSON; knows no signal's queue |
//! | `config` | the `OTEL_*` variables |
//! | `sizes` | the memory that telemetry takes while it waits |
//! | `propagation` | the headers by which a trace goes from service to service |
//! | `clock`, `observer`, `sanitize`, `scope`, `thread_number` | what all others may use |

#[cfg(any(test, feature = "benchmarks"))]
pub mod benchmarks;
pub mod clock;
pub mod config;
pub(crate) mod console;
pub(crate) mod export;
pub(crate) mod logs;
pub mod metrics;
pub(crate) mod observer;
pub(crate) mod otlp;
pub mod propagation;
pub mod sanitize;
pub(crate) mod scope;
pub(crate) mod shutdown;
pub mod sizes;
pub mod thread_number;
pub mod trace;

use std::sync::Arc;

use std::time::Duration;

use opentelemetry::logs::LoggerProvider as _;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

pub use crate::config::TelemetryConfig;
pub use crate::config::batch::BatchConfig;
pub use crate::config::client_tls::{ClientTls, ClientTlsError};
pub use crate::config::protocol::Protocol;
pub use crate::config::resource::ServiceIdentity;
pub use crate::config::signal::{Compression, SignalConfig};
pub use crate::export::counters::Dropped;
pub use crate::logs::host_log::{HostLog, RECORD_ONLY, RECORD_TARGET};
use crate::logs::queue::ExportQueue;
pub use crate::metrics::prometheus::exemplars::{Exemplars, SeriesExemplars};
pub use crate::metrics::prometheus::text::TextFormat;
pub use crate::metrics::prometheus::{PrometheusText, RenderError};
pub use crate::metrics::snapshot::{Instrument, InstrumentPoint, InstrumentValue};
pub use crate::observer::{ExportLogsServiceRequest, TelemetryObserver};
pub use crate::otlp::error::ExporterError;
pub use crate::scope::{GUEST_SCOPE, HOST_SCOPE};

use crate::config::known_methods::KnownMethods;
use crate::export::counters::{Exported, SignalCounts};
use crate::export::destination::Destination;
use crate::export::pipeline::ExportPipeline;
use crate::logs::exporter::{LogExporter, LogQueueProcessor, ScopedLogRecord};
use crate::logs::queue::FlushRequest;
use crate::metrics::exporter::{LastExport, MetricExporter};
use crate::metrics::guest::GuestMetricStore;
use crate::otlp::closing::Closing;
use crate::propagation::Propagators;
use crate::sanitize::Printable;
use crate::shutdown::Export;
use crate::trace::batch::SpanExporter;
use crate::trace::limits::AttributeLimits;
pub(crate) use crate::trace::queue::SpanQueue;
use crate::trace::tracer::Tracer;

/// How spans and log records are gathered for an observer: a person waits for them.
const OBSERVED_BATCH: BatchConfig = BatchConfig {
    schedule_delay: Duration::from_millis(200),
    max_batch: usize::MAX,
    max_items: usize::MAX,
    max_bytes: 8 * 1024 * 1024,
    // An observer does not wait.
    export_timeout: Duration::from_secs(1),
};

/// Collects and exports traces, metrics and logs.
///
/// # Cancel safety
/// A drop without [`Telemetry::shutdown`] loses the items that are not exported yet.
pub struct Telemetry {
    /// Export has its own runtime, so that a busy serving runtime does not stop export,
    /// and a slow collector does not slow down serving.
    runtime: OwnRuntime,
    tracer: Tracer,
    meters: SdkMeterProvider,
    loggers: SdkLoggerProvider,
    guest_metrics: Arc<GuestMetricStore>,
    prometheus: Option<PrometheusText>,
    flushes: Vec<mpsc::Sender<FlushRequest>>,
    last_metrics: Arc<LastExport>,
    /// The signals that have an exporter.
    exports: Vec<Export>,
    spans: Arc<SpanQueue>,
    records: Arc<ExportQueue<ScopedLogRecord>>,
    config: TelemetryConfig,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The telemetry runtime cannot be created.
    #[error("cannot start the telemetry runtime")]
    Runtime(#[source] std::io::Error),
    /// A signal's exporter cannot be made.
    #[error("{signal}")]
    Exporter {
        /// The signal.
        signal: &'static str,
        /// Why its exporter cannot be made.
        source: ExporterError,
    },
}

impl Telemetry {
    /// Builds exporters and starts the tasks that feed them.
    ///
    /// # Errors
    /// If an endpoint is no address, a file for TLS cannot be used, or the runtime
    /// cannot be created.
    pub fn init(config: &TelemetryConfig) -> Result<Self, TelemetryError> {
        Self::init_observed(config, None)
    }

    /// The same with an observer, which sees spans and log records even where no
    /// exporter does, unless the SDK is disabled.
    ///
    /// # Errors
    /// As for [`Telemetry::init`].
    pub fn init_observed(
        config: &TelemetryConfig,
        observer: Option<Arc<dyn TelemetryObserver>>,
    ) -> Result<Self, TelemetryError> {
        for warning in &config.warnings {
            tracing::warn!("{}", Printable(warning));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("telemetry")
            .enable_all()
            .build()
            .map_err(TelemetryError::Runtime)?;
        let own = OwnRuntime {
            ended: CancellationToken::new(),
            closing: Closing::default(),
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        };
        let runtime = own.handle.clone();
        // The gRPC channels register with the runtime they are made in.
        let entered = runtime.enter();
        let resource = crate::config::resource::resource(&config.resource);
        let counts = SignalCounts::default();
        let dropped = Arc::new(Dropped::default());
        let mut flushes = Vec::new();
        let mut exports = Vec::new();
        let pipeline = |signal, config: &SignalConfig, timeout, counts: &Arc<Exported>| {
            let closing = own.closing.clone();
            ExportPipeline::new(signal, config, timeout, Arc::clone(counts), closing)
                .map_err(|source| TelemetryError::Exporter { signal, source })
        };
        let mut exported = |signal, pipeline: &ExportPipeline, counts: &Arc<Exported>| {
            exports.push(Export::new(signal, pipeline, Arc::clone(counts)));
        };

        let observer = observer.filter(|_| !config.is_disabled);
        let mut observe = |observer: &Arc<dyn TelemetryObserver>| {
            let (sender, receiver) = mpsc::channel(1);
            flushes.push(sender);
            (Destination::Observer(Arc::clone(observer)), receiver)
        };
        let observed = observer.as_ref().map(|observer| {
            let queue = SpanQueue::new(OBSERVED_BATCH, true, Arc::default());
            let (queue, (destination, flushes)) = (Arc::new(queue), observe(observer));
            let exporter = SpanExporter::new(destination, &resource);
            let task = crate::logs::queue::run(Arc::clone(&queue), exporter, flushes);
            runtime.spawn(task);
            queue
        });
        let observed_records = observer.as_ref().map(|observer| {
            let queue = ExportQueue::new(OBSERVED_BATCH, true, Arc::default());
            let (queue, (destination, flushes)) = (Arc::new(queue), observe(observer));
            let exporter = LogExporter::new(destination, &resource);
            let task = crate::logs::queue::run(Arc::clone(&queue), exporter, flushes);
            runtime.spawn(task);
            queue
        });

        let spans = SpanQueue::new(
            config.span_batch,
            config.traces.is_exported(),
            Arc::clone(&counts.traces),
        );
        let spans = Arc::new(spans.with_observed(observed));
        if config.traces.is_exported() {
            let timeout = config.span_batch.export_timeout;
            let pipeline = pipeline("traces", &config.traces, timeout, &counts.traces)?;
            exported("traces", &pipeline, &counts.traces);
            let (sender, receiver) = mpsc::channel(1);
            flushes.push(sender);
            let exporter = SpanExporter::new(pipeline.into(), &resource);
            runtime.spawn(crate::logs::queue::run(
                Arc::clone(&spans),
                exporter,
                receiver,
            ));
        }

        let records = Arc::new(ExportQueue::new(
            config.log_batch,
            config.logs.is_exported(),
            Arc::clone(&counts.logs),
        ));
        let mut loggers = SdkLoggerProvider::builder().with_resource(resource.clone());
        if config.logs.is_exported() {
            let timeout = config.log_batch.export_timeout;
            let pipeline = pipeline("logs", &config.logs, timeout, &counts.logs)?;
            exported("logs", &pipeline, &counts.logs);
            let (sender, receiver) = mpsc::channel(1);
            flushes.push(sender);
            let destination = Destination::from(pipeline.with_unsupported_backoff());
            let exporter = LogExporter::new(destination, &resource);
            runtime.spawn(crate::logs::queue::run(
                Arc::clone(&records),
                exporter,
                receiver,
            ));
            loggers = loggers.with_log_processor(LogQueueProcessor(Arc::clone(&records)));
        }
        if let Some(records) = observed_records {
            loggers = loggers.with_log_processor(LogQueueProcessor(records));
        }

        let guest_metrics = Arc::new(GuestMetricStore::new(config.temporality, &resource));
        let mut meters = SdkMeterProvider::builder().with_resource(resource);
        let last_metrics = Arc::new(LastExport::default());
        if config.metrics.is_exported() {
            let timeout = config.metric_timeout;
            let mut pipeline = pipeline("metrics", &config.metrics, timeout, &counts.metrics)?
                .with_unsupported_backoff();
            exported("metrics", &pipeline, &counts.metrics);
            if config.temporality == Temporality::Cumulative {
                pipeline = pipeline.with_cumulative_values();
            }
            let exporter = MetricExporter {
                pipeline: Arc::new(pipeline),
                guest_metrics: Arc::clone(&guest_metrics),
                temporality: config.temporality,
                runtime: runtime.clone(),
                ended: own.ended.clone(),
                last: Arc::clone(&last_metrics),
            };
            let reader = PeriodicReader::builder(exporter)
                .with_interval(config.metric_interval)
                .build();
            meters = meters.with_reader(reader);
        } else {
            last_metrics.ended.cancel();
        }
        let mut prometheus = None;
        if config.prometheus {
            let points = Arc::clone(&guest_metrics);
            let (text, reader) = PrometheusText::new(points);
            meters = meters.with_reader(reader);
            prometheus = Some(text);
        }
        let meters = meters.build();
        drop(entered);

        crate::metrics::internal::observe(&meters, counts, &dropped, &spans, &records);
        Ok(Self {
            tracer: Tracer::new(
                config.sampler.clone(),
                config.span_limits,
                Arc::clone(&spans),
                dropped,
            ),
            meters,
            loggers: loggers.build(),
            guest_metrics,
            prometheus,
            flushes,
            last_metrics,
            exports,
            spans,
            records,
            config: config.clone(),
            runtime: own,
        })
    }

    /// Starts spans.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// The formats in which trace contexts are read and written.
    pub fn propagators(&self) -> &Propagators {
        &self.config.propagators
    }

    /// The HTTP methods that spans and metrics name.
    pub fn known_methods(&self) -> &KnownMethods {
        &self.config.known_methods
    }

    /// The meter of the host's own instruments.
    pub fn meter(&self) -> Meter {
        self.meters.meter(HOST_SCOPE)
    }

    /// The metrics as Prometheus scrapes them, unless telemetry is off.
    pub fn prometheus(&self) -> Option<PrometheusText> {
        self.prometheus.clone()
    }

    /// Where one of the host's histograms keeps its exemplars; none if they cannot be
    /// scraped.
    pub fn exemplars(&self, instrument: &'static str, bounds: &'static [f64]) -> Option<Exemplars> {
        let text = self.prometheus.as_ref();
        text.map(|text| text.exemplars(instrument, bounds))
    }

    /// Bounds on the attributes of a log record.
    pub fn log_limits(&self) -> AttributeLimits {
        self.config.log_limits
    }

    /// Host and port of the listener for Prometheus that is not the admin port.
    pub fn prometheus_address(&self) -> Option<(&str, u16)> {
        let address = self.config.prometheus_address.as_ref();
        address.map(|(host, port)| (host.as_str(), *port))
    }

    /// The meters of guests, by scope.
    pub fn meter_provider(&self) -> &SdkMeterProvider {
        &self.meters
    }

    /// The metrics that guests aggregate themselves.
    pub fn guest_metrics(&self) -> &Arc<GuestMetricStore> {
        &self.guest_metrics
    }

    /// The logger of the host's own log; none where no logs are exported.
    pub fn host_logger(&self) -> Option<SdkLogger> {
        let is_exported = self.config.logs.is_exported();
        is_exported.then(|| self.loggers.logger(HOST_SCOPE))
    }

    /// The loggers of guests, by scope.
    pub fn logger_provider(&self) -> &SdkLoggerProvider {
        &self.loggers
    }

    /// Logs the destination of each signal, and soon after that no collector listens at
    /// a default endpoint, if so. Call it once the host serves, so that a start that
    /// fails logs its failure alone.
    pub fn log_destinations(&self) {
        for (signal, way) in crate::export::startup_log::summary(&self.config) {
            tracing::info!("{signal}: {way}");
        }
        let notice = crate::export::startup_log::notice_absent_collector(self.config.clone());
        self.runtime.handle.spawn(notice);
    }

    /// Exports what is queued, within the flush timeout.
    ///
    /// # Cancel safety
    /// Items that are not exported when it is dropped stay queued.
    pub async fn flush(&self) {
        self.flush_until(Instant::now() + self.config.flush_timeout)
            .await;
    }

    async fn flush_until(&self, deadline: Instant) {
        let meters = self.meters.clone();
        let metrics = tokio::task::spawn_blocking(move || meters.force_flush());
        let all = async {
            self.flush_queues().await;
            // The exporter has logged a failure already.
            let _ = metrics.await;
        };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!(
                timeout = ?self.config.flush_timeout,
                spans = self.spans.len(),
                log_records = self.records.len(),
                "telemetry was not flushed in time"
            );
        }
    }

    async fn flush_queues(&self) {
        let mut waits = Vec::new();
        for flushes in &self.flushes {
            let (done, wait) = oneshot::channel();
            // It also waits for a batch that is being sent and for an earlier flush.
            if flushes.send(done).await.is_ok() {
                waits.push(wait);
            }
        }
        for wait in waits {
            let _ = wait.await;
        }
    }
}

/// A runtime that can be dropped anywhere: tokio's own runtime panics if a future drops
/// it, as happens when the serving runtime is dropped.
struct OwnRuntime {
    runtime: Option<Runtime>,
    handle: Handle,
    /// Cancelled when the runtime ends, for threads that wait for it.
    ended: CancellationToken,
    /// The end of export, for the exporters.
    closing: Closing,
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        self.ended.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
