//! The metrics as Prometheus scrapes them.

use std::collections::HashSet;
use std::io::Read;

use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::{DEMO, FAULTS, SHOWCASE};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::program::Program;
use fanlight_tests::prometheus::{Families, parse};
use http::Method;

async fn scraped(host: &RunningHost) -> Families {
    let answer = host.ask_admin(Method::GET, "/metrics").send().await;
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    parse(std::str::from_utf8(&answer.body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn host_and_guest_are_read_by_the_right_names_types_and_units() {
    // Nothing is pushed, or the backend takes no metrics: they are read all the same.
    let for_traces = Collector::for_traces_alone().await;
    for vars in [
        [
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ],
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", for_traces.grpc()),
            ("OTEL_LOGS_EXPORTER", "none"),
        ],
    ] {
        let host = TestHost::serving(DEMO).exporting(&vars).start().await;
        for _ in 0..7 {
            assert_eq!(host.get("/health").send().await.status, 200);
        }
        for _ in 0..3 {
            assert_eq!(host.get("/nowhere").send().await.status, 404);
        }
        let families = scraped(&host).await;
        let duration = &families["http_server_request_duration_seconds"];
        assert_eq!(duration.kind, "histogram");
        assert_eq!(duration.help, "Duration of HTTP server requests");
        let count = "http_server_request_duration_seconds_count";
        let health = [
            ("http_route", "/health"),
            ("http_response_status_code", "200"),
        ];
        assert!((duration.sum(count, &health) - 7.0).abs() < 0.5);
        assert!((duration.sum(count, &[]) - 10.0).abs() < 0.5);
        let bounds = duration.of("http_server_request_duration_seconds_bucket", &health);
        assert_eq!(bounds.len(), 15);
        let labels: Vec<_> = bounds[0].labels.keys().map(String::as_str).collect();
        assert_eq!(
            labels,
            [
                "http_request_method",
                "http_response_status_code",
                "http_route",
                "le",
                "network_protocol_version",
                "url_scheme"
            ]
        );
        let active = &families["http_server_active_requests"];
        assert_eq!(active.kind, "gauge");
        assert!(active.sum("http_server_active_requests", &[]).abs() < 0.5);
        for size in ["request", "response"] {
            let name = format!("http_server_{size}_body_size_bytes");
            assert_eq!(families[&name].kind, "histogram");
        }
        // The guest's own, by the host's hand.
        let requests = &families["app_requests_total"];
        let of_health = requests.sum("app_requests_total", &[("endpoint", "/health")]);
        assert_eq!(requests.kind, "counter");
        assert!((of_health - 7.0).abs() < 0.5, "{requests:#?}");
        assert_eq!(
            families["app_request_duration_milliseconds"].kind,
            "histogram"
        );
        assert_eq!(families["fanlight_telemetry_dropped_total"].kind, "counter");
        let target = &families["target_info"].samples[0].labels;
        assert_eq!(target["service_name"], "under-test");
        let all = families.values().flat_map(|family| &family.samples);
        for sample in all {
            let scoped = sample
                .labels
                .keys()
                .any(|key| key.starts_with("otel_scope"));
            assert!(!scoped, "{sample:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scraping_again_counts_on_and_pushing_goes_on_beside_it() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting_to(&collector)
        .start()
        .await;
    let count = "http_server_request_duration_seconds_count";
    for round in 1..=3 {
        host.get("/health").send().await;
        let families = scraped(&host).await;
        let counted = families["http_server_request_duration_seconds"].sum(count, &[]);
        assert!((counted - f64::from(round)).abs() < 0.5, "{counted}");
    }
    collector
        .points("http.server.request.duration", |points| {
            points.iter().map(|point| point.count).sum::<u64>() == 3
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_series_leaves_a_text_that_can_be_read() {
    let host = TestHost::serving(FAULTS)
        .exporting(&[
            ("OTEL_METRICS_EXPORTER", "prometheus"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ])
        .guests(|limits| limits.series = 500)
        .start()
        .await;
    let answer = host.get("/flood/series?count=2000&bytes=100").send().await;
    assert_eq!(answer.status, 200);
    let families = scraped(&host).await;
    let flood = &families["flood_series_total"];
    assert_eq!(flood.samples.len(), 501);
    let over = flood.sum("flood_series_total", &[("otel_metric_overflow", "true")]);
    assert!((over - 1_500.0).abs() < 0.5, "{over}");
    let dropped = families["fanlight_telemetry_dropped_total"]
        .sum("fanlight_telemetry_dropped_total", &[("item", "series")]);
    assert!((dropped - 1_500.0).abs() < 0.5, "{dropped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_clash_leave_a_text_that_can_be_read() {
    let host = TestHost::serving(FAULTS)
        .exporting(&[
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_LOGS_EXPORTER", "none"),
        ])
        .start()
        .await;
    for _ in 0..2 {
        assert_eq!(host.get("/clash").send().await.status, 200);
        // The reader has found each sample's name in one family.
        let families = scraped(&host).await;
        let kinds = ["clash", "clash_count", "count_total"]
            .map(|name| families.get(name).map(|family| family.kind.as_str()));
        assert!(kinds[0].is_some() != kinds[1].is_some(), "{kinds:?}");
        assert!(kinds[2].is_some(), "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metric_that_is_left_out_is_logged_once_with_what_took_its_name() {
    const LEFT_OUT: &str = "left out of /metrics: another metric has";
    let faults = FAULTS.path();
    let mut program = Program::new([
        "serve",
        faults.to_str().unwrap(),
        "--listen=127.0.0.1:0",
        "--admin=127.0.0.1:0",
    ])
    .env("OTEL_SDK_DISABLED", "false")
    .env("OTEL_TRACES_EXPORTER", "none")
    .env("OTEL_METRICS_EXPORTER", "prometheus")
    .env("OTEL_LOGS_EXPORTER", "none")
    .serve()
    .await;
    let admin = program.admin.unwrap();
    for _ in 0..3 {
        assert_eq!(program.get("/clash").send().await.status, 200);
        assert_eq!(Ask::get(admin, "/metrics").send().await.status, 200);
    }
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
    let said = program.said();
    let lines: Vec<_> = said.lines().filter(|it| it.contains(LEFT_OUT)).collect();
    // Which of them came first is the collector's order: the histogram, or those
    // that have a name of its lines.
    assert!(!lines.is_empty(), "{said}");
    for line in &lines {
        for field in ["metric=\"", "scope=\"", "taken_by=\"", "taken_by_scope=\""] {
            assert!(line.contains(field), "no {field} in {line}");
        }
    }
    let fields = |line: &&str| line.split_once(LEFT_OUT).unwrap().1.to_owned();
    let different: HashSet<_> = lines.iter().map(fields).collect();
    assert_eq!(different.len(), lines.len(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_where_telemetry_is_disabled() {
    let host = TestHost::serving(DEMO).start().await;
    let answer = host.ask_admin(Method::GET, "/metrics").send().await;
    assert_eq!(answer.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_are_called_what_a_collector_calls_them() {
    let vars = [
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ];
    let host = TestHost::serving(SHOWCASE).exporting(&vars).start().await;
    assert_eq!(host.get("/metric-units").send().await.status, 200);
    let families = scraped(&host).await;
    for name in [
        "units_speed_km_per_hour",
        "units_rate_req_per_second",
        "units_distance_km_total",
        "units_time_seconds",
        "units_seconds_waited",
    ] {
        assert!(families.contains_key(name), "{name}: {families:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_openmetrics_gets_units_and_exemplars_and_gzip() {
    let collector = Collector::start().await;
    let vars = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())];
    let host = TestHost::serving(DEMO).exporting(&vars).start().await;
    let answer = host.get("/health").send().await;
    assert_eq!(answer.status, 200);
    let trace_id = trace_of(&answer).trace_id;
    // The request's metrics are recorded when its connection has the last byte.
    let text = eventually_async("an exemplar of the request", async || {
        let answer = host
            .ask_admin(Method::GET, "/metrics")
            .header(
                "accept",
                "application/openmetrics-text; version=1.0.0, text/plain;q=0.5",
            )
            .header("accept-encoding", "gzip")
            .send()
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        let kind = answer.header("content-type").unwrap().to_owned();
        assert!(
            kind.starts_with("application/openmetrics-text; version=1.0.0"),
            "{kind}"
        );
        let mut text = String::new();
        flate2::read::GzDecoder::new(&answer.body[..])
            .read_to_string(&mut text)
            .unwrap();
        text.contains(&format!("# {{trace_id=\"{trace_id}\""))
            .then_some(text)
    })
    .await;
    let has = |line: &str| text.lines().any(|it| it == line);
    assert!(has("# TYPE http_server_request_duration_seconds histogram"));
    assert!(has("# UNIT http_server_request_duration_seconds seconds"));
    // A counter's family is called without what its samples end in.
    assert!(has("# TYPE app_requests counter"), "{text}");
    assert!(text.contains("\napp_requests_total{"));
    assert!(text.ends_with("# EOF\n"));
}
