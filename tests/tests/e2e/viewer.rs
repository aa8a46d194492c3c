//! The built-in viewer: what it shows of a running host, and to whom.

use std::num::{NonZeroU32, NonZeroUsize};

use fanlight_runner::base_url::BaseUrl;
use fanlight_runner::load::Load;
use fanlight_runner::report::Report;
use fanlight_runner::trial::Trial;
use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collector::{Collector, Mood};
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::{DEMO, FAULTS, HELLO, version};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::program::Program;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const NO_EXPORTER: [(&str, &str); 3] = [
    ("OTEL_TRACES_EXPORTER", "none"),
    ("OTEL_METRICS_EXPORTER", "none"),
    ("OTEL_LOGS_EXPORTER", "none"),
];

/// The spans of a trace, once there are at least `count` of them.
async fn spans(host: &RunningHost, trace_id: &str, count: usize) -> Vec<Value> {
    let target = format!("/api/v3/traces/{trace_id}");
    eventually_async("the trace in the viewer", async || {
        let answer = host.ask_admin(Method::GET, &target).send().await;
        let json: Value = answer.json().ok()?;
        let scopes = json["result"]["resourceSpans"].as_array()?.iter();
        let scopes = scopes
            .filter_map(|it| it["scopeSpans"].as_array())
            .flatten();
        let spans = scopes.filter_map(|it| it["spans"].as_array()).flatten();
        let spans: Vec<Value> = spans.cloned().collect();
        (spans.len() >= count).then_some(spans)
    })
    .await
}

async fn page(host: &RunningHost, target: &str) -> String {
    let answer = host.ask_admin(Method::GET, target).send().await;
    assert_eq!(answer.status, 200, "{target}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_in_the_viewer_where_nothing_is_exported() {
    let host = TestHost::serving(DEMO)
        .exporting(&NO_EXPORTER)
        .viewed()
        .start()
        .await;
    let answer = host.get("/api/process").send().await;
    let trace_id = trace_of(&answer).trace_id;
    let spans = spans(&host, &trace_id, 3).await;
    let root = spans
        .iter()
        .find(|it| it["parentSpanId"].as_str().unwrap_or("").is_empty());
    let root = root.expect("a server span");
    let below = spans
        .iter()
        .filter(|it| it["parentSpanId"] == root["spanId"]);
    assert!(below.count() > 0, "{spans:?}");
    assert!(page(&host, "/").await.contains("/api/process"));
    let trace = page(&host, &format!("/ui/trace/{trace_id}")).await;
    assert!(trace.contains("/api/process"), "{trace}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_holds_up_no_trace_of_the_viewer() {
    let collector = Collector::start().await;
    collector.set_mood(Mood::Hanging);
    let host = TestHost::serving(HELLO)
        .exporting_to(&collector)
        .viewed()
        .start()
        .await;
    // The second one comes while the export of the first one waits.
    for _ in 0..2 {
        let answer = host.get("/").send().await;
        spans(&host, &trace_of(&answer).trace_id, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_has_its_exception_its_stack_trace_and_its_logs() {
    let host = TestHost::serving(FAULTS)
        .exporting(&NO_EXPORTER)
        .viewed()
        .start()
        .await;
    let answer = host.get("/panic").send().await;
    assert_eq!(answer.status, 500);
    let trace_id = trace_of(&answer).trace_id;
    let root = spans(&host, &trace_id, 1).await.remove(0);
    let span_id = root["spanId"].as_str().unwrap();
    let shown = page(&host, &format!("/ui/trace/{trace_id}?span={span_id}")).await;
    for part in ["exception", "unreachable", "500"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // What the component printed is a log record of the trace.
    let target = format!("/ui/logs.json?trace={trace_id}");
    eventually_async("the line of stderr", async || {
        page(&host, &target)
            .await
            .contains("panicked")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_and_refusals_are_listed_and_told_to_open_pages() {
    let host = TestHost::serving(HELLO)
        .exporting(&NO_EXPORTER)
        .viewed()
        .start()
        .await;
    let mut events = TcpStream::connect(host.admin).await.unwrap();
    let request = format!("GET /events HTTP/1.1\r\nhost: {}\r\n\r\n", host.admin);
    events.write_all(request.as_bytes()).await.unwrap();
    let before = host.get("/").send().await;
    assert_eq!(host.put(version(2)).await.status, 200);
    let after = host.get("/").send().await;
    for answer in [before, after] {
        spans(&host, &trace_of(&answer).trace_id, 1).await;
    }
    assert!(page(&host, "/").await.contains(">Swapped to "));
    assert_eq!(host.put("no component").await.status, 422);
    let mut heard = String::new();
    while heard.matches("event: component").count() < 1 {
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(fanlight_tests::PATIENCE, events.read(&mut bytes));
        let read = read.await.expect("an event comes").unwrap();
        assert!(read > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    let shown = page(&host, "/ui/component").await;
    for part in ["swapped", "refused", "wasi:http/types@"] {
        assert!(shown.to_lowercase().contains(part), "{part}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_page_counts_requests_and_has_the_components_instruments() {
    let host = TestHost::serving(DEMO)
        .exporting(&NO_EXPORTER)
        .viewed()
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(host.get("/api/process").send().await.status, 200);
    }
    eventually_async("the instruments", async || {
        let shown = page(&host, "/ui/metrics").await;
        let names = [
            "http.server.request.duration",
            "http.server.active_requests",
            "app.requests.total",
            "app.custom.gauge",
            "app.request.duration",
            "3 in all",
        ];
        names.iter().all(|it| shown.contains(it)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_token_as_a_password() {
    let host = TestHost::serving(HELLO)
        .exporting(&NO_EXPORTER)
        .viewed()
        .with(|host| host.admin_token = Some("secret".into()))
        .start()
        .await;
    for target in ["/", "/ui/logs", "/events", "/api/v3/services"] {
        let ask = || host.ask_admin(Method::GET, target);
        let refused = ask().send().await;
        assert_eq!(refused.status, 401, "{target}");
        let asked = refused.headers.get_all("www-authenticate");
        let asked: Vec<_> = asked.iter().filter_map(|it| it.to_str().ok()).collect();
        assert!(asked.iter().any(|it| it.starts_with("Basic ")), "{asked:?}");
        // "anyone:wrong"
        let wrong = ask().header("authorization", "Basic YW55b25lOndyb25n");
        assert_eq!(wrong.send().await.status, 401, "{target}");
    }
    // "anyone:secret"
    let right = host.ask_admin(Method::GET, "/");
    let right = right.header("authorization", "Basic YW55b25lOnNlY3JldA==");
    assert_eq!(right.send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_web_page_neither_reads_nor_clears_what_the_viewer_shows() {
    let host = TestHost::serving(HELLO)
        .exporting(&NO_EXPORTER)
        .viewed()
        .start()
        .await;
    let rebound = host
        .ask_admin(Method::GET, "/")
        .header("host", "evil.example");
    assert_eq!(rebound.send().await.status, 403);
    let clear = || host.ask_admin(Method::POST, "/ui/clear");
    let foreign = clear().header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.status, 403);
    assert_eq!(clear().send().await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_viewer_its_paths_are_not_there() {
    let host = TestHost::serving(HELLO).start().await;
    for target in ["/", "/ui/logs", "/events", "/api/v3/services"] {
        let answer = host.ask_admin(Method::GET, target).send().await;
        assert_eq!(answer.status, 404, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runner_passes_against_the_viewer_as_against_jaeger() {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_TRACES_EXPORTER", "none")
        .env("OTEL_METRICS_EXPORTER", "none")
        .env("OTEL_LOGS_EXPORTER", "none")
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .serve()
        .await;
    let admin = program.admin.unwrap();
    let viewer: BaseUrl = format!("http://{admin}").parse().unwrap();
    let mut said = Vec::new();
    let trial = Trial {
        url: format!("http://{}", program.address).parse().unwrap(),
        load: Load {
            requests: NonZeroU32::new(30).unwrap(),
            workers: NonZeroUsize::new(5).unwrap(),
        },
        jaeger: Some(viewer.clone()),
        jaeger_page: viewer,
    };
    let passed = trial.run(Report::new(&mut said)).await.unwrap();
    assert!(passed, "{}", String::from_utf8_lossy(&said));
    assert_eq!(Ask::get(admin, "/").send().await.status, 200);
}
