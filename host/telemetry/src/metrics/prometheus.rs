//! The metrics as Prometheus scrapes them: a second reader of the same
//! instruments, with a registry of its own.
//!
//! What a guest names its instruments and attributes never makes the text
//! invalid: one bad label, or one series twice, would have Prometheus refuse
//! the whole of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::error::OTelSdkError;
use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

use crate::metrics::guest::{GuestPoints, is_unit};
use crate::{GUEST_SCOPE, HOST_SCOPE};

/// Labels that tell the library that speaks.
const SCOPE_LABELS: &str = "otel_scope_";
const SCOPE_NAME: &str = "otel_scope_name";

/// Renders the metrics of host and guests for Prometheus.
#[derive(Clone, Debug)]
pub struct PrometheusText {
    registry: Registry,
    names: Arc<Mutex<Names>>,
    guest_points: Arc<GuestPoints>,
}

impl PrometheusText {
    /// Makes it, and the reader that belongs to the meter provider.
    pub(crate) fn new(
        guest_points: Arc<GuestPoints>,
    ) -> Result<(Self, PrometheusExporter), OTelSdkError> {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .build()?;
        let text = Self {
            registry,
            names: Arc::default(),
            guest_points,
        };
        Ok((text, reader))
    }

    /// The text's media type, for `content-type`.
    pub fn content_type(&self) -> &'static str {
        TEXT_FORMAT
    }

    /// Reads all instruments and renders them, off the serving threads.
    ///
    /// # Errors
    /// Where the text cannot be made, which would be a defect.
    pub async fn render(&self) -> anyhow::Result<String> {
        let text = self.clone();
        tokio::task::spawn_blocking(move || text.rendered()).await?
    }

    fn rendered(&self) -> anyhow::Result<String> {
        let mut gathered = self.registry.gather();
        gathered.append(&mut self.guest_points.families());
        let mut families = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            merged(gathered, &mut names)
        };
        for family in &mut families {
            tidy(family);
        }
        Ok(TextEncoder::new().encode_to_string(&families)?)
    }
}

/// Gives families their names, joins those that have the same then, and leaves
/// out those whose names are taken.
fn merged(families: Vec<MetricFamily>, names: &mut Names) -> Vec<MetricFamily> {
    let mut by_name = BTreeMap::<String, MetricFamily>::new();
    for mut family in families {
        let owner = Owner {
            family: family_name(family.name()),
            kind: family.get_field_type(),
        };
        if !names.claim(&owner) {
            continue;
        }
        match by_name.entry(owner.family) {
            Entry::Vacant(entry) => {
                family.set_name(entry.key().clone());
                entry.insert(family);
            }
            Entry::Occupied(mut entry) => {
                entry.get_mut().mut_metric().append(family.mut_metric());
            }
        }
    }
    by_name.into_values().collect()
}

/// Whose each name is. It stays with who had it first, so that no series ends
/// because another begins. As bounded as instruments are.
#[derive(Debug, Default)]
struct Names {
    owners: HashMap<String, Owner>,
    refused: HashSet<Owner>,
}

/// A family as it would be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Owner {
    family: String,
    kind: MetricType,
}

impl Owner {
    /// All names that its lines have. A histogram has more than its own, and
    /// `x.count` beside a histogram `x` would be one of them.
    fn names(&self) -> Vec<String> {
        let mut names = vec![self.family.clone()];
        if self.kind == MetricType::HISTOGRAM {
            let suffixes = ["_bucket", "_count", "_sum"];
            names.extend(suffixes.map(|suffix| format!("{}{suffix}", self.family)));
        }
        names
    }
}

impl Names {
    /// Whether a family may be told by its name; the first refusal is logged.
    fn claim(&mut self, owner: &Owner) -> bool {
        let names = owner.names();
        let taken = names
            .iter()
            .find_map(|name| self.owners.get(name).filter(|known| *known != owner));
        if let Some(known) = taken {
            if self.refused.insert(owner.clone()) {
                tracing::warn!(
                    metric = owner.family,
                    taken_by = known.family,
                    "left out of /metrics: its name for Prometheus is taken by another instrument"
                );
            }
            return false;
        }
        for name in names {
            self.owners.entry(name).or_insert_with(|| owner.clone());
        }
        true
    }
}

/// A name that ends in its unit or in `total` already gets neither twice, and of
/// several `_` in a row there is one.
fn family_name(name: &str) -> String {
    let mut name: Vec<_> = name.chars().collect();
    name.dedup_by(|next, c| (*next, *c) == ('_', '_'));
    let name = String::from_iter(name);
    let (stem, total) = match name.strip_suffix("_total") {
        Some(stem) => (stem.strip_suffix("_total").unwrap_or(stem), "_total"),
        None => (name.as_str(), ""),
    };
    let once = stem.rsplit_once('_').map(|(rest, unit)| {
        let twice = rest
            .strip_suffix(unit)
            .is_some_and(|rest| rest.ends_with('_'));
        let twice = twice && is_unit(unit);
        if twice { rest } else { stem }
    });
    format!("{}{total}", once.unwrap_or(stem))
}

/// Makes labels valid and series unique.
fn tidy(family: &mut MetricFamily) {
    let mut seen = HashSet::new();
    family.mut_metric().retain_mut(|metric| {
        let mut labels = metric.take_label();
        // Host and guest by themselves are told from each other by name; what
        // else speaks in a component is told by its scope.
        let unnamed = labels.iter().any(|label| {
            label.name() == SCOPE_NAME && [HOST_SCOPE, GUEST_SCOPE].contains(&label.value())
        });
        if unnamed {
            labels.retain(|label| !label.name().starts_with(SCOPE_LABELS));
        }
        for label in &mut labels {
            label.set_name(label_name(label.name()));
        }
        labels.sort_by(|a, b| a.name().cmp(b.name()));
        labels.dedup_by(|later, first| later.name() == first.name());
        let unique = seen.insert(key(&labels));
        metric.set_label(labels);
        unique
    });
}

/// What to call a label: one whose name is none, or has a meaning of its own,
/// gets another.
fn label_name(name: &str) -> String {
    let name = name.replace(':', "_");
    let reserved = name.starts_with("__") || ["le", "quantile"].contains(&name.as_str());
    let digit = name.starts_with(|first: char| first.is_ascii_digit());
    if reserved || digit || name.is_empty() {
        return format!("key_{name}");
    }
    name
}

fn key(labels: &[LabelPair]) -> String {
    labels
        .iter()
        .flat_map(|label| [label.name(), "\0", label.value(), "\0"])
        .collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};

    use super::*;

    fn text_and_meters() -> (PrometheusText, SdkMeterProvider) {
        let resource = Resource::builder_empty().build();
        let points = Arc::new(GuestPoints::new(Temporality::Cumulative, &resource));
        let (text, reader) = PrometheusText::new(points).unwrap();
        let meters = SdkMeterProvider::builder().with_reader(reader);
        (text, meters.build())
    }

    fn rendered(measure: impl FnOnce(&SdkMeterProvider)) -> String {
        let (text, meters) = text_and_meters();
        measure(&meters);
        text.rendered().unwrap()
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
    fn a_name_has_its_unit_and_total_once() {
        for (given, named) in [
            ("app_requests_total_total", "app_requests_total"),
            ("sent_bytes_bytes_total", "sent_bytes_total"),
            ("wait_seconds_seconds", "wait_seconds"),
            ("a_total", "a_total"),
            ("total_total", "total_total"),
            ("app_page_page", "app_page_page"),
            ("queue__depth___bytes_bytes", "queue_depth_bytes"),
            ("a", "a"),
        ] {
            assert_eq!(family_name(given), named);
        }
    }

    #[test]
    fn a_name_of_a_histograms_lines_is_taken() {
        for first in ["x.count", "x"] {
            let (text, meters) = text_and_meters();
            let meter = meters.meter(GUEST_SCOPE);
            let gauge = || meter.i64_gauge("x.count").build().record(7, &[]);
            let histogram = || meter.f64_histogram("x").build().record(1.0, &[]);
            // Whoever is there first stays, however their names are ordered.
            let (before, after): (&dyn Fn(), &dyn Fn()) = match first {
                "x" => (&histogram, &gauge),
                _ => (&gauge, &histogram),
            };
            before();
            let alone = text.rendered().unwrap();
            after();
            assert_eq!(text.rendered().unwrap(), alone, "{first} first");
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
