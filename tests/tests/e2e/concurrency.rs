//! Many requests at once: none lost, none mixed up, none sharing anything.

use fanlight_tests::client::trace_of;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{DEMO, FAULTS};
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_concurrent_requests_give_two_hundred_whole_traces() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .requests(|limits| limits.max_instances = 256.try_into().unwrap())
        .exporting_to(&collector)
        .start()
        .await;
    let mut requests = JoinSet::new();
    for _ in 0..200 {
        requests.spawn(host.get("/api/process").send());
    }
    let answers = requests.join_all().await;
    for answer in answers {
        assert_eq!(answer.status, 200);
        let spans = collector.trace(&trace_of(&answer).trace_id, 5).await;
        let id = |name: &str| {
            let span = spans.iter().find(|span| span.name == name);
            span.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
                .clone()
        };
        let server = id("GET /api/process");
        let process = id("process_request");
        assert_eq!(server.parent_span_id, None);
        assert_eq!(process.parent_span_id.as_ref(), Some(&server.span_id));
        for name in ["validate_data", "process_data", "save_results"] {
            assert_eq!(
                id(name).parent_span_id.as_ref(),
                Some(&process.span_id),
                "{name}"
            );
        }
    }
    assert_eq!(collector.spans().len(), 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_and_histograms_count_every_request_of_every_instance() {
    const REQUESTS: u32 = 60;
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting_to(&collector)
        .start()
        .await;
    let mut requests = JoinSet::new();
    for n in 0..REQUESTS {
        let target = if n % 3 == 0 { "/health" } else { "/" };
        requests.spawn(host.get(target).send());
    }
    requests.join_all().await;
    let of = |endpoint: &'static str| {
        move |it: &&fanlight_tests::collected::CollectedPoint| {
            it.attributes.get("endpoint") == Some(&json!(endpoint))
        }
    };
    let counts = collector
        .points("app.requests.total", |points| {
            points.iter().map(|point| point.value).sum::<f64>() >= f64::from(REQUESTS)
        })
        .await;
    assert_eq!(counts.iter().find(of("/")).unwrap().value, 40.0);
    assert_eq!(counts.iter().find(of("/health")).unwrap().value, 20.0);
    assert_eq!(
        (counts[0].kind, counts[0].unit.as_str()),
        ("sum", "{request}")
    );
    let durations = collector
        .points("app.request.duration", |points| {
            points.iter().map(|point| point.count).sum::<u64>() >= u64::from(REQUESTS)
        })
        .await;
    assert_eq!(durations.iter().find(of("/")).unwrap().count, 40);
    assert_eq!(durations.iter().find(of("/health")).unwrap().count, 20);
    assert_eq!(durations[0].unit, "ms");
    let gauge = collector.points("app.custom.gauge", |_| true).await;
    assert_eq!(gauge[0].kind, "gauge");
    let server = collector
        .points("http.server.request.duration", |points| {
            points.iter().map(|point| point.count).sum::<u64>() >= u64::from(REQUESTS)
        })
        .await;
    let root = server
        .iter()
        .find(|it| it.attributes["http.route"] == json!("/"))
        .unwrap();
    assert_eq!((root.count, root.unit.as_str()), (40, "s"));
    assert_eq!(root.bounds.len(), 14);
    let keys: Vec<_> = root.attributes.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "http.request.method",
            "http.response.status_code",
            "http.route",
            "network.protocol.version",
            "url.scheme"
        ]
    );
    let active = collector
        .points("http.server.active_requests", |points| {
            points.iter().all(|it| it.value == 0.0)
        })
        .await;
    assert_eq!(active[0].kind, "up-down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_asleep_at_once_fit_the_defaults() {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .serve()
        .await;
    let mut requests = JoinSet::new();
    for _ in 0..1_000 {
        requests.spawn(program.get("/sleep?ms=2000").send());
    }
    let answers = requests.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200));
}
