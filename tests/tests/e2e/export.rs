//! The ways of telemetry out of the process, and backends that make trouble. Each
//! test runs over the three protocols of OTLP, which behave alike.

use fanlight_tests::client::trace_of;
use fanlight_tests::collector::{Collector, Mood};
use fanlight_tests::fixture::{DEMO, FAULTS};
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use serde_json::json;
use tokio::task::JoinSet;

use crate::environment::PROTOCOLS;

/// A program that serves the demo and exports over `protocol` to `endpoint`.
fn program(protocol: &str, endpoint: &str) -> Program {
    Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_protocol_carries_what_a_guest_says_and_prints() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = TestHost::serving(DEMO)
            .exporting(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
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
            "{protocol}: {logs:#?}"
        );
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_not_finite_arrive_as_what_they_are() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = TestHost::serving(FAULTS)
            .exporting(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
            ])
            .start()
            .await;
        let answer = host.get("/flood/not-finite").send().await;
        assert_eq!(&answer.body[..], b"told\n");
        let span = collector.span(|span| span.name == "not_finite").await;
        let log = collector.log(|log| log.body == "not finite").await;
        for attributes in [&span.attributes, &log.attributes] {
            assert_eq!(attributes["nan"], "NaN", "{protocol}");
            assert_eq!(attributes["infinite"], "Infinity", "{protocol}");
            assert_eq!(attributes["negative"], "-Infinity", "{protocol}");
            assert_eq!(attributes["list"], json!([0.5, "Infinity"]), "{protocol}");
        }
        // The collector reads those of points as the largest finite number in JSON,
        // whose text is looked at instead.
        let points = collector.points("not_finite.sum", |_| true).await;
        assert!(points[0].value >= f64::MAX, "{protocol}: {points:?}");
        let points = collector.points("not_finite.distribution", |_| true).await;
        assert!(points[0].value >= f64::MAX, "{protocol}: {points:?}");
        if protocol == "http/json" {
            let received = collector.received();
            let bodies = received.iter().map(|it| it.json.to_string());
            let bodies = bodies.collect::<String>();
            for wanted in ["\"asDouble\":\"Infinity\"", "\"sum\":\"Infinity\""] {
                assert!(bodies.contains(wanted), "{wanted}");
            }
        }
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_backend_that_refuses_is_in_the_log_in_one_line() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.set_mood(Mood::Refusing);
        let program = program(protocol, collector.endpoint(protocol))
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .serve()
            .await;
        assert_eq!(program.get("/health").send().await.status, 200);
        fanlight_tests::eventually("the reason", || {
            let said = program.said();
            let mut lines = said.lines();
            let line = lines.find(|it| it.contains("export failed") && it.contains("traces"))?;
            assert!(line.contains(r"span 7 is\ntoo old"), "{protocol}: {line}");
            assert!(!line.contains('\u{1b}'), "{protocol}: {line}");
            assert!(line.contains("lost=1"), "{protocol}: {line}");
            Some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_a_backend_that_leaves_something_out_is_in_the_log() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.set_mood(Mood::LeavingOut(1));
        let program = program(protocol, collector.endpoint(protocol))
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .serve()
            .await;
        assert_eq!(program.get("/health").send().await.status, 200);
        fanlight_tests::eventually("the reason", || {
            let said = program.said();
            let mut lines = said.lines().filter(|line| line.contains("left out a part"));
            let line = lines.find(|line| line.contains("signal=\"traces\""))?;
            assert!(line.contains(Collector::REASON), "{protocol}: {line}");
            assert!(line.contains("rejected=1"), "{protocol}: {line}");
            Some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_for_traces_alone_gets_traces_and_is_asked_once_for_the_rest() {
    for protocol in PROTOCOLS {
        let collector = Collector::for_traces_alone().await;
        let program = program(protocol, collector.endpoint(protocol))
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
        // Over gRPC the collector does not see what it has no service for.
        let refused = if protocol == "grpc" { 0 } else { 2 };
        assert_eq!(collector.refused(), refused, "each was asked for once");
        assert!(
            !program.said().contains("export failed"),
            "{protocol}: {}",
            program.said()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_down_fails_no_request_and_is_told_about_once() {
    for protocol in PROTOCOLS {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        let program = program(protocol, &endpoint)
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
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_that_nobody_reads_holds_up_no_collector_and_is_told() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let mut program = program(protocol, collector.endpoint(protocol))
            .unread()
            .env("OTEL_TRACES_EXPORTER", "otlp,console")
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .serve()
            .await;
        // A pipe holds 64 KiB; each span takes over 700 bytes.
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
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_gets_nothing() {
    for protocol in PROTOCOLS {
        let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", proxy.local_addr().unwrap());
        let collector = Collector::start().await;
        let program = program(protocol, collector.endpoint(protocol))
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
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_served_is_exported_at_the_end() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = TestHost::serving(DEMO)
            .exporting(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
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
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_exported_where_telemetry_is_disabled() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let host = TestHost::serving(DEMO)
            .exporting(&[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint(protocol)),
                ("OTEL_SDK_DISABLED", "true"),
            ])
            .start()
            .await;
        assert_eq!(host.get("/api/users").send().await.status, 200);
        host.stop().await;
        assert_eq!((collector.spans().len(), collector.point_count()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_never_answers_is_given_up_and_holds_up_neither_requests_nor_the_end() {
    // It accepts, and that is all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    for protocol in PROTOCOLS {
        let mut program = program(protocol, &endpoint)
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
