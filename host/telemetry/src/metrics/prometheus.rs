//! The metrics as Prometheus scrapes them: a second reader of the same
//! instruments.
//!
//! What a guest names its instruments and attributes never makes the text
//! invalid: one bad label, or one series twice, would have Prometheus refuse
//! the whole of it.

pub(crate) mod exemplars;
pub(crate) mod family;
pub(crate) mod naming;
pub(crate) mod sdk;
pub(crate) mod text;

use std::sync::Arc;

use opentelemetry_sdk::error::OTelSdkError;
use parking_lot::Mutex;

use crate::metrics::guest::GuestMetricStore;
use crate::metrics::prometheus::exemplars::Exemplars;
use crate::metrics::prometheus::family::Names;
use crate::metrics::prometheus::sdk::SdkReader;
use crate::metrics::prometheus::text::TextFormat;
use crate::metrics::snapshot::{self, Instrument};

/// Renders the metrics of host and guests for Prometheus.
#[derive(Clone, Debug)]
pub struct PrometheusText {
    reader: SdkReader,
    names: Arc<Mutex<Names>>,
    exemplars: Arc<Mutex<Vec<Exemplars>>>,
    guest_metrics: Arc<GuestMetricStore>,
}

/// Why the metrics cannot be rendered, which would be a defect.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The instruments cannot be read.
    #[error(transparent)]
    Read(#[from] OTelSdkError),
    /// The task that renders them has ended without a text.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

impl PrometheusText {
    /// Makes it, and the reader that belongs to the meter provider.
    pub(crate) fn new(guest_metrics: Arc<GuestMetricStore>) -> (Self, SdkReader) {
        let reader = SdkReader::default();
        let text = Self {
            reader: reader.clone(),
            names: Arc::default(),
            exemplars: Arc::default(),
            guest_metrics,
        };
        (text, reader)
    }

    /// Where the exemplars of one of the host's histograms are kept.
    pub(crate) fn exemplars(&self, instrument: &'static str, bounds: &'static [f64]) -> Exemplars {
        let exemplars = Exemplars::new(instrument, bounds);
        let mut all = self.exemplars.lock();
        all.push(exemplars.clone());
        exemplars
    }

    /// Reads all instruments, those of guests included. Takes up to milliseconds.
    ///
    /// # Errors
    /// Where they cannot be read, which would be a defect.
    pub fn instruments(&self) -> Result<Vec<Instrument>, RenderError> {
        Ok(snapshot::read(&self.reader, self.guest_metrics.families())?)
    }

    /// Reads all instruments and renders them, off the serving threads.
    ///
    /// # Errors
    /// Where the text cannot be made, which would be a defect.
    pub async fn render(&self, format: TextFormat) -> Result<String, RenderError> {
        let text = self.clone();
        tokio::task::spawn_blocking(move || text.rendered(format)).await?
    }

    fn rendered(&self, format: TextFormat) -> Result<String, RenderError> {
        let mut families = self.reader.families()?;
        families.append(&mut self.guest_metrics.families());
        let all = self.exemplars.lock();
        for exemplars in &*all {
            exemplars.add_to(&mut families);
        }
        drop(all);
        let mut names = self.names.lock();
        let families = names.merged(families);
        drop(names);
        Ok(format.write(&families))
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};

    use super::*;
    use crate::scope::{GUEST_SCOPE, HOST_SCOPE};

    fn text_and_meters() -> (PrometheusText, SdkMeterProvider) {
        let resource = Resource::builder_empty().build();
        let points = Arc::new(GuestMetricStore::new(Temporality::Cumulative, &resource));
        let (text, reader) = PrometheusText::new(points);
        let meters = SdkMeterProvider::builder().with_reader(reader);
        (text, meters.build())
    }

    fn rendered(measure: impl FnOnce(&SdkMeterProvider)) -> String {
        let (text, meters) = text_and_meters();
        measure(&meters);
        text.rendered(TextFormat::Prometheus).unwrap()
    }

    #[test]
    fn labels_that_would_spoil_the_text_get_another_name() {
        let text = rendered(|meters| {
            let counter = meters.meter(GUEST_SCOPE).u64_counter("c").build();
            let names = ["1st", "__name__", "le", "a:b", "ok"];
            let attributes = names.map(|name| KeyValue::new(name, "x"));
            counter.add(1, &attributes);
        });
        let labels = r#"a_b="x",key_1st="x",key___name__="x",key_le="x",ok="x""#;
        assert!(text.contains(&format!("c_total{{{labels}}} 1\n")), "{text}");
    }

    #[test]
    fn host_and_guest_have_no_scope_and_a_named_library_has_its_own() {
        let text = rendered(|meters| {
            for scope in [HOST_SCOPE, "fanlight.guest", "shop"] {
                let scope = InstrumentationScope::builder(scope)
                    .with_version("7")
                    .build();
                let name = match scope.name() {
                    HOST_SCOPE => "of.host",
                    _ => "of.guest",
                };
                meters
                    .meter_with_scope(scope)
                    .u64_counter(name)
                    .build()
                    .add(1, &[]);
            }
        });
        assert!(text.contains("of_host_total 1\n"), "{text}");
        assert!(text.contains("of_guest_total 1\n"), "{text}");
        let named = r#"of_guest_total{otel_scope_name="shop",otel_scope_version="7"} 1"#;
        assert!(text.contains(named), "{text}");
    }

    #[test]
    fn a_name_of_a_histograms_lines_is_taken() {
        for first in ["x.count", "x"] {
            let (text, meters) = text_and_meters();
            let meter = meters.meter(GUEST_SCOPE);
            let gauge = || meter.i64_gauge("x.count").build().record(7, &[]);
            let histogram = || meter.f64_histogram("x").build().record(1.0, &[]);
            // The first one stays, however their names are ordered.
            let (before, after): (&dyn Fn(), &dyn Fn()) = match first {
                "x" => (&histogram, &gauge),
                _ => (&gauge, &histogram),
            };
            before();
            let alone = text.rendered(TextFormat::Prometheus).unwrap();
            after();
            assert_eq!(
                text.rendered(TextFormat::Prometheus).unwrap(),
                alone,
                "{first} first"
            );
            assert!(alone.contains("x_count"), "{alone}");
        }
    }

    #[test]
    fn kinds_that_come_to_one_name_do_not_mix() {
        let text = rendered(|meters| {
            let meter = meters.meter(GUEST_SCOPE);
            // Both would be `a_total`.
            meter.u64_counter("a.total").build().add(5, &[]);
            meter.i64_gauge("a_total").build().record(-1, &[]);
        });
        let lines: Vec<_> = text.lines().filter(|it| it.contains("a_total")).collect();
        assert_eq!(lines.len(), 2, "{text}");
    }

    #[test]
    fn names_that_become_the_same_give_one_series() {
        let text = rendered(|meters| {
            let meter = meters.meter(GUEST_SCOPE);
            for name in ["a.b", "a_b"] {
                meter.i64_gauge(name).build().record(1, &[]);
            }
        });
        assert_eq!(text.matches("\na_b 1").count(), 1, "{text}");
    }
}
