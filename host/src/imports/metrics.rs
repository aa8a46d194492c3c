//! `fanlight:telemetry/metrics`: instruments as a guest's handles.
//!
//! A clash is an error value to the guest and one line in the log, never a trap.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, UpDownCounter};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::attributes::convert;
use super::bindings::fanlight::telemetry::metrics as wit;
use super::bindings::fanlight::telemetry::types::Attribute;
use super::instruments::{Kind, Opened};
use super::series::Owner;
use super::{GuestTelemetryView, OVERFLOW};
use crate::span_limits::AttributeLimits;

#[expect(unreachable_pub, reason = "the generated bindings re-export them")]
pub(crate) mod handles {
    //! What the guest's handles stand for; the bindings take names only.

    use opentelemetry::metrics::{Counter, Gauge, Histogram, UpDownCounter};

    use super::super::instruments::Opened;

    pub type CounterU64 = Opened<Counter<u64>>;
    pub type CounterF64 = Opened<Counter<f64>>;
    pub type UpDownCounterS64 = Opened<UpDownCounter<i64>>;
    pub type UpDownCounterF64 = Opened<UpDownCounter<f64>>;
    pub type HistogramF64 = Opened<Histogram<f64>>;
    pub type GaugeS64 = Opened<Gauge<i64>>;
    pub type GaugeF64 = Opened<Gauge<f64>>;
}

impl GuestTelemetryView<'_> {
    fn open<K: Kind + Send + 'static>(
        &mut self,
        name: String,
        options: wit::InstrumentOptions,
        bounds: Option<Vec<f64>>,
    ) -> Result<std::result::Result<Resource<Opened<K>>, wit::InstrumentError>> {
        let instruments = &self.telemetry.signals.instruments;
        Ok(match instruments.open::<K>(name, options, bounds) {
            Ok(instrument) => Ok(self.table.push(instrument)?),
            Err(error) => Err(error),
        })
    }

    /// Adds one value to an instrument that no handle is needed for.
    fn once<K: Kind>(
        &self,
        name: String,
        options: wit::InstrumentOptions,
        bounds: Option<Vec<f64>>,
        attributes: Option<Vec<Attribute>>,
        add: impl FnOnce(K, &[KeyValue]),
    ) -> std::result::Result<(), wit::InstrumentError> {
        let instruments = &self.telemetry.signals.instruments;
        let opened = instruments.open::<K>(name, options, bounds)?;
        if let Some(attributes) = attributes {
            add(opened.instrument, &self.measured(opened.owner, attributes));
        }
        Ok(())
    }

    /// The attributes of a point: those of the overflow, where its series
    /// finds no room.
    fn measured(&self, owner: Owner, attributes: Vec<Attribute>) -> Vec<KeyValue> {
        let signals = &self.telemetry.signals;
        // The specification's limits are not for metrics: a cut value would be
        // another series. A guest has to have one all the same.
        let limits = AttributeLimits::default();
        let attributes = convert(attributes, limits, signals.dropped());
        if signals.instruments.series.admit(owner, &attributes) {
            return attributes;
        }
        signals.dropped().series(1);
        vec![KeyValue::new(OVERFLOW, true)]
    }
}

impl wit::Host for GuestTelemetryView<'_> {
    fn measure(
        &mut self,
        name: String,
        options: wit::InstrumentOptions,
        value: wit::Measurement,
        attributes: Vec<Attribute>,
    ) -> Result<std::result::Result<(), wit::InstrumentError>> {
        use wit::Measurement;
        // What an instrument does not take is left out, but the instrument is there.
        let all = Some(attributes);
        Ok(match value {
            Measurement::CounterU64(value) => {
                self.once(name, options, None, all, |it: Counter<u64>, attributes| {
                    it.add(value, attributes);
                })
            }
            Measurement::CounterF64(value) => {
                let all = all.filter(|_| is_growth(value));
                self.once(name, options, None, all, |it: Counter<f64>, attributes| {
                    it.add(value, attributes);
                })
            }
            Measurement::UpDownCounterS64(value) => self.once(
                name,
                options,
                None,
                all,
                |it: UpDownCounter<i64>, attributes| {
                    it.add(value, attributes);
                },
            ),
            Measurement::UpDownCounterF64(value) => {
                let all = all.filter(|_| value.is_finite());
                self.once(
                    name,
                    options,
                    None,
                    all,
                    |it: UpDownCounter<f64>, attributes| {
                        it.add(value, attributes);
                    },
                )
            }
            Measurement::Histogram(wit::HistogramValue { value, bounds }) => {
                let all = all.filter(|_| value.is_finite());
                self.once(
                    name,
                    options,
                    bounds,
                    all,
                    |it: Histogram<f64>, attributes| {
                        it.record(value, attributes);
                    },
                )
            }
            Measurement::GaugeS64(value) => {
                self.once(name, options, None, all, |it: Gauge<i64>, attributes| {
                    it.record(value, attributes);
                })
            }
            Measurement::GaugeF64(value) => {
                let all = all.filter(|_| value.is_finite());
                self.once(name, options, None, all, |it: Gauge<f64>, attributes| {
                    it.record(value, attributes);
                })
            }
        })
    }
}

/// Whether a sum that only grows takes a value: one NaN or infinity would spoil
/// a sum for ever.
fn is_growth(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

macro_rules! host_instrument {
    ($trait:ident, $type:ty, $value:ty, $method:ident, $accepts:expr) => {
        impl wit::$trait for GuestTelemetryView<'_> {
            fn open(
                &mut self,
                name: String,
                options: wit::InstrumentOptions,
            ) -> Result<std::result::Result<Resource<Opened<$type>>, wit::InstrumentError>> {
                self.open::<$type>(name, options, None)
            }

            fn $method(
                &mut self,
                instrument: Resource<Opened<$type>>,
                value: $value,
                attributes: Vec<Attribute>,
            ) -> Result<()> {
                let accepts: fn(&$value) -> bool = $accepts;
                if accepts(&value) {
                    let opened = self.table.get(&instrument)?;
                    let attributes = self.measured(opened.owner, attributes);
                    opened.instrument.$method(value, &attributes);
                }
                Ok(())
            }

            fn drop(&mut self, instrument: Resource<Opened<$type>>) -> Result<()> {
                self.table.delete(instrument)?;
                Ok(())
            }
        }
    };
}

host_instrument!(HostCounterU64, Counter<u64>, u64, add, |_| true);
host_instrument!(HostCounterF64, Counter<f64>, f64, add, |value| is_growth(
    *value
));
host_instrument!(HostUpDownCounterS64, UpDownCounter<i64>, i64, add, |_| true);
host_instrument!(
    HostUpDownCounterF64,
    UpDownCounter<f64>,
    f64,
    add,
    |value| value.is_finite()
);
host_instrument!(HostGaugeS64, Gauge<i64>, i64, record, |_| true);
host_instrument!(HostGaugeF64, Gauge<f64>, f64, record, |value| value
    .is_finite());

impl wit::HostHistogram for GuestTelemetryView<'_> {
    fn open(
        &mut self,
        name: String,
        options: wit::InstrumentOptions,
        bounds: Option<Vec<f64>>,
    ) -> Result<std::result::Result<Resource<Opened<Histogram<f64>>>, wit::InstrumentError>> {
        self.open::<Histogram<f64>>(name, options, bounds)
    }

    fn record(
        &mut self,
        instrument: Resource<Opened<Histogram<f64>>>,
        value: f64,
        attributes: Vec<Attribute>,
    ) -> Result<()> {
        if value.is_finite() {
            let opened = self.table.get(&instrument)?;
            let attributes = self.measured(opened.owner, attributes);
            opened.instrument.record(value, &attributes);
        }
        Ok(())
    }

    fn drop(&mut self, instrument: Resource<Opened<Histogram<f64>>>) -> Result<()> {
        self.table.delete(instrument)?;
        Ok(())
    }
}
