//! The instruments of all guests: found by name, kind, unit and scope, made once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use parking_lot::RwLock;

use crate::guest_api::attributes::cut;
use crate::guest_api::bindings::fanlight::telemetry::metrics as wit;
use crate::guest_api::instruments::cardinality::{CardinalityLimiter, Owner};
use crate::guest_api::instruments::handles::Opened;
use crate::guest_api::instruments::kinds::{Description, Handle, Kind};
use crate::guest_api::instruments::validate::check;
use crate::guest_api::limits::GuestLimits;
use crate::guest_api::scope::scope;
use fanlight_telemetry::Dropped;
use fanlight_telemetry::metrics::guest::{
    GuestMetric, GuestMetricStore, MAX_BUCKETS, MetricDescription, Shape,
};

/// The longest description, in bytes.
const MAX_DESCRIPTION: usize = 1024;

/// The instruments of all guests.
pub(crate) struct Instruments {
    meters: SdkMeterProvider,
    points: Arc<GuestMetricStore>,
    limit: usize,
    known: RwLock<Known>,
    pub(crate) series: CardinalityLimiter,
    pub(crate) dropped: Arc<Dropped>,
}

/// The instruments that there are: by their scope, and by their name in lower
/// case, as names do not differ by case alone.
#[derive(Default)]
struct Known {
    by_scope: HashMap<InstrumentationScope, HashMap<String, Instrument>>,
    count: usize,
}

impl Known {
    fn find(&self, scope: &InstrumentationScope, name: &str) -> Option<&Instrument> {
        self.by_scope.get(scope)?.get(name)
    }

    fn find_mut(&mut self, scope: &InstrumentationScope, name: &str) -> Option<&mut Instrument> {
        self.by_scope.get_mut(scope)?.get_mut(name)
    }

    fn add(&mut self, scope: InstrumentationScope, name: String, instrument: Instrument) {
        self.count += 1;
        let named = self.by_scope.entry(scope).or_default();
        named.insert(name, instrument);
    }
}

struct Instrument {
    unit: String,
    bounds: Option<Vec<f64>>,
    handle: Handle,
    owner: Owner,
    clash_was_logged: bool,
}

impl Instruments {
    pub(crate) fn new(
        meters: SdkMeterProvider,
        points: Arc<GuestMetricStore>,
        limits: &GuestLimits,
        dropped: Arc<Dropped>,
    ) -> Self {
        Self {
            meters,
            points,
            limit: limits.instruments,
            series: CardinalityLimiter::new(limits.series),
            known: RwLock::default(),
            dropped,
        }
    }

    /// Finds the instrument, or makes it.
    pub(crate) fn open<K: Kind>(
        &self,
        name: String,
        options: wit::InstrumentOptions,
        bounds: Option<Vec<f64>>,
    ) -> Result<Opened<K>, wit::InstrumentError> {
        let scope = scope(options.scope);
        let unit = options.unit;
        // Every instance opens its own anew: nearly always it is there, under a
        // lock that others share, and its name and unit obeyed the rules when
        // it was made.
        let known = self.known.read();
        let found = known.find(&scope, &lower_case(&name));
        if let Some(opened) = found.and_then(|found| found.as_kind(&unit, bounds.as_deref())) {
            return Ok(opened);
        }
        drop(known);
        check(&name, &unit, bounds.as_deref())?;
        let key = lower_case(&name).into_owned();
        let mut known = self.known.write();
        // Another thread may have made it by now.
        if let Some(instrument) = known.find_mut(&scope, &key) {
            return match instrument.as_kind(&unit, bounds.as_deref()) {
                Some(opened) => Ok(opened),
                None => Err(instrument.clash(&name, K::NAME, &unit)),
            };
        }
        let number = known.count;
        if number >= self.limit {
            self.dropped.instruments(1);
            return Err(wit::InstrumentError::LimitReached);
        }
        let meter = self.meters.meter_with_scope(scope.clone());
        let what = Description {
            name,
            unit: unit.clone(),
            description: options.description.map(|text| cut(text, MAX_DESCRIPTION)),
            bounds: bounds.clone(),
        };
        let (instrument, handle) = K::make(&meter, what);
        let buckets = K::BUCKETS.map_or(0, |default| {
            bounds.as_ref().map_or(default, |bounds| bounds.len() + 1)
        });
        let owner = Owner { number, buckets };
        let made = Instrument {
            unit,
            bounds,
            handle,
            owner,
            clash_was_logged: false,
        };
        known.add(scope, key, made);
        Ok(Opened { instrument, owner })
    }

    /// Finds the metric that points of a guest's own belong to, or makes it.
    pub(crate) fn of_points(
        &self,
        what: &MetricDescription,
    ) -> Result<(Arc<GuestMetric>, Owner), wit::InstrumentError> {
        let bounds = (what.kind.shape == Shape::Histogram).then_some(&*what.bounds);
        check(&what.name, &what.unit, bounds)?;
        let key = lower_case(&what.name).into_owned();
        let mut known = self.known.write();
        if let Some(instrument) = known.find_mut(&what.scope, &key) {
            return instrument.as_points(what);
        }
        if known.count >= self.limit {
            self.dropped.instruments(1);
            return Err(wit::InstrumentError::LimitReached);
        }
        let owner = Owner {
            number: known.count,
            buckets: match what.kind.shape {
                Shape::Gauge | Shape::Counter | Shape::UpDownCounter => 0,
                Shape::Histogram => what.bounds.len() + 1,
                Shape::ExponentialHistogram => 2 * MAX_BUCKETS,
            },
        };
        let unit = what.unit.clone();
        let bounds = bounds.map(<[f64]>::to_vec);
        let metric = self.points.add(MetricDescription {
            description: cut(what.description.clone(), MAX_DESCRIPTION),
            ..what.clone()
        });
        known.add(
            what.scope.clone(),
            key,
            Instrument {
                unit,
                bounds,
                handle: Handle::Points(Arc::clone(&metric)),
                owner,
                clash_was_logged: false,
            },
        );
        Ok((metric, owner))
    }
}

/// A name as it is looked for. Few have upper case in them.
fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

impl Instrument {
    /// The instrument, where it is what was asked for.
    fn as_kind<K: Kind>(&self, unit: &str, bounds: Option<&[f64]>) -> Option<Opened<K>> {
        let same = self.unit == unit && (bounds.is_none() || self.bounds.as_deref() == bounds);
        let instrument = K::of(&self.handle).filter(|_| same)?;
        Some(Opened {
            instrument,
            owner: self.owner,
        })
    }

    /// The metric of guests' own points, where it is what was asked for.
    fn as_points(
        &mut self,
        what: &MetricDescription,
    ) -> Result<(Arc<GuestMetric>, Owner), wit::InstrumentError> {
        match &self.handle {
            Handle::Points(metric)
                if metric.what().kind == what.kind
                    && metric.what().unit == what.unit
                    && metric.what().bounds == what.bounds =>
            {
                Ok((Arc::clone(metric), self.owner))
            }
            _ => Err(self.clash(&what.name, what.kind.name(), &what.unit)),
        }
    }

    /// Says what it is to whom asked for something else, and once to the log.
    fn clash(&mut self, name: &str, asked_for: &str, asked_unit: &str) -> wit::InstrumentError {
        let known = format!(
            "{} with unit {:?} and {}",
            self.handle.kind(),
            self.unit,
            match &self.bounds {
                Some(bounds) => format!("bounds {bounds:?}"),
                None => "default bounds".to_owned(),
            }
        );
        if !std::mem::replace(&mut self.clash_was_logged, true) {
            ::tracing::warn!(
                instrument = name,
                asked_for,
                asked_unit,
                known,
                "a guest opened an instrument that exists as something else"
            );
        }
        wit::InstrumentError::Conflict(known)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::{Counter, Gauge};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::metrics::Temporality;

    use super::*;

    fn options(unit: &str) -> wit::InstrumentOptions {
        wit::InstrumentOptions {
            description: None,
            unit: unit.into(),
            scope: None,
        }
    }

    fn instruments(limit: usize) -> Instruments {
        let meters = SdkMeterProvider::builder().build();
        let limits = GuestLimits {
            instruments: limit,
            ..GuestLimits::default()
        };
        let resource = Resource::builder_empty().build();
        let points = Arc::new(GuestMetricStore::new(Temporality::Cumulative, &resource));
        Instruments::new(meters, points, &limits, Arc::default())
    }

    #[test]
    fn an_instrument_is_found_again_and_a_clash_says_what_it_is() {
        let known = instruments(9);
        let open =
            |name: &str, unit: &str| known.open::<Counter<u64>>(name.into(), options(unit), None);
        assert!(open("app.requests", "1").is_ok());
        assert!(open("App.Requests", "1").is_ok());
        let clash = open("app.requests", "ms").err();
        let Some(wit::InstrumentError::Conflict(what)) = clash else {
            unreachable!("{clash:?}")
        };
        assert_eq!(what, "counter-u64 with unit \"1\" and default bounds");
        let other = known.open::<Gauge<i64>>("app.requests".into(), options("1"), None);
        assert!(matches!(other, Err(wit::InstrumentError::Conflict(_))));
    }

    #[test]
    fn the_number_of_instruments_is_bounded() {
        let known = instruments(1);
        assert!(
            known
                .open::<Gauge<i64>>("a".into(), options(""), None)
                .is_ok()
        );
        let over = known.open::<Gauge<i64>>("b".into(), options(""), None);
        assert!(matches!(over, Err(wit::InstrumentError::LimitReached)));
        assert!(known.dropped.read().contains(&("instrument", 1)));
    }
}
