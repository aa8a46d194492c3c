//! Instruments of the API, which the host sums up.

use std::borrow::Cow;
use std::sync::Arc;

use ::opentelemetry::metrics::{
    self, Counter, Gauge, Histogram, HistogramBuilder, InstrumentBuilder, InstrumentProvider,
    Meter, SyncInstrument, UpDownCounter,
};
use ::opentelemetry::{InstrumentationScope, KeyValue};

use super::values;
use crate::bindings::fanlight::telemetry::metrics as raw;
use crate::metrics::InstrumentError;
use crate::value;

/// Makes meters whose instruments are the host's.
///
/// [`install`](super::install) makes one the global provider.
#[derive(Clone, Debug, Default)]
pub struct MeterProvider(());

impl MeterProvider {
    /// Makes a provider.
    pub fn new() -> Self {
        Self(())
    }
}

impl metrics::MeterProvider for MeterProvider {
    fn meter_with_scope(&self, scope: InstrumentationScope) -> Meter {
        Meter::new(Arc::new(Instruments { scope }))
    }
}

struct Instruments {
    scope: InstrumentationScope,
}

impl Instruments {
    fn options<'a>(
        &'a self,
        description: &'a Option<Cow<'static, str>>,
        unit: &'a Option<Cow<'static, str>>,
    ) -> raw::InstrumentOptions<'a> {
        raw::InstrumentOptions {
            description: description.as_deref(),
            unit: unit.as_deref().unwrap_or_default(),
            scope: Some(values::scope(&self.scope)),
        }
    }
}

/// An instrument of the host.
struct Opened<Handle>(Handle);

/// Stands for an instrument that cannot be had.
struct Refused;

impl<T> SyncInstrument<T> for Refused {
    fn measure(&self, _measurement: T, _attributes: &[KeyValue]) {}
}

/// Makes an instrument measure on the host, or nowhere: what uses it is not
/// asked whether it can be had.
fn instrument<T, Handle>(
    name: &str,
    handle: Result<Handle, raw::InstrumentError>,
) -> Arc<dyn SyncInstrument<T> + Send + Sync>
where
    Opened<Handle>: SyncInstrument<T> + 'static,
{
    match handle {
        Ok(handle) => Arc::new(Opened(handle)),
        Err(error) => {
            let error = InstrumentError::from(error);
            crate::warn!("instrument {name} measures nothing: {error}");
            Arc::new(Refused)
        }
    }
}

macro_rules! measure {
    ($($number:ty => $handle:ident.$verb:ident($convert:expr)),* $(,)?) => {$(
        impl SyncInstrument<$number> for Opened<raw::$handle> {
            fn measure(&self, measurement: $number, attributes: &[KeyValue]) {
                let attributes = values::attributes(attributes);
                let convert: fn($number) -> _ = $convert;
                self.0.$verb(convert(measurement), &value::as_raw(&attributes));
            }
        }
    )*};
}

measure! {
    u64 => CounterU64.add(|number| number),
    f64 => CounterF64.add(|number| number),
    i64 => UpDownCounterS64.add(|number| number),
    f64 => UpDownCounterF64.add(|number| number),
    i64 => GaugeS64.record(|number| number),
    u64 => GaugeS64.record(|number| i64::try_from(number).unwrap_or(i64::MAX)),
    f64 => GaugeF64.record(|number| number),
    f64 => Histogram.record(|number| number),
    u64 => Histogram.record(fraction),
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a histogram of the host is one of fractions"
)]
fn fraction(number: u64) -> f64 {
    number as f64
}

macro_rules! open {
    ($($word:ident: $instrument:ident<$number:ty> = $handle:ident),* $(,)?) => {$(
        fn $word(&self, builder: InstrumentBuilder<'_, $instrument<$number>>) -> $instrument<$number> {
            let options = self.options(&builder.description, &builder.unit);
            let handle = raw::$handle::open(&builder.name, options);
            $instrument::new(instrument::<$number, _>(&builder.name, handle))
        }
    )*};
}

impl InstrumentProvider for Instruments {
    open! {
        u64_counter: Counter<u64> = CounterU64,
        f64_counter: Counter<f64> = CounterF64,
        i64_up_down_counter: UpDownCounter<i64> = UpDownCounterS64,
        f64_up_down_counter: UpDownCounter<f64> = UpDownCounterF64,
        i64_gauge: Gauge<i64> = GaugeS64,
        u64_gauge: Gauge<u64> = GaugeS64,
        f64_gauge: Gauge<f64> = GaugeF64,
    }

    fn f64_histogram(&self, builder: HistogramBuilder<'_, Histogram<f64>>) -> Histogram<f64> {
        let options = self.options(&builder.description, &builder.unit);
        let handle = raw::Histogram::open(&builder.name, options, builder.boundaries.as_deref());
        Histogram::new(instrument::<f64, _>(&builder.name, handle))
    }

    fn u64_histogram(&self, builder: HistogramBuilder<'_, Histogram<u64>>) -> Histogram<u64> {
        let options = self.options(&builder.description, &builder.unit);
        let handle = raw::Histogram::open(&builder.name, options, builder.boundaries.as_deref());
        Histogram::new(instrument::<u64, _>(&builder.name, handle))
    }
}
