//! The demo's endpoints, their answers and their traces, against the one table
//! of what they must be: in an in-process collector and in a real Jaeger.

use fanlight_runner::base_url::BaseUrl;
use fanlight_runner::client::Client;
use fanlight_runner::expected;
use fanlight_runner::load::Load;
use fanlight_runner::report::Report;
use fanlight_runner::trial::Trial;
use fanlight_tests::client::trace_of;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::DEMO;
use fanlight_tests::host::TestHost;
use fanlight_tests::jaeger::Jaeger;
use fanlight_tests::program::Program;
use fanlight_tests::skipped::skip_outside_ci;
use serde_json::json;
use std::num::{NonZeroU32, NonZeroUsize};

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_and_its_trace_is_the_expected_tree() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting_to(&collector)
        .start()
        .await;
    let url: BaseUrl = format!("http://{}", host.address).parse().unwrap();
    for endpoint in expected::endpoints() {
        let answer = endpoint.ask(&Client::new(), &url).await.unwrap();
        assert_eq!(endpoint.differences(&answer), [""; 0], "{}", endpoint.path);
        let trace = trace_of(&answer);
        let spans = collector
            .trace(&trace.trace_id, endpoint.tree.count())
            .await;
        let spans: Vec<_> = spans.into_iter().map(|span| span.span).collect();
        let differences = endpoint.tree.differences(&spans, None);
        assert_eq!(differences, [""; 0], "{} {spans:#?}", endpoint.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_span_has_what_the_conventions_ask_for() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting_to(&collector)
        .start()
        .await;
    let target = "/api/users?limit=3&sig=secret";
    let answer = host.get(target).header("user-agent", "test/1").send().await;
    let spans = collector.trace(&trace_of(&answer).trace_id, 2).await;
    let server = spans
        .iter()
        .find(|span| span.parent_span_id.is_none())
        .unwrap();
    for (key, value) in [
        ("http.request.method", json!("GET")),
        ("http.route", json!("/api/users")),
        ("http.response.status_code", json!(200)),
        ("url.path", json!("/api/users")),
        ("url.query", json!("limit=3&sig=REDACTED")),
        ("url.scheme", json!("http")),
        ("server.address", json!("127.0.0.1")),
        ("server.port", json!(host.address.port())),
        ("network.protocol.version", json!("1.1")),
        ("network.peer.address", json!("127.0.0.1")),
        ("client.address", json!("127.0.0.1")),
        ("user_agent.original", json!("test/1")),
        ("fanlight.component.generation", json!(1)),
    ] {
        assert_eq!(server.attribute(key), value, "{key}");
    }
    assert!(server.attribute("network.peer.port").is_number());
    let digest = server.attribute("fanlight.component.digest");
    let digest = digest
        .as_str()
        .unwrap()
        .strip_prefix("sha256:")
        .unwrap()
        .to_owned();
    assert_eq!(digest.len(), 64);
    assert_eq!(
        server.attribute("fanlight.component.version"),
        json!(digest[..12])
    );
    assert_eq!(server.scope.0, "fanlight");
    assert_eq!(server.resource["service.name"], json!("under-test"));
    assert_eq!(server.resource["telemetry.sdk.language"], json!("rust"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_nobody_knows_is_told_apart() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting_to(&collector)
        .start()
        .await;
    let answer = host
        .get("/nowhere")
        .method("BREW".parse().unwrap())
        .send()
        .await;
    let spans = collector.trace(&trace_of(&answer).trace_id, 1).await;
    assert_eq!(spans[0].name, "HTTP");
    assert_eq!(spans[0].attribute("http.request.method"), json!("_OTHER"));
    assert_eq!(
        spans[0].attribute("http.request.method_original"),
        json!("BREW")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runner_finds_every_trace_in_a_real_jaeger() {
    let Some(jaeger) = Jaeger::start().await.unwrap() else {
        let name = "the_runner_finds_every_trace_in_a_real_jaeger";
        return skip_outside_ci(name, "FANLIGHT_TEST_JAEGER names no Jaeger");
    };
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &jaeger.otlp_grpc())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .serve()
        .await;
    let mut said = Vec::new();
    let query: BaseUrl = jaeger.query_url().parse().unwrap();
    let trial = Trial {
        url: format!("http://{}", program.address).parse().unwrap(),
        load: Load {
            requests: NonZeroU32::new(30).unwrap(),
            workers: NonZeroUsize::new(5).unwrap(),
        },
        jaeger: Some(query.clone()),
        jaeger_page: query,
    };
    let passed = trial.run(Report::new(&mut said)).await.unwrap();
    assert!(passed, "{}", String::from_utf8_lossy(&said));
}
