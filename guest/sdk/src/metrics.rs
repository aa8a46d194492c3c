//! Instruments: counters, histograms and gauges that the host sums up.
//!
//! An instrument is found by name, kind, unit and scope; every instance of the
//! component, in whatever request, adds to the same one. Where a request has
//! one value for it, one call to the host finds it and adds that.

use std::marker::PhantomData;

use crate::bindings::fanlight::telemetry::metrics as raw;
use crate::bindings::fanlight::telemetry::types::InstrumentationScope;
use crate::value::{Attribute, with_raw};

/// Describes a sum that only grows.
///
/// ```no_run
/// # use fanlight_guest::{attributes, counter};
/// # fn example() -> Result<(), fanlight_guest::InstrumentError> {
/// counter("app.requests.total")
///     .unit("{request}")
///     .add_u64(1, &attributes!["endpoint" = "/health"])?;
/// # Ok(())
/// # }
/// ```
pub fn counter(name: &str) -> Instrument<'_, Counter> {
    Instrument::new(name)
}

/// Describes a sum that goes up and down.
pub fn up_down_counter(name: &str) -> Instrument<'_, UpDownCounter> {
    Instrument::new(name)
}

/// Describes a distribution.
///
/// ```no_run
/// # use fanlight_guest::histogram;
/// # fn example() -> Result<(), fanlight_guest::InstrumentError> {
/// let duration = histogram("app.step.duration")
///     .unit("ms")
///     .bounds(&[10.0, 100.0, 1000.0])
///     .f64()?;
/// for step in [42.0, 17.0] {
///     duration.record(step, &[]);
/// }
/// # Ok(())
/// # }
/// ```
pub fn histogram(name: &str) -> Instrument<'_, Histogram> {
    Instrument::new(name)
}

/// Describes a value that is what it was last said to be.
pub fn gauge(name: &str) -> Instrument<'_, Gauge> {
    Instrument::new(name)
}

/// The description of an instrument, which [`counter`] and its like begin.
///
/// The last word says what it counts in: `u64`, `i64` or `f64` open the
/// instrument, for several values; `add_u64`, `record_f64` and the like are for
/// one value, and cost one call to the host instead of three.
#[derive(Clone, Debug)]
#[must_use = "the last word, such as `u64` or `add_u64`, opens the instrument"]
pub struct Instrument<'a, Kind> {
    name: &'a str,
    options: raw::InstrumentOptions<'a>,
    bounds: Option<&'a [f64]>,
    kind: PhantomData<Kind>,
}

/// Marks the description of a sum that only grows.
#[derive(Clone, Copy, Debug)]
pub struct Counter(());

/// Marks the description of a sum that goes up and down.
#[derive(Clone, Copy, Debug)]
pub struct UpDownCounter(());

/// Marks the description of a distribution.
#[derive(Clone, Copy, Debug)]
pub struct Histogram(());

/// Marks the description of a value that is what it was last said to be.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(());

impl<'a, Kind> Instrument<'a, Kind> {
    fn new(name: &'a str) -> Self {
        Self {
            name,
            options: raw::InstrumentOptions {
                description: None,
                unit: "",
                scope: None,
            },
            bounds: None,
            kind: PhantomData,
        }
    }

    /// Says the unit by UCUM, such as `ms`, `By` or `{request}`.
    pub fn unit(mut self, unit: &'a str) -> Self {
        self.options.unit = unit;
        self
    }

    /// Says what is measured, for people. The first description counts.
    pub fn description(mut self, description: &'a str) -> Self {
        self.options.description = Some(description);
        self
    }

    /// Names the library that speaks and its version.
    pub fn scope(mut self, name: &'a str, version: &'a str) -> Self {
        self.options.scope = Some(InstrumentationScope {
            name,
            version: Some(version),
        });
        self
    }

    fn measure(
        self,
        value: raw::Measurement<'_>,
        attributes: &[Attribute<'_>],
    ) -> Result<(), InstrumentError> {
        with_raw(attributes, |attributes| {
            raw::measure(self.name, self.options, value, attributes)
        })?;
        Ok(())
    }
}

impl<'a> Instrument<'a, Histogram> {
    /// Gives the upper bounds of the buckets, rising; the host has a default.
    pub fn bounds(mut self, bounds: &'a [f64]) -> Self {
        self.bounds = Some(bounds);
        self
    }

    /// Finds or makes the instrument.
    ///
    /// # Errors
    ///
    /// Fails when there can be no such instrument: see [`InstrumentError`].
    pub fn f64(self) -> Result<HistogramF64, InstrumentError> {
        let handle = raw::Histogram::open(self.name, self.options, self.bounds)?;
        Ok(HistogramF64(handle))
    }

    /// Finds or makes the instrument and adds one value to it.
    ///
    /// # Errors
    ///
    /// Fails when there can be no such instrument: see [`InstrumentError`].
    pub fn record_f64(
        self,
        value: f64,
        attributes: &[Attribute<'_>],
    ) -> Result<(), InstrumentError> {
        let bounds = self.bounds;
        let value = raw::Measurement::Histogram(raw::HistogramValue { value, bounds });
        self.measure(value, attributes)
    }
}

/// Defines an instrument whose verb records a value: the handle that stays open, and
/// the description that opens the handle or records one value by itself.
macro_rules! instrument {
    (
        $(#[$meta:meta])* $name:ident($handle:ident),
        $(#[$verb_meta:meta])* $verb:ident($number:ty)
    ) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name(raw::$handle);

        impl $name {
            $(#[$verb_meta])*
            pub fn $verb(&self, value: $number, attributes: &[Attribute<'_>]) {
                with_raw(attributes, |attributes| self.0.$verb(value, attributes));
            }
        }
    };
    (
        $(#[$meta:meta])* $name:ident($handle:ident),
        $(#[$verb_meta:meta])* $verb:ident($number:ty),
        opened by $kind:ident::$word:ident,
        $(#[$once_meta:meta])* $once:ident
    ) => {
        instrument! {
            $(#[$meta])* $name($handle),
            $(#[$verb_meta])* $verb($number)
        }

        impl Instrument<'_, $kind> {
            /// Finds or makes the instrument.
            ///
            /// # Errors
            ///
            /// Fails when there can be no such instrument: see [`InstrumentError`].
            pub fn $word(self) -> Result<$name, InstrumentError> {
                let handle = raw::$handle::open(self.name, self.options)?;
                Ok($name(handle))
            }

            $(#[$once_meta])*
            ///
            /// # Errors
            ///
            /// Fails when there can be no such instrument: see [`InstrumentError`].
            pub fn $once(
                self,
                value: $number,
                attributes: &[Attribute<'_>],
            ) -> Result<(), InstrumentError> {
                self.measure(raw::Measurement::$handle(value), attributes)
            }
        }
    };
}

instrument! {
    /// A sum that only grows, of whole numbers.
    CounterU64(CounterU64),
    /// Adds to it.
    add(u64),
    opened by Counter::u64,
    /// Finds or makes the instrument and adds to it once.
    add_u64
}

instrument! {
    /// A sum that only grows, of fractions.
    CounterF64(CounterF64),
    /// Adds to it; negative values are ignored.
    add(f64),
    opened by Counter::f64,
    /// Finds or makes the instrument and adds to it once; a negative value is
    /// ignored.
    add_f64
}

instrument! {
    /// A sum that goes up and down, of whole numbers.
    UpDownCounterI64(UpDownCounterS64),
    /// Adds to it.
    add(i64),
    opened by UpDownCounter::i64,
    /// Finds or makes the instrument and adds to it once.
    add_i64
}

instrument! {
    /// A sum that goes up and down, of fractions.
    UpDownCounterF64(UpDownCounterF64),
    /// Adds to it.
    add(f64),
    opened by UpDownCounter::f64,
    /// Finds or makes the instrument and adds to it once.
    add_f64
}

instrument! {
    /// A distribution.
    HistogramF64(Histogram),
    /// Adds a value to it.
    record(f64)
}

instrument! {
    /// A value that is what it was last said to be, a whole number.
    GaugeI64(GaugeS64),
    /// Says what it is.
    record(i64),
    opened by Gauge::i64,
    /// Finds or makes the instrument and says what it is.
    record_i64
}

instrument! {
    /// A value that is what it was last said to be, a fraction.
    GaugeF64(GaugeF64),
    /// Says what it is.
    record(f64),
    opened by Gauge::f64,
    /// Finds or makes the instrument and says what it is.
    record_f64
}

/// Why there is no such instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstrumentError {
    /// The name does not follow the rules, or the bounds do not rise.
    Invalid(String),
    /// An instrument of that name exists with another kind, unit or bounds.
    Conflict(String),
    /// The host holds as many instruments as it allows.
    LimitReached,
}

impl std::fmt::Display for InstrumentError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid(why) => write!(formatter, "invalid instrument: {why}"),
            Self::Conflict(with) => write!(formatter, "conflicting instrument: {with}"),
            Self::LimitReached => formatter.write_str("the host allows no more instruments"),
        }
    }
}

impl std::error::Error for InstrumentError {}

impl From<raw::InstrumentError> for InstrumentError {
    fn from(error: raw::InstrumentError) -> Self {
        match error {
            raw::InstrumentError::Invalid(why) => Self::Invalid(why),
            raw::InstrumentError::Conflict(with) => Self::Conflict(with),
            raw::InstrumentError::LimitReached => Self::LimitReached,
        }
    }
}
