//! The variables whose effect is on the program's own outputs and ports.

use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually;
use fanlight_tests::fixture::SHOWCASE;
use fanlight_tests::program::{Program, ServingProgram};
use fanlight_tests::prometheus::parse;
use http::Method;
use serde_json::{Value, json};

use crate::environment::{PROTOCOLS, SIGNALS};

async fn program(vars: &[(&str, &str)]) -> ServingProgram {
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", SHOWCASE.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "20")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    for (name, value) in vars {
        program = program.env(name, value);
    }
    program.serve().await
}

/// The first item on standard output, be it a span, a log record or a metric, that
/// `is_it` says yes to.
async fn item(program: &ServingProgram, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually("an item on standard output", || {
        let written = program.written();
        let lines = written
            .split_inclusive('\n')
            .filter(|it| it.ends_with('\n'));
        let mut items = lines.flat_map(|line| items(&serde_json::from_str(line).unwrap()));
        items.find(|item| is_it(item))
    })
    .await
}

/// What a request of OTLP in JSON holds, which has a resource for all of it.
fn items(request: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    for (resources, scopes, items) in [
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
        ("resourceMetrics", "scopeMetrics", "metrics"),
    ] {
        let list = |value: &Value, key| value[key].as_array().cloned().unwrap_or_default();
        for resource in list(request, resources) {
            let attributes = list(&resource["resource"], "attributes");
            assert!(attributes.iter().any(|it| it["key"] == "service.name"));
            for scope in list(&resource, scopes) {
                found.extend(list(&scope, items));
            }
        }
    }
    assert!(!found.is_empty(), "{request}");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_signal_can_go_to_standard_output() {
    let program = program(&[
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_METRICS_EXPORTER", "console"),
        ("OTEL_LOGS_EXPORTER", "console"),
    ])
    .await;
    for (signal, _) in SIGNALS {
        let told = format!("{signal}: standard output");
        assert!(program.said().contains(&told), "{}", program.said());
    }
    assert_eq!(program.get("/metrics").send().await.status, 200);
    let answer = program.get("/logs").send().await;
    let trace = trace_of(&answer).trace_id;
    let span = item(&program, |item| {
        item["name"] == "logging" && item["traceId"] == trace.as_str()
    })
    .await;
    assert_eq!(span["kind"], 1);
    let text = json!({"stringValue": "an info 7"});
    let record = item(&program, |item| item["body"] == text).await;
    assert_eq!(record["traceId"], trace.as_str());
    assert_eq!(record["spanId"], span["spanId"]);
    assert_eq!(record["severityText"], "INFO");
    let list = [json!({"stringValue": "a"}), json!({"stringValue": "b"})];
    let attributes = record["attributes"].as_array().unwrap();
    assert_eq!(attributes.len(), 2, "{attributes:?}");
    for attribute in [
        json!({"key": "list", "value": {"arrayValue": {"values": list}}}),
        json!({"key": "number", "value": {"intValue": "7"}}),
    ] {
        assert!(attributes.contains(&attribute), "{attributes:?}");
    }
    let metric = item(&program, |item| item["name"] == "showcase.counter").await;
    assert_eq!(metric["sum"]["isMonotonic"], true);
    let point = &metric["sum"]["dataPoints"][0];
    assert_eq!(point["asInt"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_can_go_to_standard_output_and_to_a_collector() {
    let collector = Collector::start().await;
    let program = program(&[
        ("OTEL_TRACES_EXPORTER", "otlp,console"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
    ])
    .await;
    let told = format!(
        "traces: {} (OTLP, gRPC) and standard output",
        collector.grpc()
    );
    assert!(program.said().contains(&told), "{}", program.said());
    let answer = program.get("/nested").send().await;
    let trace = trace_of(&answer).trace_id;
    collector.trace(&trace, 5).await;
    item(&program, |item| item["traceId"] == trace.as_str()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_is_answered_where_its_variables_say() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let port = address.port().to_string();
    let program = program(&[
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_LOGS_EXPORTER", "none"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", &port),
    ])
    .await;
    eventually("the line that says where", || {
        let told = format!("metrics: http://{address}/metrics (Prometheus)");
        program.said().contains(&told).then_some(())
    })
    .await;
    assert!(
        !program.said().contains("metrics: off"),
        "{}",
        program.said()
    );
    assert_eq!(program.get("/metrics").send().await.status, 200);
    let answer = Ask::get(address, "/metrics").send().await;
    assert_eq!(answer.status, 200);
    let families = parse(std::str::from_utf8(&answer.body).unwrap());
    let counted = families["showcase_counter_total"].sum("showcase_counter_total", &[]);
    assert!((counted - 2.0).abs() < 0.5, "{counted}");
    // It is for reading metrics, and for nothing else.
    for (method, target, status) in [
        (Method::POST, "/metrics", 405),
        (Method::GET, "/component", 404),
    ] {
        let answer = Ask::get(address, target).method(method).send().await;
        assert_eq!(answer.status, status, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_for_prometheus_that_is_taken_is_a_failure_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, said) = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", SHOWCASE.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_METRICS_EXPORTER", "prometheus")
        .env("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
        .env("OTEL_EXPORTER_PROMETHEUS_PORT", &address.port().to_string())
        .output()
        .await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&address.to_string()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_level_that_is_asked_for() {
    let of_debug = "request refused";
    for (vars, told) in [
        (&[("OTEL_LOG_LEVEL", "DEBUG")][..], true),
        (&[("OTEL_LOG_LEVEL", "info")], false),
        (
            &[("OTEL_LOG_LEVEL", "debug"), ("FANLIGHT_LOG", "info")],
            false,
        ),
        (&[("OTEL_LOG_LEVEL", "chatty")], false),
    ] {
        let mut all = vec![("OTEL_SDK_DISABLED", "true")];
        all.extend(vars);
        let mut program = program(&all).await;
        let refused = Ask::get(program.address, "/").method(Method::CONNECT);
        // Whatever it is answered, the log is told at the level of debugging.
        let _ = refused.try_send().await;
        program.signal("TERM").await;
        assert_eq!(program.exit_code().await, Some(0));
        eventually("the last line", || {
            program.said().contains("drained").then_some(())
        })
        .await;
        let said = program.said();
        assert_eq!(said.contains(of_debug), told, "{vars:?}: {said}");
        let warned = said.contains("OTEL_LOG_LEVEL=chatty: expected none, error");
        assert_eq!(warned, vars[0].1 == "chatty", "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supported_is_warned_about() {
    let vars = [
        ("OTEL_CONFIG_FILE", "/etc/otel.yaml"),
        ("OTEL_EXPERIMENTAL_CONFIG_FILE", "/etc/otel.yaml"),
        ("OTEL_ENTITIES", "service{service.name=shop}"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "base2_exponential_bucket_histogram",
        ),
        ("OTEL_EXPORTER_ZIPKIN_ENDPOINT", "http://127.0.0.1:9411"),
        ("OTEL_EXPORTER_ZIPKIN_TIMEOUT", "1000"),
        ("OTEL_EXPORTER_ZIPKIN_PROTOCOL", "http/json"),
    ];
    let mut all = vec![("OTEL_SDK_DISABLED", "true")];
    all.extend(vars);
    let said = program(&all).await.said();
    for (name, value) in vars {
        let told = format!("{name}={value}: not supported");
        assert_eq!(said.matches(&told).count(), 1, "{told} in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_none_is_told_in_one_line_for_all_signals() {
    for protocol in PROTOCOLS {
        for address in ["ftp://127.0.0.1:4317", "http://127.0.0.1:none", "http://"] {
            let program = program(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", address),
            ])
            .await;
            let said = program.said();
            let told = format!("OTEL_EXPORTER_OTLP_ENDPOINT={address}: ");
            assert_eq!(said.matches(&told).count(), 1, "{protocol}: {said}");
            assert!(said.contains("expected http://HOST:PORT"), "{said}");
            assert!(said.contains(" is used"), "{said}");
            assert!(said.contains("traces: http://localhost:431"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheme_grpc_is_taken_as_http_with_one_warning() {
    let collector = Collector::start().await;
    let address = collector.grpc().replace("http://", "grpc://");
    let program = program(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]).await;
    assert_eq!(program.get("/logs").send().await.status, 200);
    for (signal, _) in SIGNALS {
        collector.request(signal).await;
    }
    let said = program.said();
    let told = format!(
        "{address}: expected http:// or https://; taken as {}",
        collector.grpc()
    );
    assert_eq!(said.matches(&told).count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_a_scheme_and_a_collector_without_tls_are_told_in_plain_words() {
    let collector = Collector::start().await;
    let address = collector.grpc().strip_prefix("http://").unwrap();
    let program = program(&[("OTEL_EXPORTER_OTLP_ENDPOINT", address)]).await;
    let said = program.said();
    let told = format!("no scheme means TLS; write http://{address}");
    assert_eq!(said.matches(&told).count(), 1, "{said}");
    eventually("a word on the trouble", || {
        let said = program.said();
        let mut lines = said.lines();
        let line = lines.find(|line| line.contains("export failed"))?;
        assert!(line.contains("it does not speak TLS"), "{line}");
        Some(())
    })
    .await;
}
