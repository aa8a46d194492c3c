//! The instruments as they stand now, for what shows them in the process itself.

use opentelemetry_sdk::error::OTelSdkError;

use crate::metrics::prometheus::family::{Family, Kind, Value};
use crate::metrics::prometheus::sdk::SdkReader;
use crate::scope::HOST_SCOPE;

/// An instrument of the host or of a guest, with cumulative values.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    /// Such as `http.server.request.duration`.
    pub name: String,
    /// As the semantic conventions write it, such as `s`; empty where there is none.
    pub unit: String,
    /// What it measures.
    pub description: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Whether the host made it, and no guest.
    pub is_hosts: bool,
    /// One for each set of attributes.
    pub points: Vec<InstrumentPoint>,
}

/// The value of an instrument for one set of attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct InstrumentPoint {
    /// Names and values of the attributes, as Prometheus' labels are written.
    pub labels: Vec<(String, String)>,
    /// What was measured.
    pub value: InstrumentValue,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub enum InstrumentValue {
    /// A sum or a last value.
    Number(f64),
    /// A distribution.
    Histogram {
        /// Upper bounds, without the infinite one.
        bounds: Vec<f64>,
        /// The values in each bucket, and those over the last bound.
        counts: Vec<u64>,
        /// Of all values.
        sum: f64,
    },
}

/// Reads all instruments.
pub(crate) fn read(
    reader: &SdkReader,
    guests: Vec<Family>,
) -> Result<Vec<Instrument>, OTelSdkError> {
    let families = reader.families()?.into_iter().chain(guests);
    let instruments = families.filter(|family| family.kind != Kind::Info);
    Ok(instruments.map(instrument).collect())
}

fn instrument(family: Family) -> Instrument {
    Instrument {
        is_hosts: family.source.scope == HOST_SCOPE,
        name: family.source.instrument,
        unit: match family.unit.as_deref() {
            Some("seconds") => "s",
            Some("bytes") => "By",
            Some(other) => other,
            None => "",
        }
        .to_owned(),
        description: family.help,
        kind: match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Info => "gauge",
            Kind::Histogram => "histogram",
        },
        points: family
            .series
            .into_iter()
            .map(|series| InstrumentPoint {
                labels: series
                    .labels
                    .into_iter()
                    .map(|label| (label.name, label.value))
                    .collect(),
                value: value(&series.value),
            })
            .collect(),
    }
}

fn value(value: &Value) -> InstrumentValue {
    match value {
        Value::Number(number) => InstrumentValue::Number(*number),
        Value::Histogram {
            buckets,
            sum,
            count,
            ..
        } => {
            let mut before = 0;
            let mut counts: Vec<u64> = Vec::with_capacity(buckets.len() + 1);
            for bucket in buckets {
                counts.push(bucket.cumulative_count.saturating_sub(before));
                before = bucket.cumulative_count;
            }
            counts.push(count.saturating_sub(before));
            InstrumentValue::Histogram {
                bounds: buckets.iter().map(|bucket| bucket.upper_bound).collect(),
                counts,
                sum: *sum,
            }
        }
    }
}
