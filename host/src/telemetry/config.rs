//! Telemetry's configuration, read from the standard `OTEL_*` variables.
//!
//! As the specification has it: empty means unset, only `true` in any case is
//! true, and what does not parse is warned about and ignored.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::{Sampler, ShouldSample};

use super::queue::BatchConfig;
use crate::span::SpanLimits;

/// How long an export may take where nobody said: the specification's 10 s.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

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
            warnings: env.warnings,
        }
    }
}

/// The variables, and what is wrong with them.
struct Env {
    vars: HashMap<String, String>,
    warnings: Vec<String>,
}

impl Env {
    fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            vars: vars
                .into_iter()
                .filter(|(name, value)| name.starts_with("OTEL_") && !value.trim().is_empty())
                .collect(),
            warnings: Vec::new(),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        self.vars.get(name).map(|value| value.trim().to_owned())
    }

    fn boolean(&mut self, name: &str) -> bool {
        let Some(value) = self.text(name) else {
            return false;
        };
        if !value.eq_ignore_ascii_case("true") && !value.eq_ignore_ascii_case("false") {
            self.warn(name, &value, "neither true nor false; taken as false");
        }
        value.eq_ignore_ascii_case("true")
    }

    fn parsed<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let value = self.text(name)?;
        match value.parse() {
            Ok(parsed) => Some(parsed),
            Err(_) => {
                self.warn(name, &value, "does not parse; ignored");
                None
            }
        }
    }

    fn positive(&mut self, name: &str) -> Option<usize> {
        let parsed = self.parsed::<usize>(name)?;
        if parsed == 0 {
            self.warn(name, "0", "must be greater than zero; ignored");
            return None;
        }
        Some(parsed)
    }

    fn millis(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name).map(Duration::from_millis)
    }

    fn warn(&mut self, name: &str, value: &str, what: &str) {
        self.warnings.push(format!("{name}={value}: {what}"));
    }

    /// `key=value,key=value`, percent-decoded; one bad pair discards the whole.
    fn resource_attributes(&mut self) -> Vec<KeyValue> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let Some(text) = self.text(NAME) else {
            return Vec::new();
        };
        let mut attributes = Vec::new();
        for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
            let decoded = pair.split_once('=').and_then(|(key, value)| {
                let key = percent_decoded(key.trim())?;
                let value = percent_decoded(value.trim())?;
                (!key.is_empty()).then(|| KeyValue::new(key, value))
            });
            match decoded {
                Some(attribute) => attributes.push(attribute),
                None => {
                    self.warn(NAME, &text, "does not parse; ignored");
                    return Vec::new();
                }
            }
        }
        attributes
    }

    fn signal(&mut self, signal: &str, path: &str, disabled: bool) -> SignalConfig {
        let protocol = self.protocol(signal);
        let own = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
        let common = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let (endpoint, endpoint_is_default) = match (self.text(&own), self.text(common), protocol) {
            // A signal's own address is taken as it stands.
            (Some(endpoint), _, _) => (endpoint, false),
            (None, Some(base), Protocol::Grpc) => (base, false),
            (None, Some(base), Protocol::HttpProtobuf) => {
                (format!("{}{path}", base.trim_end_matches('/')), false)
            }
            (None, None, Protocol::Grpc) => ("http://localhost:4317".to_owned(), true),
            (None, None, Protocol::HttpProtobuf) => (format!("http://localhost:4318{path}"), true),
        };
        let own = format!("OTEL_EXPORTER_OTLP_{signal}_TIMEOUT");
        let timeout = self
            .millis(&own)
            .or_else(|| self.millis("OTEL_EXPORTER_OTLP_TIMEOUT"));
        SignalConfig {
            timeout: timeout.unwrap_or(DEFAULT_TIMEOUT),
            enabled: !disabled && self.is_exported(signal),
            protocol,
            endpoint,
            endpoint_is_default,
        }
    }

    fn is_exported(&mut self, signal: &str) -> bool {
        let name = format!("OTEL_{signal}_EXPORTER");
        match self.text(&name).as_deref() {
            None | Some("otlp") => true,
            Some("none") => false,
            Some(other) => {
                let other = other.to_owned();
                self.warn(&name, &other, "not supported; otlp is used");
                true
            }
        }
    }

    fn batch(&mut self, processor: &str) -> BatchConfig {
        let defaults = BatchConfig::default();
        let mut positive = |what: &str| self.positive(&format!("OTEL_{processor}_{what}"));
        let max_batch = positive("MAX_EXPORT_BATCH_SIZE").unwrap_or(defaults.max_batch);
        let max_items = positive("MAX_QUEUE_SIZE").unwrap_or(defaults.max_items);
        let schedule_delay = self.millis(&format!("OTEL_{processor}_SCHEDULE_DELAY"));
        BatchConfig {
            schedule_delay: schedule_delay.unwrap_or(defaults.schedule_delay),
            max_batch,
            max_items,
            max_bytes: defaults.max_bytes,
        }
    }

    fn protocol(&mut self, signal: &str) -> Protocol {
        let own = format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL");
        for name in [own.as_str(), "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            match self.text(name).as_deref() {
                Some("grpc") => return Protocol::Grpc,
                Some("http/protobuf") => return Protocol::HttpProtobuf,
                Some(other) => {
                    let other = other.to_owned();
                    self.warn(name, &other, "not supported; ignored");
                }
                None => {}
            }
        }
        Protocol::Grpc
    }

    fn sampler(&mut self) -> Box<dyn ShouldSample> {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let always_on = || Box::new(Sampler::AlwaysOn);
        let name = self.text(NAME);
        match name.as_deref().unwrap_or("parentbased_always_on") {
            "always_on" => Box::new(Sampler::AlwaysOn),
            "always_off" => Box::new(Sampler::AlwaysOff),
            "traceidratio" => Box::new(Sampler::TraceIdRatioBased(self.ratio())),
            "parentbased_always_on" => Box::new(Sampler::ParentBased(always_on())),
            "parentbased_always_off" => {
                Box::new(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
            }
            "parentbased_traceidratio" => {
                let root = Sampler::TraceIdRatioBased(self.ratio());
                Box::new(Sampler::ParentBased(Box::new(root)))
            }
            other => {
                let other = other.to_owned();
                self.warn(NAME, &other, "not supported; parentbased_always_on is used");
                Box::new(Sampler::ParentBased(always_on()))
            }
        }
    }

    fn ratio(&mut self) -> f64 {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        match self.parsed::<f64>(NAME) {
            Some(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            Some(ratio) => {
                self.warn(NAME, &ratio.to_string(), "not between 0 and 1; 1 is used");
                1.0
            }
            None => 1.0,
        }
    }
}

/// Decodes `%XX`; none where an escape is cut or the result is no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
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
