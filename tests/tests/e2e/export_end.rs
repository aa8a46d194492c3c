//! The last export, with collectors that do not answer: it ends in time, and one line
//! says what became of everything.

use std::time::{Duration, Instant};

use fanlight_tests::collector::{Collector, Mood};
use fanlight_tests::fixture::DEMO;
use fanlight_tests::program::{Program, ServingProgram};

use crate::environment::PROTOCOLS;

/// The requests that are served before the end, each with one span.
const REQUESTS: usize = 5;

/// A program whose signals wait for the end.
fn program(protocol: &str, endpoint: &str, timeout: &str) -> Program {
    Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", timeout)
        .env("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3600000")
        .env("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "3600000")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
}

/// Serves requests, ends the program, and gives back what it said from then on.
async fn ended(mut program: ServingProgram, within: Duration) -> String {
    for _ in 0..REQUESTS {
        assert_eq!(program.get("/health").send().await.status, 200);
    }
    let before = program.said().len();
    let begun = Instant::now();
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
    assert!(begun.elapsed() < within, "{:?}", begun.elapsed());
    program.said().split_off(before)
}

/// The one line about the end; there is no other about an export.
fn account(said: &str) -> &str {
    let lines: Vec<_> = said
        .lines()
        .filter(|line| line.contains("WARN") || line.contains("export"))
        .collect();
    let [line] = &*lines else {
        unreachable!("not one line: {said}");
    };
    assert!(line.contains("not all telemetry was confirmed"), "{line}");
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_at_the_end_and_not_answered_is_told_as_unconfirmed() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.set_mood(Mood::Hanging);
        let program = program(protocol, collector.endpoint(protocol), "2000")
            .serve()
            .await;
        let said = ended(program, fanlight_tests::PATIENCE).await;
        let line = account(&said);
        let traces = format!("traces: 0 confirmed, 0 lost, {REQUESTS} unconfirmed");
        assert!(line.contains(&traces), "{protocol}: {line}");
        assert!(line.contains("metrics: 0 confirmed, 0 lost, "), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backend_refuses_at_the_end_is_told_as_lost_with_its_reason() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        collector.set_mood(Mood::Refusing);
        let program = program(protocol, collector.endpoint(protocol), "20000")
            .serve()
            .await;
        let said = ended(program, fanlight_tests::PATIENCE).await;
        let line = account(&said);
        let traces = format!("traces: 0 confirmed, {REQUESTS} lost, 0 unconfirmed (");
        assert!(line.contains(&traces), "{protocol}: {line}");
        assert!(line.contains(r"span 7 is\ntoo old"), "{protocol}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_confirmed_is_without_a_word_and_metrics_go_once() {
    for protocol in PROTOCOLS {
        let collector = Collector::start().await;
        let program = program(protocol, collector.endpoint(protocol), "20000")
            .serve()
            .await;
        let said = ended(program, fanlight_tests::PATIENCE).await;
        assert!(!said.contains("WARN"), "{protocol}: {said}");
        assert_eq!(collector.span_count(), REQUESTS);
        let received = collector.received();
        let metrics = received.iter().filter(|it| it.signal == "metrics");
        assert_eq!(metrics.count(), 1, "{protocol}");
        // What they say of the spans is the final count.
        let points = collector
            .points("fanlight.telemetry.exported", |_| true)
            .await;
        let of_traces = points
            .iter()
            .find(|point| point.attributes["signal"] == "traces");
        #[expect(clippy::cast_precision_loss, reason = "five")]
        let wanted = REQUESTS as f64;
        assert!(
            (of_traces.unwrap().value - wanted).abs() < 0.5,
            "{points:?}"
        );
    }
}

/// A host whose collector is another process, stopped by SIGSTOP: the system takes
/// connections and bytes for it, and nothing is ever answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_stopped_holds_up_the_end_for_no_longer_than_its_time() {
    for protocol in PROTOCOLS {
        // The program itself is the process that listens: its guest never runs.
        let listening = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
            .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
            .env("FANLIGHT_MAX_INSTANCES", "4")
            .serve()
            .await;
        let endpoint = format!("http://{}", listening.address);
        let program = program(protocol, &endpoint, "2000").serve().await;
        listening.signal("STOP").await;
        let said = ended(program, Duration::from_secs(20)).await;
        listening.signal("CONT").await;
        let line = account(&said);
        let traces = format!("traces: 0 confirmed, 0 lost, {REQUESTS} unconfirmed");
        assert!(line.contains(&traces), "{protocol}: {line}");
        assert!(line.contains("not answered"), "{protocol}: {line}");
    }
}
