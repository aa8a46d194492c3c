//! Telemetry's configuration, read from the standard `OTEL_*` variables.
//!
//! As the specification has it: empty means unset, only `true` in any case is
//! true, and what does not parse is warned about and ignored.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::ShouldSample;

use super::env::{DEFAULT_TIMEOUT, Env};
use super::queue::BatchConfig;
use crate::known_methods::KnownMethods;
use crate::propagation::Propagators;
use crate::span::SpanLimits;

/// Where telemetry goes and how.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// `service.name` of the resource.
    pub service_name: String,
    /// Further attributes of the resource.
    pub resource: Vec<KeyValue>,
    /// Where spans go.
    pub traces: SignalConfig,
    /// Where metrics go.
    pub metrics: SignalConfig,
    /// Whether metrics can be read in Prometheus' format as well. Where they are
    /// pushed to, or whether at all, is no matter here.
    pub prometheus: bool,
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
    /// The time that the last export at exit may take.
    pub flush_timeout: Duration,
    /// Bounds on a span.
    pub span_limits: SpanLimits,
    /// How traces come in and go on: `OTEL_PROPAGATORS`.
    pub propagators: Propagators,
    /// The methods of HTTP that are called by their names.
    pub known_methods: KnownMethods,
    /// What was wrong in the environment, for the log.
    pub warnings: Vec<String>,
}

/// Where one signal goes.
#[derive(Clone, Debug)]
pub struct SignalConfig {
    /// Whether it is exported at all.
    pub enabled: bool,
    /// The wire protocol.
    pub protocol: Protocol,
    /// The address, for HTTP with the signal's path.
    pub endpoint: String,
    /// Whether nobody chose the address.
    pub endpoint_is_default: bool,
    /// How long one export may take: `OTEL_EXPORTER_OTLP_TIMEOUT`.
    pub timeout: Duration,
}

/// The wire protocols of OTLP that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf in the body of HTTP requests.
    HttpProtobuf,
}

impl TelemetryConfig {
    /// Reads the environment of this process.
    pub fn from_env(default_service_name: &str) -> Self {
        Self::from_vars(std::env::vars(), default_service_name)
    }

    /// Reads the variables given.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (String, String)>,
        default_service_name: &str,
    ) -> Self {
        let mut env = Env::new(vars);
        let disabled = env.boolean("OTEL_SDK_DISABLED");
        let mut resource = env.resource_attributes();
        let named = resource
            .iter()
            .position(|attribute| attribute.key.as_str() == "service.name")
            .map(|at| resource.remove(at).value.to_string());
        let service_name = env
            .text("OTEL_SERVICE_NAME")
            .or(named)
            .unwrap_or_else(|| default_service_name.to_owned());
        let propagators =
            Propagators::parse(env.text("OTEL_PROPAGATORS").as_deref(), &mut env.warnings);
        let known_methods = env.text("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS");
        let known_methods = KnownMethods::parse(known_methods.as_deref(), &mut env.warnings);
        let defaults = SpanLimits::default();
        let text_bytes = env
            .parsed("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT")
            .or_else(|| env.parsed("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"));
        let attributes = env
            .parsed("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT")
            .or_else(|| env.parsed("OTEL_ATTRIBUTE_COUNT_LIMIT"));
        let span_limits = SpanLimits {
            attributes: attributes.unwrap_or(defaults.attributes),
            text_bytes: text_bytes.unwrap_or(defaults.text_bytes),
            events: env
                .parsed("OTEL_SPAN_EVENT_COUNT_LIMIT")
                .unwrap_or(defaults.events),
            links: env
                .parsed("OTEL_SPAN_LINK_COUNT_LIMIT")
                .unwrap_or(defaults.links),
        };
        Self {
            service_name,
            resource,
            traces: env.signal("TRACES", "/v1/traces", disabled),
            metrics: env.signal("METRICS", "/v1/metrics", disabled),
            prometheus: !disabled,
            logs: env.signal("LOGS", "/v1/logs", disabled),
            sampler: env.sampler(),
            span_batch: env.batch("BSP"),
            log_batch: env.batch("BLRP"),
            metric_interval: env
                .millis("OTEL_METRIC_EXPORT_INTERVAL")
                .unwrap_or(Duration::from_secs(60)),
            // The last export gets the time that any export gets.
            flush_timeout: env
                .millis("OTEL_EXPORTER_OTLP_TIMEOUT")
                .unwrap_or(DEFAULT_TIMEOUT),
            span_limits,
            propagators,
            known_methods,
            warnings: env.warnings,
        }
    }
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
        assert_eq!(config.service_name, "demo");
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
    fn only_true_disables_the_sdk() {
        assert!(config(&[("OTEL_SDK_DISABLED", "false")]).traces.enabled);
        assert!(!config(&[("OTEL_SDK_DISABLED", "TRUE")]).traces.enabled);
        let odd = config(&[("OTEL_SDK_DISABLED", "1")]);
        assert!(odd.traces.enabled);
        assert_eq!(odd.warnings.len(), 1);
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
    fn resource_attributes_are_percent_decoded_and_name_the_service() {
        let config = config(&[(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=shop,team=a%2Cb, deployment.environment.name = prod ",
        )]);
        assert_eq!(config.service_name, "shop");
        assert_eq!(
            config.resource,
            [
                KeyValue::new("team", "a,b"),
                KeyValue::new("deployment.environment.name", "prod")
            ]
        );
    }
}
