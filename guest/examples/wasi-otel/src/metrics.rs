//! Metrics that are aggregated here, in an instance that lives for one request.

use fanlight_guest::{Response, counter};

use crate::otel::attribute;
use crate::otel::metrics::{Metric, MetricData, MetricNumber, SumDataPoint, Temporality};
use crate::points::{exponential, exported, gauge, histogram, metric, sum};

fn answer(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => Response::text("taken\n"),
        Err(error) => Response::text(format!("{error}\n")),
    }
}

/// One of each kind; `n` times what is counted.
fn one_of_each(temporality: Temporality, n: u32, last: u32) -> Vec<Metric> {
    use MetricNumber::{F64, S64, U64};

    let (whole, real) = (u64::from(n), f64::from(n));
    let signed = i64::from(n);
    vec![
        metric(
            "otel.counter",
            "{thing}",
            MetricData::U64Sum(sum(temporality, true, U64(3 * whole))),
        ),
        metric(
            "otel.counter_f64",
            "By",
            MetricData::F64Sum(sum(temporality, true, F64(0.5 * real))),
        ),
        metric(
            "otel.up_down",
            "",
            MetricData::S64Sum(sum(temporality, false, S64(-2 * signed))),
        ),
        metric(
            "otel.histogram",
            "ms",
            MetricData::F64Histogram(histogram(
                temporality,
                [whole, 2 * whole, whole],
                F64(120.5 * real),
                (F64(0.5), F64(100.0)),
            )),
        ),
        metric(
            "otel.histogram_u64",
            "",
            MetricData::U64Histogram(histogram(
                temporality,
                [0, whole, 0],
                U64(7 * whole),
                (U64(7), U64(7)),
            )),
        ),
        metric(
            "otel.exponential",
            "s",
            MetricData::F64ExponentialHistogram(exponential(
                temporality,
                1,
                -1,
                &[whole, 0, 2 * whole],
                whole,
                6.5 * real,
            )),
        ),
        metric(
            "otel.gauge",
            "",
            MetricData::S64Gauge(gauge(S64(i64::from(last)))),
        ),
        metric("otel.gauge_f64", "", MetricData::F64Gauge(gauge(F64(0.25)))),
    ]
}

/// Adds one of each twice over.
pub(crate) fn delta(last: u32) -> Response {
    let first = exported(one_of_each(Temporality::Delta, 1, 0));
    answer(first.and_then(|()| exported(one_of_each(Temporality::Delta, 1, last))))
}

/// Tells of all so far, twice: two of each have been added in the end.
pub(crate) fn cumulative(last: u32) -> Response {
    let first = exported(one_of_each(Temporality::Cumulative, 1, 0));
    answer(first.and_then(|()| exported(one_of_each(Temporality::Cumulative, 2, last))))
}

/// One point that is good, and others that are not; a line for each.
pub(crate) fn refused() -> Response {
    use MetricNumber::{F64, S64, U64};
    use Temporality::Delta;

    let adding = |name, value| metric(name, "", MetricData::F64Sum(sum(Delta, true, F64(value))));
    let counts = |counts| histogram(Delta, counts, F64(1.0), (F64(0.0), F64(1.0)));
    let mut falling = counts([1, 1, 1]);
    let mut short = counts([1, 1, 1]);
    let mut miscounted = counts([1, 1, 1]);
    for point in &mut falling.data_points {
        point.bounds.reverse();
    }
    for point in &mut short.data_points {
        point.bucket_counts.pop();
    }
    for point in &mut miscounted.data_points {
        point.count += 1;
    }
    let wild = exponential(Delta, 20, i32::MAX, &[1], 0, 1.0);
    let cases = [
        adding("refused.nan", f64::NAN),
        adding("refused.infinite", f64::INFINITY),
        adding("refused.falls", -1.0),
        metric(
            "refused.gauge",
            "",
            MetricData::F64Gauge(gauge(F64(f64::NAN))),
        ),
        metric(
            "refused.type",
            "",
            MetricData::U64Sum(sum(Delta, true, S64(1))),
        ),
        metric("refused.bounds", "", MetricData::F64Histogram(falling)),
        metric("refused.buckets", "", MetricData::F64Histogram(short)),
        metric("refused.count", "", MetricData::F64Histogram(miscounted)),
        metric(
            "refused.index",
            "",
            MetricData::F64ExponentialHistogram(wild),
        ),
        metric("9", "", MetricData::U64Sum(sum(Delta, true, U64(1)))),
        metric(
            "http.server.x",
            "",
            MetricData::U64Sum(sum(Delta, true, U64(1))),
        ),
        metric(
            &"n".repeat(1_000_000),
            "",
            MetricData::U64Sum(sum(Delta, true, U64(1))),
        ),
        adding("taken.good", 1.0),
    ];
    let lines = cases.map(|case| match exported(vec![case]) {
        Ok(()) => "taken\n".to_owned(),
        Err(error) => format!("{error}\n"),
    });
    Response::text(lines.concat())
}

/// Measures in units that UCUM has, and in others.
pub(crate) fn units() -> Response {
    use MetricNumber::{F64, U64};
    use Temporality::Delta;

    let times = histogram(Delta, [1, 0, 0], F64(0.5), (F64(0.5), F64(0.5)));
    answer(exported(vec![
        metric(
            "units.speed",
            "km/h",
            MetricData::F64Gauge(gauge(F64(50.0))),
        ),
        metric(
            "units.distance",
            "km",
            MetricData::U64Sum(sum(Delta, true, U64(7))),
        ),
        metric("units.time", "seconds", MetricData::F64Histogram(times)),
        metric("units.used", "1", MetricData::F64Gauge(gauge(F64(0.5)))),
        metric(
            "units.seconds.waited",
            "s",
            MetricData::F64Gauge(gauge(F64(2.0))),
        ),
        // For Prometheus one name, of which the first stays.
        metric("units.rate", "req/s", MetricData::F64Gauge(gauge(F64(1.0)))),
        metric("units_rate", "req/s", MetricData::F64Gauge(gauge(F64(2.0)))),
    ]))
}

/// An instrument as something else, with other bounds, and by the other door.
pub(crate) fn clash() -> Response {
    use MetricNumber::{F64, S64, U64};
    use Temporality::Delta;

    let mut other_bounds = histogram(Delta, [1, 1, 1], F64(1.0), (F64(0.0), F64(1.0)));
    for point in &mut other_bounds.data_points {
        point.bounds = vec![2.0, 20.0];
    }
    let cases = [
        metric("clash.a", "", MetricData::U64Sum(sum(Delta, true, U64(1)))),
        metric("clash.a", "", MetricData::U64Sum(sum(Delta, false, U64(1)))),
        metric("clash.a", "s", MetricData::U64Sum(sum(Delta, true, U64(1)))),
        metric("clash.a", "", MetricData::S64Gauge(gauge(S64(1)))),
        metric(
            "clash.b",
            "",
            MetricData::F64Histogram(histogram(Delta, [1, 1, 1], F64(1.0), (F64(0.0), F64(1.0)))),
        ),
        metric("clash.b", "", MetricData::F64Histogram(other_bounds)),
    ];
    let lines = cases.map(|case| match exported(vec![case]) {
        Ok(()) => "taken\n".to_owned(),
        Err(error) => format!("{error}\n"),
    });
    // The other door's instruments are found by the same names.
    let other = counter("clash.d").scope("by-hand", "1.2").u64();
    let first = match other.map(|counter| counter.add(1, &[])) {
        Ok(()) => "opened\n".to_owned(),
        Err(error) => format!("{error}\n"),
    };
    let here = metric("clash.d", "", MetricData::U64Sum(sum(Delta, true, U64(1))));
    let second = exported(vec![here]).err().unwrap_or_default();
    let third = match counter("clash.a").scope("by-hand", "1.2").u64() {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    };
    Response::text(format!("{}{first}{second}\n{third}\n", lines.concat()))
}

/// One counter with so many series, by one call.
pub(crate) fn series(count: u32) -> Response {
    let point = |n: u32| SumDataPoint {
        attributes: vec![attribute("n", &n.to_string())],
        value: MetricNumber::U64(1),
        exemplars: Vec::new(),
    };
    let mut sum = sum(Temporality::Delta, true, MetricNumber::U64(1));
    sum.data_points = (0..count).map(point).collect();
    answer(exported(vec![metric(
        "otel.series",
        "",
        MetricData::U64Sum(sum),
    )]))
}

/// One series with so many points, by one call.
pub(crate) fn same_series(count: u32) -> Response {
    let mut sum = sum(Temporality::Delta, true, MetricNumber::U64(1));
    let point = sum.data_points.remove(0);
    sum.data_points = vec![
        SumDataPoint {
            attributes: Vec::new(),
            ..point
        };
        usize::try_from(count).unwrap_or(0)
    ];
    answer(exported(vec![metric(
        "otel.same_series",
        "",
        MetricData::U64Sum(sum),
    )]))
}

/// Exponential histograms of several scales and far apart, which are joined.
pub(crate) fn scales() -> Response {
    let of = |scale, offset, counts: &[u64]| {
        let histogram = exponential(Temporality::Delta, scale, offset, counts, 0, 1.0);
        metric(
            "otel.scales",
            "",
            MetricData::F64ExponentialHistogram(histogram),
        )
    };
    // 1 to 2 at scale 0, the same in two halves, and 1024 to 2048.
    answer(
        exported(vec![of(0, 0, &[4])])
            .and_then(|()| exported(vec![of(1, 0, &[1, 2])]))
            .and_then(|()| exported(vec![of(0, 10, &[8])])),
    )
}
