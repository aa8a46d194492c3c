//! Reads the `OTEL_*` variables by their rules: empty means unset, and what
//! does not parse is warned about and ignored.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::{Sampler, ShouldSample};

use super::config::{Protocol, SignalConfig};
use super::queue::BatchConfig;

/// How long an export may take where nobody said: the specification's 10 s.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The variables, and what is wrong with them.
pub(super) struct Env {
    vars: HashMap<String, String>,
    pub(super) warnings: Vec<String>,
}

impl Env {
    pub(super) fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            vars: vars
                .into_iter()
                .filter(|(name, value)| name.starts_with("OTEL_") && !value.trim().is_empty())
                .collect(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.vars.get(name).map(|value| value.trim().to_owned())
    }

    pub(super) fn boolean(&mut self, name: &str) -> bool {
        let Some(value) = self.text(name) else {
            return false;
        };
        if !value.eq_ignore_ascii_case("true") && !value.eq_ignore_ascii_case("false") {
            self.warn(name, &value, "neither true nor false; taken as false");
        }
        value.eq_ignore_ascii_case("true")
    }

    pub(super) fn parsed<T: FromStr>(&mut self, name: &str) -> Option<T> {
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

    pub(super) fn millis(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name).map(Duration::from_millis)
    }

    fn warn(&mut self, name: &str, value: &str, what: &str) {
        self.warnings.push(format!("{name}={value}: {what}"));
    }

    /// `key=value,key=value`, percent-decoded; one bad pair discards the whole.
    pub(super) fn resource_attributes(&mut self) -> Vec<KeyValue> {
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

    pub(super) fn signal(&mut self, signal: &str, path: &str, disabled: bool) -> SignalConfig {
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

    /// Whether a signal is pushed: the variable is a list of exporters.
    fn is_exported(&mut self, signal: &str) -> bool {
        let name = format!("OTEL_{signal}_EXPORTER");
        let Some(text) = self.text(&name) else {
            return true;
        };
        let mut pushed = false;
        for exporter in text.split(',').map(str::trim) {
            match exporter {
                "otlp" => pushed = true,
                "none" => {}
                // It is read rather than pushed to, and always there.
                "prometheus" if signal == "METRICS" => {}
                other => {
                    self.warn(&name, other, "not supported; otlp is used");
                    pushed = true;
                }
            }
        }
        pushed
    }

    pub(super) fn batch(&mut self, processor: &str) -> BatchConfig {
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

    pub(super) fn sampler(&mut self) -> Box<dyn ShouldSample> {
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
