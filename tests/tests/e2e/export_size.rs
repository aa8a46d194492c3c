//! Guests that have much to tell: a collector that takes 4 MiB a request gets
//! all of it, whoever else is in the same batch, and the host stays small.

use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedPoint;
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use serde_json::json;

use crate::environment::PROTOCOLS;

const MIB: u64 = 1024 * 1024;

/// Items of a signal that the points say are lost.
fn lost(points: &[CollectedPoint], signal: &str) -> f64 {
    let of_signal = points
        .iter()
        .filter(|point| point.attributes["signal"] == json!(signal));
    of_signal.map(|point| point.value).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_series_of_a_guest_all_arrive_and_so_do_the_hosts_own() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = TestHost::serving(FAULTS)
            .exporting(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "20000"),
                ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ])
            .start()
            .await;
        // 9 MiB, which took 9 MiB in one request.
        let answer = host.get("/flood/series?count=600&bytes=16000").send().await;
        assert_eq!(&answer.body[..], b"counted\n");
        let all = |points: &[CollectedPoint]| points.len() == 600;
        collector.points("flood.series", all).await;
        let of_the_request = |points: &[CollectedPoint]| points[0].value > 0.0;
        let duration = "http.server.request.duration";
        collector.points(duration, of_the_request).await;
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_of_a_guest_take_no_other_spans_with_them() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = TestHost::serving(FAULTS)
            .exporting(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "20000"),
                // All of them wait in the queue together.
                ("OTEL_BSP_SCHEDULE_DELAY", "2000"),
            ])
            .start()
            .await;
        let flood = "/flood/lists?count=100&elements=2048";
        let mut servers = Vec::new();
        // 8 MiB on the wire, and five in memory.
        for _ in 0..3 {
            let answer = host.get(flood).send().await;
            assert_eq!(&answer.body[..], b"told\n");
            servers.push(trace_of(&answer).span_id);
        }
        eventually("all spans", || {
            let spans = collector.spans();
            let lists = spans.iter().filter(|span| span.name == "with_a_list");
            let arrived = |id: &String| spans.iter().any(|span| span.span_id == *id);
            (lists.count() == 300 && servers.iter().all(arrived)).then_some(())
        })
        .await;
        let told = collector.points("fanlight.telemetry.lost", |_| true).await;
        assert!(lost(&told, "traces") < 0.5, "{told:#?}");
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_of_a_guest_take_little_memory_to_export() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
            .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
            .env("FANLIGHT_MAX_INSTANCES", "16")
            .env("OTEL_SDK_DISABLED", "")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol))
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "20000")
            .env("OTEL_BSP_SCHEDULE_DELAY", "500")
            .serve()
            .await;
        assert_eq!(program.get("/counter").send().await.status, 200);
        let before = program.peak_rss_bytes();
        for _ in 0..3 {
            let answer = program.get("/flood/lists?count=128&elements=2048").send();
            assert_eq!(&answer.await.body[..], b"told\n");
        }
        // Of each request a room's worth of lists is kept, and the spans of all.
        eventually("the server spans", || {
            let spans = collector.spans();
            let floods = spans.iter().filter(|span| span.name == "with_a_list");
            let servers = spans.iter().filter(|span| span.scope.0 == "fanlight");
            (servers.count() == 4 && floods.count() >= 3 * 100).then_some(())
        })
        .await;
        // In JSON, as a tree of values, a batch would take some 60 MiB.
        let grown = program.peak_rss_bytes().saturating_sub(before) / MIB;
        assert!(grown < 40, "it grew by {grown} MiB");
    }
}
