//! What the guest's handles of instruments stand for; the bindings take names only.
#![expect(unreachable_pub, reason = "the generated bindings re-export them")]

use opentelemetry::metrics::{Counter, Gauge, Histogram, UpDownCounter};

use crate::guest_api::instruments::cardinality::Owner;

/// An instrument as a guest's handle holds it.
pub struct Opened<T> {
    pub(crate) instrument: T,
    pub(crate) owner: Owner,
}

pub type CounterU64 = Opened<Counter<u64>>;
pub type CounterF64 = Opened<Counter<f64>>;
pub type UpDownCounterS64 = Opened<UpDownCounter<i64>>;
pub type UpDownCounterF64 = Opened<UpDownCounter<f64>>;
pub type HistogramF64 = Opened<Histogram<f64>>;
pub type GaugeS64 = Opened<Gauge<i64>>;
pub type GaugeF64 = Opened<Gauge<f64>>;
