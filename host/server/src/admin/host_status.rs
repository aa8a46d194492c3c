//! What the viewer's pages show beside telemetry: the component, its swaps, the metrics.

use std::sync::Arc;

use fanlight_telemetry::{Instrument, InstrumentPoint, InstrumentValue, PrometheusText};
use fanlight_viewer::{
    Access, ComponentStatus, ComponentVersion, Histogram, HostStatus, Import, MetricsStatus, Point,
    PointValue, SwapOutcome, SwapRecord,
};

use crate::component::history::HistoryEntry;
use crate::component::reload::Reloader;
use crate::component::slot::InUse;

/// Reads what the pages show from the parts of one server.
pub(crate) struct ServerStatus {
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) metrics: Option<PrometheusText>,
    pub(crate) serving_url: String,
}

impl HostStatus for ServerStatus {
    fn component(&self) -> ComponentStatus {
        let (slot, _) = self.reloader.view();
        ComponentStatus {
            current: Some(version(&slot.current)),
            previous: slot.previous.as_ref().map(version),
            history: self.reloader.history().into_iter().map(record).collect(),
            max_upload_bytes: self.reloader.max_bytes() as u64,
        }
    }

    fn metrics(&self) -> MetricsStatus {
        let metrics = self.metrics.as_ref();
        // That the instruments cannot be read would be a defect, which /metrics reports.
        let instruments = metrics.and_then(|metrics| metrics.instruments().ok());
        status(instruments.unwrap_or_default())
    }

    fn serving_url(&self) -> String {
        self.serving_url.clone()
    }
}

fn version(in_use: &InUse) -> ComponentVersion {
    let component = &in_use.component;
    let imports = component.imports().iter().map(|import| Import {
        name: import.name.to_string(),
        access: match import.is_granted {
            true => Access::Granted,
            false => Access::Denied,
        },
    });
    ComponentVersion {
        version: component.version().to_owned(),
        digest: component.digest().to_owned(),
        generation: component.generation(),
        size: component.size() as u64,
        source: component.source().to_string(),
        loaded_at: component.loaded_at(),
        in_flight: in_use.in_flight as u64,
        imports: imports.collect(),
    }
}

fn record(entry: HistoryEntry) -> SwapRecord {
    let (version, generation) = match entry.served {
        Some((version, generation)) => (version.to_string(), Some(generation)),
        None => (String::new(), None),
    };
    SwapRecord {
        at: entry.at,
        outcome: match entry.outcome {
            "swapped" => SwapOutcome::Swapped,
            "unchanged" => SwapOutcome::Unchanged,
            "rolled_back" => SwapOutcome::RolledBack,
            "superseded" => SwapOutcome::Superseded,
            _ => SwapOutcome::Refused,
        },
        version,
        generation,
        source: entry.source,
        reason: entry.reason,
        trace_id: Some(entry.trace.trace_id().to_string()),
    }
}

/// What the host's own instruments say, and all of them one by one.
fn status(instruments: Vec<Instrument>) -> MetricsStatus {
    let mut status = MetricsStatus {
        resident_bytes: resident_bytes(),
        ..MetricsStatus::default()
    };
    for instrument in instruments {
        if instrument.is_hosts {
            summarize(&instrument, &mut status);
        }
        status.instruments.push(fanlight_viewer::Instrument {
            name: instrument.name,
            unit: instrument.unit,
            description: instrument.description,
            kind: instrument.kind.to_owned(),
            is_guests: !instrument.is_hosts,
            points: instrument.points.into_iter().map(point).collect(),
        });
    }
    status
}

fn summarize(instrument: &Instrument, status: &mut MetricsStatus) {
    let sum = || {
        let numbers = instrument.points.iter().map(|point| match point.value {
            InstrumentValue::Number(number) => number,
            InstrumentValue::Histogram { .. } => 0.0,
        });
        count(numbers.sum())
    };
    match instrument.name.as_str() {
        "http.server.active_requests" => status.active = sum(),
        "fanlight.instances.live" => status.instances = sum(),
        "fanlight.instances.limit" => status.max_instances = sum(),
        "fanlight.instances.waiting" => status.waiting = sum(),
        "http.server.request.duration" => {
            for point in &instrument.points {
                let PointValue::Histogram(durations) = value(&point.value) else {
                    continue;
                };
                let requests = durations.count();
                status.requests += requests;
                if point.labels.iter().any(|(name, _)| name == "error_type") {
                    status.errors += requests;
                }
                add(&mut status.duration, &durations);
            }
        }
        _ => {}
    }
}

/// Adds a histogram to another one, which has no bounds yet or the same.
fn add(all: &mut Histogram, more: &Histogram) {
    if all.bounds.is_empty() {
        *all = more.clone();
        return;
    }
    for (all, more) in all.counts.iter_mut().zip(&more.counts) {
        *all += more;
    }
    all.sum += more.sum;
}

/// A number of things, which is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float saturates, and there are not that many"
)]
fn count(number: f64) -> u64 {
    number as u64
}

fn point(point: InstrumentPoint) -> Point {
    Point {
        value: value(&point.value),
        attributes: point.labels,
    }
}

fn value(value: &InstrumentValue) -> PointValue {
    match value {
        InstrumentValue::Number(number) => PointValue::Number(*number),
        InstrumentValue::Histogram {
            bounds,
            counts,
            sum,
        } => PointValue::Histogram(Histogram {
            bounds: bounds.clone(),
            counts: counts.clone(),
            sum: *sum,
        }),
    }
}

/// The memory of this process; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_ascii_whitespace().nth(1);
    let pages: u64 = pages.and_then(|it| it.parse().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(labels: &[(&str, &str)], counts: [u64; 2]) -> InstrumentPoint {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        InstrumentPoint {
            labels: labels.collect(),
            value: InstrumentValue::Histogram {
                bounds: vec![1.0],
                counts: counts.to_vec(),
                sum: 2.0,
            },
        }
    }

    #[test]
    fn requests_are_those_of_all_series_and_errors_those_with_a_type() {
        let instrument = |is_hosts| Instrument {
            name: "http.server.request.duration".to_owned(),
            unit: "s".to_owned(),
            description: String::new(),
            kind: "histogram",
            is_hosts,
            points: vec![
                durations(&[("http_route", "/")], [3, 1]),
                durations(&[("error_type", "trap")], [0, 2]),
            ],
        };
        // A guest cannot make one of that name; were there one, it would not count.
        let status = status(vec![instrument(true), instrument(false)]);
        assert_eq!((status.requests, status.errors), (6, 2));
        assert_eq!(status.duration.counts, [3, 3]);
        assert!((status.duration.sum - 4.0).abs() < 1e-9);
        assert_eq!(status.instruments.len(), 2);
        assert!(status.resident_bytes > 0);
    }
}
