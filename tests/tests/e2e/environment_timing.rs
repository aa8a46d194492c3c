//! The variables that say when telemetry is sent, how much at once, and how
//! long that may take. Nothing here looks at a clock: what is to be late never
//! comes, and what is to be soon would otherwise come after the test's patience.

use fanlight_tests::collected::CollectedPoint;
use fanlight_tests::collector::{Collector, Mood};
use fanlight_tests::eventually_async;
use fanlight_tests::host::RunningHost;
use fanlight_tests::prometheus::parse;
use http::Method;

use crate::environment::{PROTOCOLS, SIGNALS, host, speak};

/// Longer than any test.
const AN_HOUR: &str = "3600000";

/// Waits until the host says that it lost something of a signal, for a reason.
async fn demand_lost(host: &RunningHost, signal: &str, reason: &str) {
    let name = "fanlight_telemetry_lost_total";
    eventually_async(&format!("{signal} lost by {reason}"), async || {
        let answer = host.ask_admin(Method::GET, "/metrics").send().await;
        let families = parse(std::str::from_utf8(&answer.body).unwrap());
        let lost = families[name].sum(name, &[("signal", signal), ("reason", reason)]);
        (lost > 0.5).then_some(())
    })
    .await;
}

/// Waits until metrics have been exported often enough that whatever has a
/// delay of some seconds would be there.
async fn a_while(collector: &Collector) {
    let is_it = |point: &&CollectedPoint| point.name == "showcase.counter";
    fanlight_tests::eventually("some exports of metrics", || {
        let points = collector.all_points();
        (points.iter().filter(is_it).count() >= 25).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_log_records_wait_for_their_delays() {
    for (late, soon) in [("BSP", "BLRP"), ("BLRP", "BSP")] {
        let collector = Collector::start().await;
        let (late_delay, soon_delay) = (
            format!("OTEL_{late}_SCHEDULE_DELAY"),
            format!("OTEL_{soon}_SCHEDULE_DELAY"),
        );
        let host = host(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            (&late_delay, AN_HOUR),
            (&soon_delay, "20"),
        ])
        .await;
        let trace = speak(&host).await;
        a_while(&collector).await;
        let counts = (collector.spans().len(), collector.log_count());
        // Two requests with one span each, one of them with a span of its own.
        match late {
            "BSP" => assert_eq!(counts, (0, 7)),
            _ => assert_eq!(counts, (3, 0)),
        }
        host.stop().await;
        collector.trace(&trace, 2).await;
        collector.logs(&trace, 7).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_batch_goes_before_its_delay() {
    for (processor, signal) in [("BSP", "traces"), ("BLRP", "logs")] {
        let collector = Collector::start().await;
        let size = format!("OTEL_{processor}_MAX_EXPORT_BATCH_SIZE");
        let host = host(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            ("OTEL_BSP_SCHEDULE_DELAY", AN_HOUR),
            ("OTEL_BLRP_SCHEDULE_DELAY", AN_HOUR),
            (&size, "3"),
        ])
        .await;
        for _ in 0..3 {
            speak(&host).await;
        }
        let full = collector.request(signal).await;
        // Those of two libraries may not fit into one request.
        assert!((1..=3).contains(&full.items), "{}", full.items);
        host.stop().await;
        let received = collector.received();
        let mut of_signal = received.iter().filter(|request| request.signal == signal);
        assert!(of_signal.all(|request| request.items <= 3), "{received:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_holds_so_many_items_and_loses_the_rest() {
    for (processor, signal, name) in [("BSP", "traces", "TRACES"), ("BLRP", "logs", "LOGS")] {
        let collector = Collector::start().await;
        collector.set_mood(Mood::Hanging);
        let size = format!("OTEL_{processor}_MAX_QUEUE_SIZE");
        let endpoint = format!("OTEL_EXPORTER_OTLP_{name}_ENDPOINT");
        let timeout = format!("OTEL_EXPORTER_OTLP_{name}_TIMEOUT");
        let host = host(&[
            (
                "OTEL_TRACES_EXPORTER",
                if name == "TRACES" { "otlp" } else { "none" },
            ),
            (
                "OTEL_LOGS_EXPORTER",
                if name == "LOGS" { "otlp" } else { "none" },
            ),
            ("OTEL_METRICS_EXPORTER", "none"),
            (&endpoint, collector.grpc()),
            (&timeout, AN_HOUR),
            (&size, "2"),
        ])
        .await;
        // Two are under way for ever or wait for that.
        for _ in 0..5 {
            speak(&host).await;
        }
        demand_lost(&host, signal, "queue_full").await;
        let request = collector.request(signal).await;
        assert!(request.items <= 2, "a batch is no larger than the queue");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_takes_too_long_is_given_up() {
    let of_signals =
        SIGNALS.map(|(signal, name)| (signal, format!("OTEL_EXPORTER_OTLP_{name}_TIMEOUT")));
    let of_processors = [
        ("traces", "OTEL_BSP_EXPORT_TIMEOUT".to_owned()),
        ("logs", "OTEL_BLRP_EXPORT_TIMEOUT".to_owned()),
        ("metrics", "OTEL_METRIC_EXPORT_TIMEOUT".to_owned()),
    ];
    let common = SIGNALS.map(|(signal, _)| (signal, "OTEL_EXPORTER_OTLP_TIMEOUT".to_owned()));
    for (signal, name) in of_signals.into_iter().chain(of_processors).chain(common) {
        for protocol in PROTOCOLS {
            let collector = Collector::start().await;
            collector.set_mood(Mood::Hanging);
            // Each of the others would outlast the test.
            let mut vars = vec![
                ("OTEL_EXPORTER_OTLP_TIMEOUT", AN_HOUR),
                ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
                ("OTEL_BLRP_EXPORT_TIMEOUT", "0"),
                ("OTEL_METRIC_EXPORT_TIMEOUT", "0"),
                // What is cumulative is not lost with one export.
                ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
            ];
            vars.push((&name, "100"));
            let host = host(&vars).await;
            speak(&host).await;
            demand_lost(&host, signal, "unconfirmed").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_sent_at_their_interval() {
    // The default of a minute is longer than this waits.
    let collector = Collector::start().await;
    let vars = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "50"),
    ];
    let quick = host(&vars).await;
    speak(&quick).await;
    a_while(&collector).await;
    quick.stop().await;

    let collector = Collector::start().await;
    let vars = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
        ("OTEL_METRIC_EXPORT_INTERVAL", AN_HOUR),
    ];
    let slow = host(&vars).await;
    let trace = speak(&slow).await;
    collector.trace(&trace, 2).await;
    assert_eq!(collector.point_count(), 0);
    slow.stop().await;
    assert!(collector.point_count() > 0, "the last ones come at the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_told_since_the_beginning_or_since_the_last_time() {
    let sync = "showcase.counter";
    let observed = "fanlight.telemetry.exported";
    let up_down = "showcase.up_down_counter";
    for (preference, wanted) in [
        ("cumulative", ["cumulative"; 3]),
        ("delta", ["delta", "delta", "cumulative"]),
        ("LowMemory", ["delta", "cumulative", "cumulative"]),
        ("sideways", ["cumulative"; 3]),
    ] {
        let collector = Collector::start().await;
        let host = host(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            (
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                preference,
            ),
        ])
        .await;
        let mut sum = 0.0;
        for round in 1..=3 {
            speak(&host).await;
            let of_counter = || {
                let points = collector.all_points().into_iter();
                let values = points.filter(|it| it.name == sync).map(|it| it.value);
                values.collect::<Vec<_>>()
            };
            // Deltas add up to what was counted; cumulative sums reach it.
            sum = fanlight_tests::eventually("what was counted", || {
                let values = of_counter();
                let sum = match wanted[0] {
                    "delta" => values.iter().sum(),
                    _ => values.last().copied().unwrap_or_default(),
                };
                (sum >= 2.0 * f64::from(round)).then_some(sum)
            })
            .await;
        }
        assert!((sum - 6.0).abs() < 0.5, "{preference}: {sum}");
        for (name, wanted) in [sync, observed, up_down].into_iter().zip(wanted) {
            let points = collector.points(name, |_| true).await;
            assert_eq!(points[0].temporality, wanted, "{preference}: {name}");
        }
    }
}
