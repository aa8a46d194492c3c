//! The host's own log as log records, by the real program: linked with traces,
//! said once, and no cause of more of it.

use std::time::Duration;

use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collected::CollectedLog;
use fanlight_tests::collector::{Collector, Mood};
use fanlight_tests::eventually;
use fanlight_tests::fixture::{FAULTS, Fixture, SHOWCASE, version};
use fanlight_tests::program::{Program, ServingProgram};
use http::Method;
use serde_json::json;

async fn start(fixture: Fixture, collector: &Collector, vars: &[(&str, &str)]) -> ServingProgram {
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", fixture.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
        .env("OTEL_BLRP_SCHEDULE_DELAY", "20")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    for (name, value) in vars {
        program = program.env(name, value);
    }
    program.serve().await
}

fn body(log: &CollectedLog) -> &str {
    log.body.as_str().unwrap()
}

/// The host's own records so far.
fn of_host(collector: &Collector) -> Vec<CollectedLog> {
    let mut logs = collector.all_logs();
    logs.retain(|log| log.scope == "fanlight");
    logs
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_told_from_its_first_line_to_the_one_about_draining() {
    let collector = Collector::start().await;
    // The first is said before there is telemetry.
    let vars = [("OTEL_BSP_SCHEDULE_DELAY", "soon")];
    let mut program = start(FAULTS, &collector, &vars).await;
    let warned = collector
        .log(|log| body(log).contains("OTEL_BSP_SCHEDULE_DELAY"))
        .await;
    assert_eq!(
        (warned.severity, warned.severity_text.as_str()),
        (13, "WARN")
    );
    let serving = collector
        .log(|log| body(log) == format!("serving at http://{}", program.address))
        .await;
    assert_eq!(
        (serving.severity, serving.severity_text.as_str()),
        (9, "INFO")
    );
    assert_eq!(serving.scope, "fanlight");
    assert_eq!(serving.trace_id, "");
    let digest = serving.attributes["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:"), "{digest}");
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
    let logs = of_host(&collector);
    let last = logs.last().unwrap();
    assert!(body(last).starts_with("SIGTERM: draining"), "{last:?}");
    // Each line of stderr is a record, in the order in which it was said, but
    // for the last one, which is said when all is flushed.
    let said = program.said();
    let mut lines = said.lines();
    assert!(lines.next_back().unwrap().ends_with("drained"));
    for (line, log) in lines.zip(&logs) {
        assert!(line.contains(body(log)), "{line} {log:?}");
        assert!(!line.contains("otel."), "{line}");
    }
    assert_eq!(logs.len(), said.lines().count() - 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_about_a_failed_request_is_linked_with_its_trace() {
    let collector = Collector::start().await;
    let vars = [("FANLIGHT_REQUEST_TIMEOUT", "300ms")];
    let program = start(FAULTS, &collector, &vars).await;
    for (target, cause) in [
        ("/trap", "trap"),
        ("/trap-after-last-byte?ms=50", "trap"),
        ("/sleep?ms=60000", "timeout"),
        ("/no-response", "no_response"),
    ] {
        let trace = trace_of(&program.get(target).send().await);
        let log = collector
            .log(|log| log.trace_id == trace.trace_id && log.scope == "fanlight")
            .await;
        assert_eq!(log.span_id, trace.span_id, "{target}");
        assert_eq!(log.severity, 13, "{target}");
        assert_eq!(log.attributes["error.type"], json!(cause), "{target}");
        let ids = log.attributes.keys().filter(|key| key.ends_with("_id"));
        assert_eq!(ids.count(), 0, "{log:?}");
        if cause == "trap" {
            assert!(body(&log).contains("example_faults::trap::"), "{log:?}");
        }
        // People find the trace as well, and once.
        eventually("the line on stderr", || {
            let said = program.said();
            let lines = said.lines().filter(|line| line.contains(&trace.trace_id));
            (lines.count() == 1).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_about_a_swap_is_linked_with_the_swaps_trace() {
    let collector = Collector::start().await;
    let program = start(FAULTS, &collector, &[]).await;
    let put = |component: Vec<u8>| {
        let ask = Ask::get(program.admin.unwrap(), "/component");
        ask.method(Method::PUT).body(component).send()
    };
    for (component, status, begins) in [
        (version(1), 200, "swapped the component"),
        (b"no component".to_vec(), 422, "not swapped: "),
    ] {
        assert_eq!(put(component).await.status, status);
        let log = collector.log(|log| body(log).starts_with(begins)).await;
        let swap = collector
            .span(|span| span.name == "component.swap" && span.span_id == log.span_id)
            .await;
        assert_eq!(log.trace_id, swap.trace_id, "{begins}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_component_prints_is_told_once_and_by_the_component() {
    let collector = Collector::start().await;
    let mut program = start(SHOWCASE, &collector, &[]).await;
    let trace = trace_of(&program.get("/stdout").send().await);
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
    assert!(program.said().contains("a line on stdout"));
    let logs = collector.logs(&trace.trace_id, 4).await;
    assert!(logs.iter().all(|log| log.scope == "fanlight.guest"));
    let printed = |log: &&CollectedLog| body(log).contains("a line on");
    assert_eq!(collector.all_logs().iter().filter(printed).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_much_is_exported_as_is_on_stderr() {
    let collector = Collector::start().await;
    let mut program = start(FAULTS, &collector, &[("FANLIGHT_LOG", "debug")]).await;
    let ask = program.get("/counter").header("connection", "upgrade");
    let refused = ask.header("upgrade", "x").send().await;
    let trace = trace_of(&refused);
    let log = collector.log(|log| log.trace_id == trace.trace_id).await;
    assert_eq!((log.severity, body(&log)), (5, "request refused"));
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_fails_gets_no_flood_of_lines_about_it() {
    // The more is said, the more there could be to export. Its transports are
    // asked to speak as well.
    for level in [
        "info",
        "debug,h2=debug,hyper=debug,tonic=debug,opentelemetry=debug",
    ] {
        let collector = Collector::start().await;
        collector.set_mood(Mood::Failing);
        let mut program = start(FAULTS, &collector, &[("FANLIGHT_LOG", level)]).await;
        assert_eq!(program.get("/counter").send().await.status, 200);
        // Metrics fail ten times a second; a loop of log records would do so
        // fifty times, or as often as it could.
        eventually("failures", || (collector.failed() >= 30).then_some(())).await;
        eventually("a line about log records", || {
            let said = program.said();
            let about = said
                .lines()
                .any(|line| line.contains("export failed") && line.contains("signal=\"logs\""));
            about.then_some(())
        })
        .await;
        let lost = |points: &[fanlight_tests::collected::CollectedPoint]| {
            let of_logs = points.iter().filter(|point| {
                point.attributes["signal"] == json!("logs")
                    && point.attributes["reason"] == json!("export_failed")
            });
            of_logs.map(|point| point.value).sum::<f64>()
        };
        collector.set_mood(Mood::Well);
        let points = collector.points("fanlight.telemetry.lost", |_| true).await;
        let lines = program
            .said()
            .lines()
            .filter(|line| !line.contains("signal=\"logs\""))
            .filter(|line| {
                ["INFO ", "WARN ", "export failed"]
                    .iter()
                    .any(|it| line.contains(it))
            })
            .count();
        // Each line of its own is lost once at most, and none was made by it;
        // some more are said of connections.
        let most = (lines + 20) as f64;
        assert!(lost(&points) <= most, "{points:#?}\n{}", program.said());
        assert!(lost(&points) > 0.0, "{points:#?}");
        program.signal("TERM").await;
        tokio::time::timeout(Duration::from_secs(30), program.exit_code())
            .await
            .unwrap();
        let logs = of_host(&collector);
        let about_logs = logs
            .iter()
            .filter(|log| log.attributes.get("signal") == Some(&json!("logs")));
        assert_eq!(about_logs.count(), 0, "{logs:#?}");
        assert!(
            collector
                .all_logs()
                .iter()
                .all(|log| log.scope == "fanlight")
        );
    }
}
