//! What the demo counts, right across instances because the host keeps it.

use std::time::Duration;

use fanlight_guest::{InstrumentError, attributes, counter, gauge, histogram, random_range};

/// What stands for all paths that the demo does not have: few values.
const OTHER: &str = "other";

pub(crate) fn count_request(route: Option<&str>) -> Result<(), InstrumentError> {
    counter("app.requests.total")
        .unit("{request}")
        .description("Requests, by endpoint")
        .u64()?
        .add(1, &attributes!["endpoint" = route.unwrap_or(OTHER)]);
    gauge("app.custom.gauge")
        .description("A number from 1 to 100, to have a gauge to look at")
        .i64()?
        .record(random_range(1..=100).cast_signed(), &[]);
    Ok(())
}

pub(crate) fn record_duration(
    route: Option<&str>,
    duration: Duration,
) -> Result<(), InstrumentError> {
    histogram("app.request.duration")
        .unit("ms")
        .description("How long requests took, by endpoint")
        .f64()?
        .record(
            duration.as_secs_f64() * 1000.0,
            &attributes!["endpoint" = route.unwrap_or(OTHER)],
        );
    Ok(())
}
