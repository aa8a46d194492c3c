//! A server without requests leaves the machine alone.

use std::time::Duration;

use fanlight_tests::client::Ask;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::program::{Program, ServingProgram};
use fanlight_tests::{eventually, eventually_async};

/// How long it is looked at.
const WINDOW: Duration = Duration::from_secs(5);
/// The most times that its threads may wake meanwhile, all together: fewer than five a
/// second.
const MOST_SWITCHES: u64 = 24;

async fn serve(collector: Option<&Collector>) -> ServingProgram {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("FANLIGHT_REQUEST_TIMEOUT", "1s");
    let program = match collector {
        Some(collector) => program
            .env("OTEL_SDK_DISABLED", "")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
        None => program,
    };
    program.serve().await
}

/// Waits for a time in which it hardly wakes: requests leave timers behind.
async fn demand_idle(program: &ServingProgram) {
    eventually_async("a time without wake-ups", async || {
        let before = program.voluntary_switches();
        tokio::time::sleep(WINDOW).await;
        let switches = program.voluntary_switches().saturating_sub(before);
        (switches <= MOST_SWITCHES).then_some(())
    })
    .await;
}

/// Demands that a guest that loops is interrupted, so that its deadline ends it.
async fn demand_interrupted(program: &ServingProgram) {
    assert_eq!(program.get("/loop").send().await.status, 504);
    assert_eq!(program.get("/counter").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_hardly_wakes_and_a_guest_that_loops_then_is_interrupted() {
    let program = serve(None).await;
    demand_interrupted(&program).await;
    demand_idle(&program).await;
    demand_interrupted(&program).await;
    demand_idle(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_that_exports_telemetry_hardly_wakes_and_exports_again() {
    let collector = Collector::start().await;
    let program = serve(Some(&collector)).await;
    for requests in 1..=2 {
        assert_eq!(program.get("/counter").send().await.status, 200);
        eventually("the request's span", || {
            (collector.spans().len() == requests).then_some(())
        })
        .await;
        demand_idle(&program).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_metrics_page_was_looked_at_hardly_wakes_when_it_is_closed() {
    let program = serve(None).await;
    let admin = program.admin.unwrap();
    for _ in 0..3 {
        let page = Ask::get(admin, "/ui/metrics").send().await;
        assert_eq!(page.status, 200);
    }
    demand_idle(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_sleeps_does_not_keep_the_server_awake() {
    let program = serve(None).await;
    // Its head is out at once, and it goes on behind its deadline.
    let sleeping = tokio::spawn(program.get("/version?chunks=2&delay_ms=20000").try_send());
    demand_idle(&program).await;
    assert!(!sleeping.is_finished(), "it was to be awake meanwhile");
    sleeping.abort();
}
