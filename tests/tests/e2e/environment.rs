//! The variables that say where telemetry goes: each is set, and its effect is
//! looked for at a collector. The table in `docs/telemetry.md` names these tests.

use fanlight_tests::client::trace_of;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::SHOWCASE;
use fanlight_tests::host::{RunningHost, TestHost};

/// The signals as headers of requests and as parts of variables.
pub(crate) const SIGNALS: [(&str, &str); 3] = [
    ("traces", "TRACES"),
    ("metrics", "METRICS"),
    ("logs", "LOGS"),
];
pub(crate) const PROTOCOLS: [&str; 3] = ["grpc", "http/protobuf", "http/json"];

/// A host with these variables and short delays.
pub(crate) async fn host(vars: &[(&str, &str)]) -> RunningHost {
    TestHost::serving(SHOWCASE).exporting(vars).start().await
}

/// Has the guest say something by each signal; gives back its trace.
pub(crate) async fn speak(host: &RunningHost) -> String {
    assert_eq!(host.get("/metrics").send().await.status, 200);
    let answer = host.get("/logs").send().await;
    assert_eq!(answer.status, 200);
    trace_of(&answer).trace_id
}

/// Demands all that was said, by all three signals.
async fn demand_all(collector: &Collector, trace_id: &str) {
    collector.trace(trace_id, 2).await;
    collector.logs(trace_id, 7).await;
    collector.points("showcase.counter", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_protocol_carries_all_three_signals() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = host(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
        ])
        .await;
        let trace = speak(&host).await;
        demand_all(&collector, &trace).await;
        for (signal, _) in SIGNALS {
            let request = collector.request(signal).await;
            assert_eq!(request.protocol, protocol);
            let agent = request.header("user-agent");
            assert!(agent.starts_with("fanlight-otlp-exporter-rust/"), "{agent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_signal_has_a_protocol_and_an_address_of_its_own() {
    // What stands for all is wrong for each of them.
    let nowhere = "http://127.0.0.1:9";
    let collectors = [
        Collector::start().await,
        Collector::start().await,
        Collector::start().await,
    ];
    for turn in 0..3 {
        let mut vars = vec![
            ("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(), "grpc".to_owned()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), nowhere.to_owned()),
        ];
        for (at, (signal, name)) in SIGNALS.into_iter().enumerate() {
            let protocol = PROTOCOLS[(at + turn) % 3];
            let endpoint = match protocol {
                "grpc" => collectors[at].grpc().to_owned(),
                _ => format!("{}/v1/{signal}", collectors[at].http()),
            };
            vars.push((
                format!("OTEL_EXPORTER_OTLP_{name}_PROTOCOL"),
                protocol.into(),
            ));
            vars.push((format!("OTEL_EXPORTER_OTLP_{name}_ENDPOINT"), endpoint));
        }
        let vars: Vec<_> = vars
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let host = host(&vars).await;
        let trace = speak(&host).await;
        let [traces, metrics, logs] = &collectors;
        traces.trace(&trace, 2).await;
        metrics.points("showcase.counter", |_| true).await;
        logs.logs(&trace, 7).await;
        host.stop().await;
        for (at, collector) in collectors.iter().enumerate() {
            let protocol = PROTOCOLS[(at + turn) % 3];
            let last = collector.received().pop().unwrap();
            assert_eq!((last.signal, last.protocol), (SIGNALS[at].0, protocol));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_go_with_each_request_and_a_signals_own_stand_over_the_common_ones() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = host(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-of=all, x-key=a%2Cb%20c"),
        ])
        .await;
        speak(&host).await;
        for (signal, _) in SIGNALS {
            let request = collector.request(signal).await;
            assert_eq!(request.header("x-of"), "all", "{protocol} {signal}");
            assert_eq!(request.header("x-key"), "a,b c", "{protocol} {signal}");
        }
    }
    let collector = Collector::start().await;
    let host = host(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-of=all,x-key=secret"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-of=traces"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-of=metrics"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-of=logs"),
    ])
    .await;
    speak(&host).await;
    for (signal, _) in SIGNALS {
        let request = collector.request(signal).await;
        assert_eq!(request.header("x-of"), signal);
        assert_eq!(request.header("x-key"), "", "they are replaced, not joined");
    }
}

/// The header that says how a request is compressed.
fn encoding_header(protocol: &str) -> &'static str {
    match protocol {
        "grpc" => "grpc-encoding",
        _ => "content-encoding",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_compressed_for_all_signals_or_for_one() {
    for protocol in PROTOCOLS {
        let header = encoding_header(protocol);
        let collector = Collector::start().await;
        let common = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ];
        let all = host(&common).await;
        let trace = speak(&all).await;
        demand_all(&collector, &trace).await;
        for (signal, _) in SIGNALS {
            let request = collector.request(signal).await;
            assert_eq!(request.header(header), "gzip", "{protocol} {signal}");
        }
        for (only, name) in SIGNALS {
            let collector = Collector::start().await;
            let own = format!("OTEL_EXPORTER_OTLP_{name}_COMPRESSION");
            let one = host(&[
                common[0],
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
                (&own, "GZIP"),
            ])
            .await;
            speak(&one).await;
            for (signal, _) in SIGNALS {
                let wanted = if signal == only { "gzip" } else { "" };
                let request = collector.request(signal).await;
                assert_eq!(request.header(header), wanted, "{protocol} {only} {signal}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_without_an_exporter_goes_nowhere_and_the_others_go() {
    for (none, name) in SIGNALS {
        let collector = Collector::start().await;
        let variable = format!("OTEL_{name}_EXPORTER");
        let vars = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            (&variable, "None"),
        ];
        let host = host(&vars).await;
        speak(&host).await;
        for (signal, _) in SIGNALS.iter().filter(|(signal, _)| *signal != none) {
            collector.request(signal).await;
        }
        host.stop().await;
        let received = collector.received();
        assert!(
            received.iter().all(|request| request.signal != none),
            "{none}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_is_not_known_is_as_if_none_had_been_named() {
    let collector = Collector::start().await;
    let host = host(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_METRICS_EXPORTER", "statsd"),
        ("OTEL_LOGS_EXPORTER", "syslog"),
    ])
    .await;
    let trace = speak(&host).await;
    demand_all(&collector, &trace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_a_scheme_is_insecure_where_that_is_said() {
    let collector = Collector::start().await;
    let address = collector.grpc().strip_prefix("http://").unwrap();
    let common = ("OTEL_EXPORTER_OTLP_ENDPOINT", address);
    let all = host(&[common, ("OTEL_EXPORTER_OTLP_INSECURE", "True")]).await;
    let trace = speak(&all).await;
    demand_all(&collector, &trace).await;
    for (only, name) in SIGNALS {
        let collector = Collector::start().await;
        let address = collector.grpc().strip_prefix("http://").unwrap();
        let own = format!("OTEL_EXPORTER_OTLP_{name}_INSECURE");
        let one = host(&[("OTEL_EXPORTER_OTLP_ENDPOINT", address), (&own, "true")]).await;
        speak(&one).await;
        collector.request(only).await;
        one.stop().await;
        // The others tried a handshake, which this collector does not take.
        let received = collector.received();
        assert!(
            received.iter().all(|request| request.signal == only),
            "{only}"
        );
    }
}
