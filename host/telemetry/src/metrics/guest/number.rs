//! Numbers of points, and what adding two of them gives.
//!
//! Nothing here panics or wraps: over what a number holds it stays at that.

/// The type of a metric's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberType {
    /// Floating-point numbers.
    F64,
    /// Signed integers.
    I64,
    /// Unsigned integers. OTLP has signed ones only: they end at 2^63 - 1.
    U64,
}

/// A finite number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A floating-point number.
    F64(f64),
    /// An integer.
    I64(i64),
}

/// The least and the greatest value, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// The least value, where it is known.
    pub min: Option<f64>,
    /// The greatest value, where it is known.
    pub max: Option<f64>,
}

impl Number {
    /// Whether it is less than zero.
    pub fn is_negative(self) -> bool {
        match self {
            Self::F64(value) => value < 0.0,
            Self::I64(value) => value < 0,
        }
    }

    /// The nearest float.
    #[expect(clippy::cast_precision_loss, reason = "that is what the reader takes")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::F64(value) => value,
            Self::I64(value) => value as f64,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::I64(a), Self::I64(b)) => Self::I64(a.saturating_add(b)),
            (a, b) => Self::F64(finite(a.as_f64() + b.as_f64())),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        match (self, other) {
            (Self::I64(a), Self::I64(b)) => Self::I64(a.saturating_sub(b)),
            (a, b) => Self::F64(finite(a.as_f64() - b.as_f64())),
        }
    }
}

/// What two finite numbers make is finite as well: one infinity would stay in a
/// sum for ever.
pub(crate) fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

impl Range {
    pub(crate) fn join(&mut self, other: Self) {
        let both = |a: Option<f64>, b: Option<f64>, pick: fn(f64, f64) -> f64| match (a, b) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (one, other) => one.or(other),
        };
        self.min = both(self.min, other.min, f64::min);
        self.max = both(self.max, other.max, f64::max);
    }
}

/// The sum of counts.
pub(crate) fn total<'a>(counts: impl IntoIterator<Item = &'a u64>) -> u64 {
    counts
        .into_iter()
        .fold(0, |sum, count| sum.saturating_add(*count))
}
