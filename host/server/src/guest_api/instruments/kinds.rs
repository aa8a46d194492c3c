//! The kinds of instruments: how each is made, told from the others, and what it
//! takes.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter};

use fanlight_telemetry::metrics::guest::GuestMetric;

/// One kind of instrument.
pub(crate) trait Kind: Sized {
    /// The number that it records.
    type Value: Copy;

    const NAME: &'static str;
    /// How many buckets it has in each series by default.
    const BUCKETS: Option<usize> = None;

    /// Makes one, and the handle by which later guests find it.
    fn make(meter: &Meter, what: Description) -> (Self, Handle);

    fn of(handle: &Handle) -> Option<Self>;

    /// Whether it takes a value: one NaN or infinity would spoil a sum for ever.
    fn takes(value: Self::Value) -> bool;

    /// Tells it a value that it takes.
    fn tell(&self, value: Self::Value, attributes: &[KeyValue]);
}

/// What an instrument is made by.
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) description: Option<String>,
    /// The bounds of a histogram's buckets, where the guest named some.
    pub(crate) bounds: Option<Vec<f64>>,
}

/// An instrument of whatever kind.
#[derive(Clone)]
pub(crate) enum Handle {
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
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::CounterU64(_) => Counter::<u64>::NAME,
            Self::CounterF64(_) => Counter::<f64>::NAME,
            Self::UpDownCounterS64(_) => UpDownCounter::<i64>::NAME,
            Self::UpDownCounterF64(_) => UpDownCounter::<f64>::NAME,
            Self::Histogram(_) => Histogram::<f64>::NAME,
            Self::GaugeS64(_) => Gauge::<i64>::NAME,
            Self::GaugeF64(_) => Gauge::<f64>::NAME,
            Self::Points(metric) => metric.what().kind.name(),
        }
    }
}

macro_rules! kinds {
    ($(
        $type:ident<$value:ty>, $variant:ident, $name:literal, $builder:ident,
        $tell:ident if $takes:expr $(, $with_bounds:ident, $buckets:literal)?;
    )*) => {$(
        impl Kind for $type<$value> {
            type Value = $value;

            const NAME: &'static str = $name;
            $(const BUCKETS: Option<usize> = Some($buckets);)?

            fn make(meter: &Meter, what: Description) -> (Self, Handle) {
                let mut builder = meter.$builder(what.name).with_unit(what.unit);
                if let Some(description) = what.description {
                    builder = builder.with_description(description);
                }
                $(if let Some(bounds) = what.bounds {
                    builder = builder.$with_bounds(bounds);
                })?
                let made = builder.build();
                (made.clone(), Handle::$variant(made))
            }

            fn of(handle: &Handle) -> Option<Self> {
                match handle {
                    Handle::$variant(instrument) => Some(instrument.clone()),
                    _ => None,
                }
            }

            fn takes(value: $value) -> bool {
                let takes: fn($value) -> bool = $takes;
                takes(value)
            }

            fn tell(&self, value: $value, attributes: &[KeyValue]) {
                self.$tell(value, attributes);
            }
        }
    )*};
}

kinds! {
    Counter<u64>, CounterU64, "counter-u64", u64_counter, add if |_| true;
    Counter<f64>, CounterF64, "counter-f64", f64_counter, add if is_growth;
    UpDownCounter<i64>, UpDownCounterS64, "up-down-counter-s64", i64_up_down_counter,
        add if |_| true;
    UpDownCounter<f64>, UpDownCounterF64, "up-down-counter-f64", f64_up_down_counter,
        add if f64::is_finite;
    Histogram<f64>, Histogram, "histogram", f64_histogram,
        record if f64::is_finite, with_boundaries, 16;
    Gauge<i64>, GaugeS64, "gauge-s64", i64_gauge, record if |_| true;
    Gauge<f64>, GaugeF64, "gauge-f64", f64_gauge, record if f64::is_finite;
}

/// Whether a sum that only grows takes a value.
fn is_growth(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}
