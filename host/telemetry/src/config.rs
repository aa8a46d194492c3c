//! Telemetry's configuration, read from the standard `OTEL_*` variables.
//!
//! As the specification has it: empty means unset, only `true` in any case is
//! true, and what does not parse is warned about and ignored.

pub(crate) mod batch;
pub(crate) mod client_tls;
pub(crate) mod endpoint;
pub(crate) mod env;
pub(crate) mod exporters;
pub mod known_methods;
pub(crate) mod limits;
pub(crate) mod protocol;
pub(crate) mod resource;
pub(crate) mod sampler;
pub(crate) mod signal;
pub(crate) mod unsupported;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::trace::ShouldSample;

use crate::config::batch::BatchConfig;
use crate::config::env::Env;
use crate::config::known_methods::KnownMethods;
use crate::config::limits::{AttributeLimits, SpanLimits};
use crate::config::resource::ServiceIdentity;
use crate::config::signal::{DEFAULT_TIMEOUT, SignalConfig};
use crate::propagation::Propagators;

/// Where telemetry goes and how.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// The attributes of the resource, `service.name` among them.
    pub resource: Vec<KeyValue>,
    /// Whether `OTEL_SDK_DISABLED` turns everything off.
    pub is_disabled: bool,
    /// Where spans go.
    pub traces: SignalConfig,
    /// Where metrics go.
    pub metrics: SignalConfig,
    /// Whether metrics can be read in Prometheus' format as well. Where they are
    /// pushed to, or whether at all, is no matter here.
    pub prometheus: bool,
    /// Host and port where Prometheus is answered besides the admin port:
    /// `OTEL_METRICS_EXPORTER` names it.
    pub prometheus_address: Option<(String, u16)>,
    /// Where log records go.
    pub logs: SignalConfig,
    /// Which traces are kept.
    pub sampler: Box<dyn ShouldSample>,
    /// How spans are gathered: `OTEL_BSP_*`.
    pub span_batch: BatchConfig,
    /// How log records are gathered: `OTEL_BLRP_*`.
    pub log_batch: BatchConfig,
    /// The time between two exports of metrics.
    pub metric_interval: Duration,
    /// How long an export of metrics may take.
    pub metric_timeout: Duration,
    /// Whether sums count from the beginning or from the last export.
    pub temporality: Temporality,
    /// The time that the last export at exit may take.
    pub flush_timeout: Duration,
    /// Bounds on a span.
    pub span_limits: SpanLimits,
    /// Bounds on the attributes of a log record.
    pub log_limits: AttributeLimits,
    /// How traces come in and go on: `OTEL_PROPAGATORS`.
    pub propagators: Propagators,
    /// The methods of HTTP that are called by their names.
    pub known_methods: KnownMethods,
    /// What was wrong in the environment, for the log.
    pub warnings: Vec<String>,
}

impl TelemetryConfig {
    /// Reads the environment of this process.
    pub fn from_env(service: impl Into<ServiceIdentity>) -> Self {
        let mut vars = Vec::new();
        let mut warnings = Vec::new();
        for (name, value) in std::env::vars_os() {
            // A name that is not UTF-8 is none of those that are looked for.
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => vars.push((name, value)),
                Err(_) if name.starts_with("OTEL_") => {
                    warnings.push(format!("{name}: the value is not UTF-8; ignored"));
                }
                Err(_) => {}
            }
        }
        let mut config = Self::from_vars(vars, service);
        config.warnings.extend(warnings);
        config
    }

    /// Reads the variables given.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (String, String)>,
        service: impl Into<ServiceIdentity>,
    ) -> Self {
        let mut env = Env::new(vars);
        let env = &mut env;
        unsupported::warn(env);
        let disabled = env.boolean("OTEL_SDK_DISABLED");
        let flush_timeout = env.millis("OTEL_EXPORTER_OTLP_TIMEOUT");
        let propagators = env.text("OTEL_PROPAGATORS");
        let propagators = Propagators::parse(propagators.as_deref(), &mut env.warnings);
        let known_methods = env.text("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS");
        let known_methods = KnownMethods::parse(known_methods.as_deref(), &mut env.warnings);
        let resource = resource::attributes(env, service.into());
        let traces = SignalConfig::read(env, "TRACES", disabled);
        let metrics = SignalConfig::read(env, "METRICS", disabled);
        let metric_interval = interval(env, &metrics);
        Self {
            resource,
            is_disabled: disabled,
            traces,
            metrics,
            prometheus: !disabled,
            prometheus_address: prometheus_address(env).filter(|_| !disabled),
            logs: SignalConfig::read(env, "LOGS", disabled),
            sampler: sampler::sampler(env),
            span_batch: BatchConfig::read(env, "BSP"),
            log_batch: BatchConfig::read(env, "BLRP"),
            metric_interval,
            metric_timeout: env
                .timeout("OTEL_METRIC_EXPORT_TIMEOUT")
                .unwrap_or(Duration::from_secs(30)),
            temporality: temporality(env),
            // The last export gets the time that any export gets. Where that has
            // no end, exiting has one all the same.
            flush_timeout: flush_timeout
                .filter(|timeout| !timeout.is_zero())
                .unwrap_or(DEFAULT_TIMEOUT),
            span_limits: limits::of_spans(env),
            log_limits: limits::of_log_records(env),
            propagators,
            known_methods,
            warnings: std::mem::take(&mut env.warnings),
        }
    }
}

/// The specification's 60 s, and 10 s where metrics go to standard output alone; the SDK's reader takes no interval of zero.
fn interval(env: &mut Env, metrics: &SignalConfig) -> Duration {
    const NAME: &str = "OTEL_METRIC_EXPORT_INTERVAL";
    let is_read_along = metrics.console && !metrics.enabled;
    let default = Duration::from_secs(if is_read_along { 10 } else { 60 });
    let millis = env.positive(NAME).and_then(|it| u64::try_from(it).ok());
    millis.map_or(default, Duration::from_millis)
}

fn temporality(env: &mut Env) -> Temporality {
    let named = env.first(
        &["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"],
        "cumulative, delta or lowmemory",
        |text| match text {
            "cumulative" => Some(Temporality::Cumulative),
            "delta" => Some(Temporality::Delta),
            "lowmemory" => Some(Temporality::LowMemory),
            _ => None,
        },
    );
    named.unwrap_or(Temporality::Cumulative)
}

/// Where Prometheus is answered, if it is named as an exporter.
fn prometheus_address(env: &mut Env) -> Option<(String, u16)> {
    let host = env.text("OTEL_EXPORTER_PROMETHEUS_HOST");
    let port = env.parsed("OTEL_EXPORTER_PROMETHEUS_PORT", "a port, from 0 to 65535");
    let exporters = env.list("OTEL_METRICS_EXPORTER");
    let named = exporters.iter().any(|name| name == "prometheus");
    named.then(|| {
        (
            host.unwrap_or_else(|| "localhost".to_owned()),
            port.unwrap_or(9464),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> TelemetryConfig {
        let vars = vars
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        TelemetryConfig::from_vars(vars, "demo")
    }

    #[test]
    fn an_empty_environment_means_grpc_to_localhost() {
        let config = config(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]);
        assert!(
            config
                .resource
                .contains(&KeyValue::new("service.name", "demo"))
        );
        assert_eq!(config.traces.endpoint, "http://localhost:4317");
        assert!(config.traces.enabled && config.traces.endpoint_is_default);
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn http_gets_the_path_of_each_signal_and_an_own_address_is_taken_as_it_stands() {
        let config = config(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs/here"),
        ]);
        assert_eq!(config.traces.endpoint, "http://collector:4318/v1/traces");
        assert_eq!(config.metrics.endpoint, "http://collector:4318/v1/metrics");
        assert_eq!(config.logs.endpoint, "http://logs/here");
    }

    #[test]
    fn prometheus_is_there_whether_or_not_metrics_are_pushed() {
        for (exporter, pushed) in [
            ("", true),
            ("none", false),
            ("prometheus", false),
            ("otlp, prometheus", true),
        ] {
            let config = config(&[("OTEL_METRICS_EXPORTER", exporter)]);
            assert_eq!(config.metrics.enabled, pushed, "{exporter}");
            assert!(
                config.prometheus && config.warnings.is_empty(),
                "{exporter}"
            );
        }
        assert!(!config(&[("OTEL_SDK_DISABLED", "true")]).prometheus);
        let address = |vars: &[(&str, &str)]| config(vars).prometheus_address;
        let named = ("OTEL_METRICS_EXPORTER", "prometheus");
        assert_eq!(address(&[]), None);
        assert_eq!(address(&[named]), Some(("localhost".into(), 9464)));
        let port = ("OTEL_EXPORTER_PROMETHEUS_PORT", "9000");
        let host = ("OTEL_EXPORTER_PROMETHEUS_HOST", "0.0.0.0");
        assert_eq!(
            address(&[named, host, port]),
            Some(("0.0.0.0".into(), 9000))
        );
        let traces = config(&[("OTEL_TRACES_EXPORTER", "prometheus")]);
        assert_eq!(traces.warnings.len(), 1);
    }

    #[test]
    fn what_does_not_parse_is_warned_about_and_ignored() {
        let config = config(&[
            ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "7"),
            ("OTEL_METRICS_EXPORTER", "carrier-pigeon"),
        ]);
        assert_eq!(config.span_batch.schedule_delay, Duration::from_secs(1));
        assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
    }

    #[test]
    fn a_batch_is_no_larger_than_the_queue() {
        let config = config(&[
            ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
            ("OTEL_BLRP_MAX_QUEUE_SIZE", "10"),
            ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "11"),
        ]);
        assert_eq!(config.span_batch.max_batch, 10);
        assert_eq!(config.log_batch.max_batch, 10);
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    }

    #[test]
    fn exiting_has_an_end_where_exports_have_none() {
        let config = config(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "0")]);
        assert!(config.traces.timeout > Duration::from_secs(3600));
        assert_eq!(config.flush_timeout, DEFAULT_TIMEOUT);
    }

    #[test]
    fn a_variable_without_effect_is_warned_about_unless_it_asks_for_what_is_done() {
        let aggregation = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        for (name, value, warned) in [
            ("OTEL_CONFIG_FILE", "otel.yaml", true),
            ("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based", true),
            ("OTEL_METRICS_EXEMPLAR_FILTER", "always_off", false),
            (aggregation, "base2_exponential_bucket_histogram", true),
            (aggregation, "explicit_bucket_histogram", false),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote", true),
            ("OTEL_SOMETHING_ELSE", "1", false),
        ] {
            let warnings = config(&[(name, value)]).warnings;
            assert_eq!(!warnings.is_empty(), warned, "{name}={value}: {warnings:?}");
        }
    }
}
