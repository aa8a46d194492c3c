//! The instruments of all guests: found by name, kind, unit and scope, made once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use opentelemetry::InstrumentationScope;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider, UpDownCounter};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::attributes::cut;
use super::bindings::fanlight::telemetry::metrics as wit;
use super::instrument_rules::check;
use super::series::{Owner, Series};
use super::{GuestLimits, scope};
use crate::telemetry::Dropped;
use crate::telemetry::guest_points::{
    GuestMetric, GuestPoints, MAX_BUCKETS, MetricDescription, Shape,
};

/// The longest description, in bytes.
const MAX_DESCRIPTION: usize = 1024;

/// The instruments of all guests.
pub(crate) struct Instruments {
    meters: SdkMeterProvider,
    points: Arc<GuestPoints>,
    limit: usize,
    known: RwLock<Known>,
    pub(super) series: Series,
    pub(super) dropped: Arc<Dropped>,
}

/// An instrument as a guest's handle holds it.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Opened<T> {
    pub(super) instrument: T,
    pub(super) owner: Owner,
}

#[derive(Default)]
struct Known {
    number: usize,
    /// By scope and name. Names do not differ by case alone, so these are in
    /// lower case.
    by_scope: HashMap<InstrumentationScope, HashMap<String, Instrument>>,
}

struct Instrument {
    unit: String,
    bounds: Option<Vec<f64>>,
    handle: Handle,
    owner: Owner,
    clash_was_logged: AtomicBool,
}

#[derive(Clone)]
pub(super) enum Handle {
    CounterU64(Counter<u64>),
    CounterF64(Counter<f64>),
    UpDownCounterS64(UpDownCounter<i64>),
    UpDownCounterF64(UpDownCounter<f64>),
    Histogram(Histogram<f64>),
    GaugeS64(Gauge<i64>),
    GaugeF64(Gauge<f64>),
    /// What guests have aggregated themselves.
    Points(Arc<GuestMetric>),
}

impl Handle {
    fn kind(&self) -> &'static str {
        match self {
            Self::CounterU64(_) => "counter-u64",
            Self::CounterF64(_) => "counter-f64",
            Self::UpDownCounterS64(_) => "up-down-counter-s64",
            Self::UpDownCounterF64(_) => "up-down-counter-f64",
            Self::Histogram(_) => "histogram",
            Self::GaugeS64(_) => "gauge-s64",
            Self::GaugeF64(_) => "gauge-f64",
            Self::Points(metric) => metric.what().kind.name(),
        }
    }
}

/// One kind of instrument: how it is made, and how it is told from others.
pub(super) trait Kind: Sized {
    const NAME: &'static str;
    /// How many buckets it has in each series where nobody said.
    const BUCKETS: Option<usize> = None;

    fn make(meter: &Meter, what: Description) -> Handle;
    fn of(handle: &Handle) -> Option<Self>;
}

pub(super) struct Description {
    name: String,
    unit: String,
    description: Option<String>,
    bounds: Option<Vec<f64>>,
}

macro_rules! kinds {
    ($($type:ty, $variant:ident, $name:literal, $builder:ident;)*) => {$(
        impl Kind for $type {
            const NAME: &'static str = $name;

            fn make(meter: &Meter, what: Description) -> Handle {
                let mut builder = meter.$builder(what.name).with_unit(what.unit);
                if let Some(description) = what.description {
                    builder = builder.with_description(description);
                }
                Handle::$variant(builder.build())
            }

            fn of(handle: &Handle) -> Option<Self> {
                match handle {
                    Handle::$variant(instrument) => Some(instrument.clone()),
                    _ => None,
                }
            }
        }
    )*};
}

kinds! {
    Counter<u64>, CounterU64, "counter-u64", u64_counter;
    Counter<f64>, CounterF64, "counter-f64", f64_counter;
    UpDownCounter<i64>, UpDownCounterS64, "up-down-counter-s64", i64_up_down_counter;
    UpDownCounter<f64>, UpDownCounterF64, "up-down-counter-f64", f64_up_down_counter;
    Gauge<i64>, GaugeS64, "gauge-s64", i64_gauge;
    Gauge<f64>, GaugeF64, "gauge-f64", f64_gauge;
}

impl Kind for Histogram<f64> {
    const NAME: &'static str = "histogram";
    const BUCKETS: Option<usize> = Some(16);

    fn make(meter: &Meter, what: Description) -> Handle {
        let mut builder = meter.f64_histogram(what.name).with_unit(what.unit);
        if let Some(description) = what.description {
            builder = builder.with_description(description);
        }
        if let Some(bounds) = what.bounds {
            builder = builder.with_boundaries(bounds);
        }
        Handle::Histogram(builder.build())
    }

    fn of(handle: &Handle) -> Option<Self> {
        match handle {
            Handle::Histogram(instrument) => Some(instrument.clone()),
            _ => None,
        }
    }
}

impl Instruments {
    pub(super) fn new(
        meters: SdkMeterProvider,
        points: Arc<GuestPoints>,
        limits: &GuestLimits,
        dropped: Arc<Dropped>,
    ) -> Self {
        Self {
            meters,
            points,
            limit: limits.instruments,
            series: Series::new(limits.series),
            known: RwLock::default(),
            dropped,
        }
    }

    /// Finds the instrument, or makes it.
    pub(super) fn open<K: Kind>(
        &self,
        name: String,
        options: wit::InstrumentOptions,
        bounds: Option<Vec<f64>>,
    ) -> Result<Opened<K>, wit::InstrumentError> {
        let scope = scope(options.scope);
        // Nearly always it is there, and then everything about it is in order.
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = known
            .find(&scope, &name)
            .and_then(|instrument| instrument.same_kind(&options.unit, &bounds));
        if let Some(found) = found {
            return Ok(found);
        }
        drop(known);
        check(&name, &options.unit, bounds.as_deref())?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(instrument) = known.find(&scope, &name) {
            return instrument.as_kind(&name, &options.unit, &bounds);
        }
        let number = known.number;
        if number >= self.limit {
            self.dropped.instruments(1);
            return Err(wit::InstrumentError::LimitReached);
        }
        let what = Description {
            name: name.clone(),
            unit: options.unit.clone(),
            description: options.description.map(|text| cut(text, MAX_DESCRIPTION)),
            bounds: bounds.clone(),
        };
        let buckets = K::BUCKETS.map_or(0, |default| {
            bounds.as_ref().map_or(default, |bounds| bounds.len() + 1)
        });
        let meter = self.meters.meter_with_scope(scope.clone());
        let instrument = Instrument {
            unit: options.unit,
            bounds,
            handle: K::make(&meter, what),
            owner: Owner { number, buckets },
            clash_was_logged: AtomicBool::new(false),
        };
        let opened = instrument.as_kind(&name, &instrument.unit, &instrument.bounds);
        known.add(scope, &name, instrument);
        opened
    }

    /// Finds the metric that points of a guest's own belong to, or makes it.
    pub(super) fn of_points(
        &self,
        what: &MetricDescription,
    ) -> Result<(Arc<GuestMetric>, Owner), wit::InstrumentError> {
        let bounds = (what.kind.shape == Shape::Histogram).then_some(&*what.bounds);
        check(&what.name, &what.unit, bounds)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(instrument) = known.find(&what.scope, &what.name) {
            return instrument.as_points(what);
        }
        let number = known.number;
        if number >= self.limit {
            self.dropped.instruments(1);
            return Err(wit::InstrumentError::LimitReached);
        }
        let owner = Owner {
            number,
            buckets: match what.kind.shape {
                Shape::Gauge | Shape::Counter | Shape::UpDownCounter => 0,
                Shape::Histogram => what.bounds.len() + 1,
                Shape::ExponentialHistogram => 2 * MAX_BUCKETS,
            },
        };
        let bounds = bounds.map(<[f64]>::to_vec);
        let metric = self.points.add(MetricDescription {
            description: cut(what.description.clone(), MAX_DESCRIPTION),
            ..what.clone()
        });
        let instrument = Instrument {
            unit: what.unit.clone(),
            bounds,
            handle: Handle::Points(Arc::clone(&metric)),
            owner,
            clash_was_logged: AtomicBool::new(false),
        };
        known.add(what.scope.clone(), &what.name, instrument);
        Ok((metric, owner))
    }
}

impl Known {
    fn find(&self, scope: &InstrumentationScope, name: &str) -> Option<&Instrument> {
        self.by_scope.get(scope)?.get(&*lower_case(name))
    }

    fn add(&mut self, scope: InstrumentationScope, name: &str, instrument: Instrument) {
        self.number += 1;
        let of_scope = self.by_scope.entry(scope).or_default();
        of_scope.insert(lower_case(name).into_owned(), instrument);
    }
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

impl Instrument {
    /// The instrument, where it is what was asked for.
    fn same_kind<K: Kind>(&self, unit: &str, bounds: &Option<Vec<f64>>) -> Option<Opened<K>> {
        let same = self.unit == unit && (bounds.is_none() || self.bounds == *bounds);
        let instrument = same.then(|| K::of(&self.handle)).flatten()?;
        Some(Opened {
            instrument,
            owner: self.owner,
        })
    }

    /// The same, or why not.
    fn as_kind<K: Kind>(
        &self,
        name: &str,
        unit: &str,
        bounds: &Option<Vec<f64>>,
    ) -> Result<Opened<K>, wit::InstrumentError> {
        self.same_kind(unit, bounds)
            .ok_or_else(|| self.clash(name, K::NAME, unit))
    }

    /// The metric of guests' own points, where it is what was asked for.
    fn as_points(
        &self,
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
    fn clash(&self, name: &str, asked_for: &str, asked_unit: &str) -> wit::InstrumentError {
        let known = format!(
            "{} with unit {:?} and {}",
            self.handle.kind(),
            self.unit,
            match &self.bounds {
                Some(bounds) => format!("bounds {bounds:?}"),
                None => "default bounds".to_owned(),
            }
        );
        if !self.clash_was_logged.swap(true, Ordering::Relaxed) {
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
        let points = Arc::new(GuestPoints::new(Temporality::Cumulative, &resource));
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
