//! `wasi:otel/metrics`: points that a guest has aggregated itself.
//!
//! They meet the rules and bounds of instruments, and are counted by what they
//! add: a cumulative point by its increase since the same instance's last one.

use std::sync::Arc;

use opentelemetry::KeyValue;
use wasmtime::Result;

use crate::guest_api::attributes::{convert, cut};
use crate::guest_api::bindings::fanlight::telemetry::metrics::InstrumentError;
use crate::guest_api::context::{GuestTelemetry, GuestTelemetryView};
use crate::guest_api::instruments::cardinality::{OVERFLOW, Owner};
use crate::guest_api::scope::MAX_SCOPE;
use crate::guest_api::wasi_otel::bindings::wasi::otel::metrics as wit;
use crate::guest_api::wasi_otel::points::{Checked, Moment, Points, StandsFor};
use crate::guest_api::wasi_otel::scope::scope;
use crate::guest_api::wasi_otel::values;
use fanlight_telemetry::metrics::guest::{GuestMetric, MetricDescription, Point, SeriesKey, Shape};
use fanlight_telemetry::sizes;
use fanlight_telemetry::trace::limits::AttributeLimits;

/// The most that one call is looked at: libraries, metrics and points together.
/// Each takes a microsecond or some more, and the thread does nothing else.
const MAX_ITEMS: usize = 10_000;

/// The longest reason that a guest receives: names are in it.
const MAX_REASON: usize = 1024;

/// Points that were refused in one call.
#[derive(Default)]
struct Refused {
    count: usize,
    first: Option<String>,
}

impl Refused {
    fn add(&mut self, count: usize, why: impl FnOnce() -> String) {
        self.count += count;
        if count > 0 && self.first.is_none() {
            self.first = Some(why());
        }
    }
}

impl wit::Host for GuestTelemetryView<'_> {
    fn export(
        &mut self,
        metrics: wit::ResourceMetrics,
    ) -> Result<std::result::Result<(), wit::Error>> {
        let refused = self.telemetry.take_metrics(metrics.scope_metrics);
        let count = u64::try_from(refused.count).unwrap_or(u64::MAX);
        self.telemetry.signals.dropped().points(count);
        Ok(match refused.first {
            None => Ok(()),
            Some(why) => {
                let reason = format!("{} refused: {why}", refused.count);
                Err(cut(reason, MAX_REASON))
            }
        })
    }
}

impl GuestTelemetry {
    fn take_metrics(&mut self, list: Vec<wit::ScopeMetrics>) -> Refused {
        let mut refused = Refused::default();
        let mut left = MAX_ITEMS;
        for of_scope in list {
            if left == 0 {
                let points = of_scope.metrics.into_iter();
                let count = points.map(|metric| Points::new(metric.data).len()).sum();
                refused.add(count, too_many);
                continue;
            }
            left -= 1;
            if of_scope.metrics.is_empty() {
                continue;
            }
            let scope = scope(of_scope.scope, self.signals.dropped());
            for metric in of_scope.metrics {
                left = left.saturating_sub(1);
                let points = Points::new(metric.data);
                let over = points.len().saturating_sub(left);
                left = left.saturating_sub(points.len());
                let what = MetricDescription {
                    name: metric.name,
                    description: metric.description,
                    unit: metric.unit,
                    scope: scope.clone(),
                    kind: points.kind,
                    bounds: Vec::new(),
                };
                self.take_points(what, points, over, &mut refused);
            }
        }
        refused
    }

    /// Takes the points of a metric but the last ones, which are over the bound.
    fn take_points(
        &mut self,
        mut what: MetricDescription,
        points: Points,
        over: usize,
        refused: &mut Refused,
    ) {
        let falls = what.kind.shape == Shape::UpDownCounter;
        let stands_for = points.stands_for;
        let most = points.len() - over;
        let mut found: Option<(Arc<GuestMetric>, Owner)> = None;
        for Checked {
            attributes,
            bounds,
            point,
        } in points.checked(most)
        {
            let point = match point {
                Ok(point) => point,
                Err(why) => {
                    refused.add(1, || format!("{}: {why}", what.name));
                    continue;
                }
            };
            let is_found = found
                .as_ref()
                .is_some_and(|(metric, _)| metric.what().bounds == bounds);
            if !is_found {
                what.bounds = bounds;
                match self.signals.instruments.of_points(&what) {
                    Ok(metric) => found = Some(metric),
                    Err(error) => {
                        refused.add(1, || told(&what.name, error));
                        continue;
                    }
                }
            }
            let Some((metric, owner)) = &found else {
                continue;
            };
            // As with the first door: a cut value would be another series.
            let limits = AttributeLimits::default();
            let (attributes, unseen) = values::attributes(attributes, limits);
            self.signals.dropped().attributes(u64::from(unseen));
            let attributes = convert(attributes, limits, self.signals.dropped());
            let key = SeriesKey::new(attributes);
            let added = match stands_for {
                StandsFor::Itself => Some(point),
                StandsFor::AllSince(start) => self.added(*owner, &key, start, point, falls),
            };
            match added {
                Some(added) => self.join(metric, *owner, key, &added),
                None => refused.add(1, || {
                    format!("{}: no room to remember a cumulative point by", what.name)
                }),
            }
        }
        refused.add(over, too_many);
    }

    /// What a cumulative point adds to this instance's last one of its series.
    /// None where there is no room to remember this one.
    fn added(
        &mut self,
        owner: Owner,
        key: &SeriesKey,
        start: Moment,
        point: Point,
        falls: bool,
    ) -> Option<Point> {
        let id = (owner.number, key.clone());
        if let Some((begun, last)) = self.exported.last.get_mut(&id) {
            // A later start is another beginning, and so is a count that fell.
            let added = if start > *begun {
                None
            } else {
                point.since(last, falls)
            };
            (*begun, *last) = (start, point.clone());
            return Some(added.unwrap_or(point));
        }
        let bytes =
            size_of_val(&id) + sizes::attributes(key.attributes()) + point.estimated_bytes();
        if !self.room().take(bytes) {
            return None;
        }
        self.exported.last.insert(id, (start, point.clone()));
        Some(point)
    }

    fn join(&self, metric: &GuestMetric, owner: Owner, key: SeriesKey, added: &Point) {
        if self
            .signals
            .instruments
            .series
            .admit(owner, key.attributes())
        {
            metric.join(key, added);
        } else {
            self.signals.dropped().series(1);
            let overflow = SeriesKey::new(vec![KeyValue::new(OVERFLOW, true)]);
            metric.join(overflow, added);
        }
    }
}

fn too_many() -> String {
    format!("one call takes {MAX_ITEMS} points at most")
}

fn told(name: &str, error: InstrumentError) -> String {
    match error {
        InstrumentError::Conflict(known) => format!("{name} exists as {known}"),
        InstrumentError::Invalid(why) => {
            // Which may be far too long.
            format!("{}: {why}", cut(name.to_owned(), MAX_SCOPE))
        }
        InstrumentError::LimitReached => format!("{name}: the host allows no more instruments"),
    }
}
