//! Points that guests have aggregated themselves, by `wasi:otel/metrics`.

use fanlight_tests::collected::CollectedPoint;
use fanlight_tests::collector::{Collector, Mood};
use fanlight_tests::eventually;
use fanlight_tests::fixture::WASI_OTEL;
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::prometheus::{Families, parse};
use http::Method;
use serde_json::json;

use crate::wasi_otel_tracing::{demand_dropped, wasi_otel, wasi_otel_with};

async fn scraped(host: &RunningHost) -> Families {
    let answer = host.ask_admin(Method::GET, "/metrics").send().await;
    assert_eq!(answer.status, 200);
    parse(std::str::from_utf8(&answer.body).unwrap())
}

/// The only point of a metric, once its value or count is this.
async fn point(collector: &Collector, name: &str, value: f64) -> CollectedPoint {
    let is_it = |points: &[CollectedPoint]| points[0].value == value;
    let points = collector.points(name, is_it).await;
    assert_eq!(points.len(), 1, "{points:#?}");
    points[0].clone()
}

/// All points of a metric so far.
fn points_of(collector: &Collector, name: &str) -> Vec<CollectedPoint> {
    let all = collector.all_points().into_iter();
    all.filter(|point| point.name == name).collect()
}

/// Asks at once so many times.
async fn ask(host: &RunningHost, target: &str, times: u32) {
    let asks = (0..times).map(|_| tokio::spawn(host.get(target).send()));
    for answer in asks.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, &*answer.body), (200, &b"taken\n"[..]));
    }
}

/// What `n` times one of each comes to, over OTLP.
async fn demand_pushed(collector: &Collector, n: u32, gauge: f64) {
    let times = f64::from(n);
    for (name, kind, unit, value) in [
        ("otel.counter", "sum", "{thing}", 3.0 * times),
        ("otel.counter_f64", "sum", "By", 0.5 * times),
        ("otel.up_down", "up-down", "", -2.0 * times),
        ("otel.histogram", "histogram", "ms", 120.5 * times),
        ("otel.histogram_u64", "histogram", "", 7.0 * times),
        ("otel.exponential", "exponential", "s", 6.5 * times),
        ("otel.gauge", "gauge", "", gauge),
        ("otel.gauge_f64", "gauge", "", 0.25),
    ] {
        let point = point(collector, name, value).await;
        assert_eq!((point.kind, &*point.unit), (kind, unit), "{name}");
        assert_eq!(point.scope, "by-hand", "{name}");
        let temporality = if kind == "gauge" { "" } else { "cumulative" };
        assert_eq!(point.temporality, temporality, "{name}");
        assert_eq!(point.resource["service.name"], json!("under-test"));
        let attributes = json!({"color": "red", "size": 3});
        assert_eq!(json!(point.attributes), attributes, "{name}");
        let n = u64::from(n);
        match name {
            "otel.histogram" => {
                assert_eq!((point.count, &*point.bounds), (4 * n, &[1.0, 10.0][..]));
                assert_eq!(point.buckets, [n, 2 * n, n]);
                assert_eq!(point.range, (Some(0.5), Some(100.0)));
            }
            "otel.exponential" => {
                assert_eq!(point.count, 4 * n);
                assert_eq!(point.exponential, (1, n, -1));
                assert_eq!(point.buckets, [n, 0, 2 * n]);
            }
            _ => {}
        }
    }
}

/// The same as Prometheus scrapes it.
async fn demand_scraped(host: &RunningHost, n: u32, gauge: f64) {
    let families = scraped(host).await;
    let n = f64::from(n);
    let labels = [
        ("color", "red"),
        ("size", "3"),
        ("otel_scope_name", "by-hand"),
        ("otel_scope_version", "1.2"),
    ];
    for (name, kind, sample, value) in [
        ("otel_counter_total", "counter", "", 3.0 * n),
        ("otel_counter_f64_bytes_total", "counter", "", 0.5 * n),
        ("otel_up_down", "gauge", "", -2.0 * n),
        (
            "otel_histogram_milliseconds",
            "histogram",
            "_sum",
            120.5 * n,
        ),
        (
            "otel_histogram_milliseconds",
            "histogram",
            "_count",
            4.0 * n,
        ),
        ("otel_histogram_u64", "histogram", "_sum", 7.0 * n),
        ("otel_exponential_seconds", "histogram", "_sum", 6.5 * n),
        ("otel_exponential_seconds", "histogram", "_count", 4.0 * n),
        ("otel_gauge", "gauge", "", gauge),
        ("otel_gauge_f64", "gauge", "", 0.25),
    ] {
        let family = &families[name];
        assert_eq!(family.kind, kind, "{name}");
        let samples = family.of(&format!("{name}{sample}"), &labels);
        let values: Vec<_> = samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [value], "{name}{sample}");
    }
    assert_eq!(families["otel_counter_total"].help, "About otel.counter");
    let bucket = |name: &str, bound: &str| {
        let labels = [&labels[..], &[("le", bound)]].concat();
        families[name].sum(&format!("{name}_bucket"), &labels)
    };
    assert_eq!(bucket("otel_histogram_milliseconds", "10"), 3.0 * n);
    // Zeros, what is between the root of one half and 1, and between 1 and 2.
    for (bound, count) in [("0", n), ("1", 2.0 * n), ("2", 4.0 * n), ("+Inf", 4.0 * n)] {
        assert_eq!(bucket("otel_exponential_seconds", bound), count, "{bound}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_of_many_instances_are_added_up() {
    let (collector, host) = wasi_otel().await;
    ask(&host, "/delta?gauge=1", 49).await;
    ask(&host, "/delta?gauge=42", 1).await;
    demand_pushed(&collector, 100, 42.0).await;
    demand_scraped(&host, 100, 42.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_cumulative_points_each_instances_increase_is_added() {
    let (collector, host) = wasi_otel().await;
    ask(&host, "/cumulative?gauge=1", 49).await;
    ask(&host, "/cumulative?gauge=42", 1).await;
    demand_pushed(&collector, 100, 42.0).await;
    demand_scraped(&host, 100, 42.0).await;
    // The two are one metric, whichever way a guest tells of it.
    ask(&host, "/delta?gauge=43", 1).await;
    demand_pushed(&collector, 102, 43.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_leave_over_http_as_well_and_are_read_where_nothing_is_pushed() {
    let collector = Collector::start().await;
    let host = TestHost::serving(WASI_OTEL).exporting(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ]);
    let host = host.start().await;
    ask(&host, "/delta?gauge=7", 2).await;
    demand_pushed(&collector, 4, 7.0).await;

    let host = TestHost::serving(WASI_OTEL).exporting(&[
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
    ]);
    let host = host.start().await;
    ask(&host, "/delta?gauge=7", 2).await;
    demand_scraped(&host, 4, 7.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn points_survive_a_collector_that_fails_and_leave_at_the_end() {
    let (collector, host) = wasi_otel().await;
    collector.set_mood(Mood::Failing);
    let exports = || {
        let received = collector.received();
        received.iter().filter(|it| it.signal == "metrics").count()
    };
    ask(&host, "/delta?gauge=7", 3).await;
    // One may have been under way; the points of guests go behind the host's.
    let enough = exports() + 3;
    eventually("failed exports", || (exports() >= enough).then_some(())).await;
    collector.set_mood(Mood::Well);
    host.stop().await;
    demand_pushed(&collector, 6, 7.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_that_are_refused_for_good_are_not_sent_again() {
    let collector = Collector::start().await;
    let host = TestHost::serving(WASI_OTEL).exporting(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ]);
    let host = host.start().await;
    collector.set_mood(Mood::Failing);
    ask(&host, "/delta?gauge=7", 3).await;
    let enough = collector.failed() + 4;
    eventually("failed exports", || {
        (collector.failed() >= enough).then_some(())
    })
    .await;
    collector.set_mood(Mood::Well);
    ask(&host, "/delta?gauge=7", 1).await;
    host.stop().await;
    let counted = points_of(&collector, "otel.counter");
    let sum: f64 = counted.iter().map(|point| point.value).sum();
    assert_eq!(sum, 6.0, "{counted:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_of_several_scales_are_joined_where_both_fit() {
    let (collector, host) = wasi_otel().await;
    ask(&host, "/scales", 1).await;
    let point = point(&collector, "otel.scales", 3.0).await;
    assert_eq!((point.kind, point.count), ("exponential", 15));
    assert_eq!(point.exponential, (0, 0, 0));
    assert_eq!(point.buckets, [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_breaks_a_rule_is_refused_with_the_reason_and_counted() {
    let (collector, host) = wasi_otel().await;
    let answer = host.get("/refused").send().await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let expected = [
        "1 refused: refused.nan: a value is finite",
        "1 refused: refused.infinite: a value is finite",
        "1 refused: refused.falls: a sum that only grows is not negative",
        "1 refused: refused.gauge: a value is finite",
        "1 refused: refused.type: a value is of its metric's type",
        "1 refused: refused.bounds: the bounds of a histogram are finite and rise",
        "1 refused: refused.buckets: a histogram has one bucket more than bounds",
        "1 refused: refused.count: the count of a histogram is that of its buckets",
        "1 refused: refused.index: a bucket is one of what a double can be",
        "1 refused: 9: a name begins with a letter",
        "1 refused: http.server.x: http.server.*, fanlight.* and target.info are the host's",
        &format!(
            "1 refused: {}: a name has 255 characters at most",
            "n".repeat(255)
        ),
        "taken",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    point(&collector, "taken.good", 1.0).await;
    demand_dropped(&collector, "point", 12.0).await;
    let families = scraped(&host).await;
    let refused = families.keys().find(|name| name.starts_with("refused"));
    assert_eq!(refused, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instrument_that_exists_as_something_else_by_either_door_refuses_points() {
    let (collector, host) = wasi_otel().await;
    let expected = "taken\n\
        1 refused: clash.a exists as monotonic u64-sum with unit \"\" and default bounds\n\
        1 refused: clash.a exists as monotonic u64-sum with unit \"\" and default bounds\n\
        1 refused: clash.a exists as monotonic u64-sum with unit \"\" and default bounds\n\
        taken\n\
        1 refused: clash.b exists as f64-histogram with unit \"\" and bounds [1.0, 10.0]\n\
        opened\n\
        1 refused: clash.d exists as counter-u64 with unit \"\" and default bounds\n\
        conflicting instrument: monotonic u64-sum with unit \"\" and default bounds\n";
    // The first one made it: later instances are told the same.
    for n in 1..=2 {
        let answer = host.get("/clash").send().await;
        assert_eq!(String::from_utf8_lossy(&answer.body), expected);
        point(&collector, "clash.a", f64::from(n)).await;
    }
    point(&collector, "clash.d", 2.0).await;
    demand_dropped(&collector, "point", 10.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_over_the_bound_are_in_the_overflow_and_instruments_over_it_refused() {
    let (collector, host) = wasi_otel_with(|host| host.guests(|limits| limits.series = 100)).await;
    ask(&host, "/series?count=1000", 1).await;
    let all = |points: &[CollectedPoint]| points.len() == 101;
    let points = collector.points("otel.series", all).await;
    let overflow = points
        .iter()
        .find(|point| point.attributes.contains_key("otel.metric.overflow"));
    assert_eq!(overflow.unwrap().value, 900.0);
    demand_dropped(&collector, "series", 900.0).await;
    let (collector, host) =
        wasi_otel_with(|host| host.guests(|limits| limits.instruments = 2)).await;
    let answer = host.get("/delta").send().await;
    let expected = "6 refused: otel.up_down: the host allows no more instruments\n";
    assert_eq!(String::from_utf8_lossy(&answer.body), expected);
    demand_dropped(&collector, "instrument", 6.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_far_too_many_points_is_taken_in_part_and_the_rest_counted() {
    let (collector, host) = wasi_otel().await;
    let answer = host.get("/same-series?count=100000").send().await;
    let expected = "90002 refused: one call takes 10000 points at most\n";
    assert_eq!(String::from_utf8_lossy(&answer.body), expected);
    point(&collector, "otel.same_series", 9_998.0).await;
    demand_dropped(&collector, "point", 90_002.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cumulative_point_that_cannot_be_remembered_is_refused() {
    let (collector, host) =
        wasi_otel_with(|host| host.guests(|limits| limits.telemetry_bytes = 300)).await;
    let answer = host.get("/cumulative").send().await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        text.contains("no room to remember a cumulative point by"),
        "{text}"
    );
    // A gauge needs no memory.
    point(&collector, "otel.gauge", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_wants_deltas_gets_each_increase_once() {
    for preference in ["delta", "lowmemory"] {
        let collector = Collector::start().await;
        let host = TestHost::serving(WASI_OTEL).exporting(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            (
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                preference,
            ),
        ]);
        let host = host.start().await;
        ask(&host, "/delta?gauge=7", 1).await;
        point(&collector, "otel.counter", 6.0).await;
        // What a failing collector did not take comes with the next ones.
        collector.set_mood(Mood::Failing);
        ask(&host, "/delta?gauge=7", 10).await;
        ask(&host, "/cumulative?gauge=8", 10).await;
        collector.set_mood(Mood::Well);
        host.stop().await;
        let all = points_of(&collector, "otel.counter");
        let is_delta = |point: &CollectedPoint| point.temporality == "delta";
        assert!(all.iter().all(is_delta), "{preference}: {all:#?}");
        let sum: f64 = all.iter().map(|point| point.value).sum();
        assert_eq!(sum, 21.0 * 6.0, "{preference}: {all:#?}");
        let histograms = points_of(&collector, "otel.exponential");
        let count: u64 = histograms.iter().map(|point| point.count).sum();
        assert_eq!(count, 21 * 8, "{preference}: {histograms:#?}");
        // A sum that may fall is told as a whole, and so is a gauge.
        let up_down = point(&collector, "otel.up_down", -84.0).await;
        assert_eq!(up_down.temporality, "cumulative", "{preference}");
        point(&collector, "otel.gauge", 8.0).await;
    }
}
