//! What one request's guest has exported of its metrics.

use std::collections::HashMap;

use crate::guest_api::wasi_otel::points::Moment;
use fanlight_telemetry::metrics::guest::{Point, SeriesKey};

/// What one request's guest has exported as the sum of all so far.
#[derive(Default)]
pub(crate) struct Exported {
    pub(crate) last: HashMap<(usize, SeriesKey), (Moment, Point)>,
}
