//! `fanlight:telemetry/metrics`: instruments as a guest's handles.
//!
//! A clash is an error value to the guest and one line in the log, never a trap.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, UpDownCounter};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::guest_api::attributes::convert;
use crate::guest_api::bindings::fanlight::telemetry::metrics as wit;
use crate::guest_api::bindings::fanlight::telemetry::types::Attribute;
use crate::guest_api::context::GuestTelemetryView;
use crate::guest_api::instruments::cardinality::{OVERFLOW, Owner};
use crate::guest_api::instruments::handles::Opened;
use crate::guest_api::instruments::kinds::Kind;
use fanlight_telemetry::trace::limits::AttributeLimits;

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

    /// Tells one value to an instrument that no handle is needed for.
    fn once<K: Kind>(
        &self,
        name: String,
        options: wit::InstrumentOptions,
        bounds: Option<Vec<f64>>,
        value: K::Value,
        attributes: Vec<Attribute>,
    ) -> std::result::Result<(), wit::InstrumentError> {
        let instruments = &self.telemetry.signals.instruments;
        let opened = instruments.open::<K>(name, options, bounds)?;
        self.tell(&opened, value, attributes);
        Ok(())
    }

    /// Tells a value to an instrument. One that it does not take is left out.
    fn tell<K: Kind>(&self, opened: &Opened<K>, value: K::Value, attributes: Vec<Attribute>) {
        if K::takes(value) {
            let attributes = self.measured(opened.owner, attributes);
            opened.instrument.tell(value, &attributes);
        }
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
        use wit::Measurement as M;
        Ok(match value {
            M::CounterU64(it) => self.once::<Counter<u64>>(name, options, None, it, attributes),
            M::CounterF64(it) => self.once::<Counter<f64>>(name, options, None, it, attributes),
            M::UpDownCounterS64(it) => {
                self.once::<UpDownCounter<i64>>(name, options, None, it, attributes)
            }
            M::UpDownCounterF64(it) => {
                self.once::<UpDownCounter<f64>>(name, options, None, it, attributes)
            }
            M::Histogram(it) => {
                self.once::<Histogram<f64>>(name, options, it.bounds, it.value, attributes)
            }
            M::GaugeS64(it) => self.once::<Gauge<i64>>(name, options, None, it, attributes),
            M::GaugeF64(it) => self.once::<Gauge<f64>>(name, options, None, it, attributes),
        })
    }
}

macro_rules! host_instrument {
    ($trait:ident, $type:ident<$value:ty>, $tell:ident $(, $bounds:ident)?) => {
        impl wit::$trait for GuestTelemetryView<'_> {
            fn open(
                &mut self,
                name: String,
                options: wit::InstrumentOptions,
                $($bounds: Option<Vec<f64>>,)?
            ) -> Result<std::result::Result<Resource<Opened<$type<$value>>>, wit::InstrumentError>>
            {
                let bounds = None$(.or($bounds))?;
                self.open(name, options, bounds)
            }

            fn $tell(
                &mut self,
                instrument: Resource<Opened<$type<$value>>>,
                value: $value,
                attributes: Vec<Attribute>,
            ) -> Result<()> {
                self.tell(self.table.get(&instrument)?, value, attributes);
                Ok(())
            }

            fn drop(&mut self, instrument: Resource<Opened<$type<$value>>>) -> Result<()> {
                self.table.delete(instrument)?;
                Ok(())
            }
        }
    };
}

host_instrument!(HostCounterU64, Counter<u64>, add);
host_instrument!(HostCounterF64, Counter<f64>, add);
host_instrument!(HostUpDownCounterS64, UpDownCounter<i64>, add);
host_instrument!(HostUpDownCounterF64, UpDownCounter<f64>, add);
host_instrument!(HostHistogram, Histogram<f64>, record, bounds);
host_instrument!(HostGaugeS64, Gauge<i64>, record);
host_instrument!(HostGaugeF64, Gauge<f64>, record);
