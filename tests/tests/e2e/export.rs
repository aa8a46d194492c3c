//! The ways of telemetry out of the process, and backends that make trouble.

use fanlight_tests::client::trace_of;
use fanlight_tests::collector::{Collector, Mood};
use fanlight_tests::fixture::DEMO;
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn http_with_protobuf_carries_all_three_signals() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting(&[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http()),
        ])
        .start()
        .await;
    let answer = host.get("/api/users").send().await;
    collector.trace(&trace_of(&answer).trace_id, 2).await;
    collector.points("app.requests.total", |_| true).await;
    let panicked = host.get("/api/panic").send().await;
    let trace = trace_of(&panicked).trace_id;
    let logs = collector.logs(&trace, 3).await;
    assert!(
        logs[1].body.as_str().unwrap().contains("Simulated panic"),
        "{logs:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_for_traces_alone_gets_traces_and_is_asked_once_for_the_rest() {
    let collector = Collector::for_traces_alone().await;
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "50")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
        .serve()
        .await;
    for _ in 0..10 {
        let answer = program.get("/api/panic").send().await;
        collector.trace(&trace_of(&answer).trace_id, 2).await;
    }
    fanlight_tests::eventually("a word on each signal", || {
        (program.said().matches("does not take this signal").count() == 2).then_some(())
    })
    .await;
    assert_eq!(collector.refused(), 2, "each signal was asked for once");
    assert!(
        !program.said().contains("export failed"),
        "{}",
        program.said()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_too_a_backend_for_traces_alone_is_told_about_once() {
    let collector = Collector::for_traces_alone().await;
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "50")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
        .serve()
        .await;
    for _ in 0..10 {
        let answer = program.get("/api/panic").send().await;
        collector.trace(&trace_of(&answer).trace_id, 2).await;
    }
    fanlight_tests::eventually("a word on each signal", || {
        (program.said().matches("does not take this signal").count() == 2).then_some(())
    })
    .await;
    assert!(
        !program.said().contains("export failed"),
        "{}",
        program.said()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_down_fails_no_request_and_is_told_about_once() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .serve()
        .await;
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        requests.spawn(program.get("/health").send());
    }
    assert!(
        requests
            .join_all()
            .await
            .iter()
            .all(|answer| answer.status == 200)
    );
    fanlight_tests::eventually("a word on the trouble", || {
        program.said().contains("signal=\"traces\"").then_some(())
    })
    .await;
    for _ in 0..50 {
        assert_eq!(program.get("/health").send().await.status, 200);
    }
    let traces = |said: &str| said.matches("signal=\"traces\"").count();
    assert_eq!(traces(&program.said()), 1, "{}", program.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_that_nobody_reads_holds_up_no_collector_and_is_told() {
    let collector = Collector::start().await;
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .unread()
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_TRACES_EXPORTER", "otlp,console")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .serve()
        .await;
    // A pipe holds 64 KiB; each span is a line of some 700 bytes.
    for _ in 0..300 {
        assert_eq!(program.get("/health").send().await.status, 200);
    }
    fanlight_tests::eventually("all spans", || {
        (collector.span_count() >= 300).then_some(())
    })
    .await;
    fanlight_tests::eventually("a word on the trouble", || {
        let said = program.said();
        let line = said.lines().find(|line| line.contains("export failed"))?;
        assert!(line.contains("endpoint=\"standard output\""), "{line}");
        Some(())
    })
    .await;
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_gets_nothing() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let collector = Collector::start().await;
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http())
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .env("HTTP_PROXY", &address)
        .env("http_proxy", &address)
        .env("NO_PROXY", "")
        .env("no_proxy", "")
        .serve()
        .await;
    let answer = program.get("/health").send().await;
    collector.trace(&trace_of(&answer).trace_id, 1).await;
    proxy.set_nonblocking(true).unwrap();
    assert!(proxy.accept().is_err(), "it was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_at_the_end_is_told_by_number() {
    let collector = Collector::start().await;
    collector.set_mood(Mood::Hanging);
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
        .env("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3600000")
        .env("OTEL_BSP_SCHEDULE_DELAY", "20")
        .serve()
        .await;
    for _ in 0..3 {
        assert_eq!(program.get("/health").send().await.status, 200);
    }
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
    fanlight_tests::eventually("a word on what was left", || {
        program.said().contains("spans=3").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_served_is_exported_at_the_end() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "3600000"),
        ])
        .start()
        .await;
    let answer = host.get("/health").send().await;
    assert_eq!(collector.spans().len(), 0);
    host.stop().await;
    assert_eq!(collector.spans().len(), 1);
    assert_eq!(collector.spans()[0].trace_id, trace_of(&answer).trace_id);
    assert!(collector.point_count() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_exported_where_telemetry_is_disabled() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            ("OTEL_SDK_DISABLED", "true"),
        ])
        .start()
        .await;
    assert_eq!(host.get("/api/users").send().await.status, 200);
    host.stop().await;
    assert_eq!((collector.spans().len(), collector.point_count()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_never_answers_is_given_up_and_holds_up_neither_requests_nor_the_end() {
    // It accepts, and that is all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    for protocol in ["grpc", "http/protobuf"] {
        let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
            .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
            .env("FANLIGHT_MAX_INSTANCES", "64")
            .env("OTEL_SDK_DISABLED", "")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "200")
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .serve()
            .await;
        for _ in 0..20 {
            assert_eq!(program.get("/health").send().await.status, 200);
        }
        fanlight_tests::eventually("a word on the trouble", || {
            program.said().contains("export failed").then_some(())
        })
        .await;
        program.signal("TERM").await;
        assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
    }
}
