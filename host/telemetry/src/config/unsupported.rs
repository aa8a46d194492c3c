//! Variables of the specification that have no effect here: the host warns about one
//! that is set.

use crate::config::env::Env;

/// Each with the value that says what is done anyway, and what is.
const UNSUPPORTED: [(&str, Option<&str>, &str); 8] = [
    (
        "OTEL_CONFIG_FILE",
        None,
        "not supported; the variables are read",
    ),
    (
        "OTEL_EXPERIMENTAL_CONFIG_FILE",
        None,
        "not supported; the variables are read",
    ),
    (
        "OTEL_ENTITIES",
        None,
        "not supported; OTEL_RESOURCE_ATTRIBUTES describes the resource",
    ),
    (
        "OTEL_METRICS_EXEMPLAR_FILTER",
        Some("always_off"),
        "not supported; there are no exemplars",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        Some("explicit_bucket_histogram"),
        "not supported; histograms have explicit buckets",
    ),
    (
        "OTEL_EXPORTER_ZIPKIN_ENDPOINT",
        None,
        "not supported; there is no exporter for Zipkin",
    ),
    (
        "OTEL_EXPORTER_ZIPKIN_TIMEOUT",
        None,
        "not supported; there is no exporter for Zipkin",
    ),
    (
        "OTEL_EXPORTER_ZIPKIN_PROTOCOL",
        None,
        "not supported; there is no exporter for Zipkin",
    ),
];

/// Warns about those that are set.
pub(crate) fn warn(env: &mut Env) {
    for (name, done, what) in UNSUPPORTED {
        let Some(value) = env.text(name) else {
            continue;
        };
        if done.is_none_or(|done| !value.eq_ignore_ascii_case(done)) {
            env.warn(name, &value, what);
        }
    }
}
