//! An instrument of each kind, and one that cannot be had.

use fanlight_guest::Response;
use opentelemetry::{KeyValue, global};

use crate::done;

/// Measures the same by each.
pub(crate) fn one_of_each() -> Response {
    let meter = global::meter("library");
    let attributes = [KeyValue::new("color", "red")];
    let counter = meter.u64_counter("api.counter").with_unit("{thing}");
    counter.build().add(2, &attributes);
    meter
        .f64_counter("api.counter_f64")
        .build()
        .add(0.5, &attributes);
    let up_down = meter.i64_up_down_counter("api.up_down").build();
    up_down.add(5, &attributes);
    up_down.add(-3, &attributes);
    meter
        .f64_up_down_counter("api.up_down_f64")
        .build()
        .add(-0.5, &attributes);
    meter.i64_gauge("api.gauge").build().record(-7, &attributes);
    meter
        .u64_gauge("api.gauge_u64")
        .build()
        .record(7, &attributes);
    meter
        .f64_gauge("api.gauge_f64")
        .build()
        .record(0.25, &attributes);
    let histogram = meter.f64_histogram("api.histogram").with_unit("ms");
    let histogram = histogram.with_boundaries(vec![1.0, 10.0]).build();
    histogram.record(0.5, &attributes);
    histogram.record(5.0, &attributes);
    meter
        .u64_histogram("api.histogram_u64")
        .build()
        .record(3, &attributes);
    meter
        .u64_counter("0 is no letter")
        .build()
        .add(1, &attributes);
    done()
}
