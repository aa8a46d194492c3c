//! The pages as a browser receives them.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use fanlight_viewer::{
    Body, ComponentStatus, HostStatus, MetricsStatus, Store, StoreConfig, Viewer, ViewerConfig,
};
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use prost::Message as _;
use support::{HOSTILE, Host, MS, Trace, failure, hostile, success, thousand};

const START: u64 = 1_700_000_000_000_000_000;
const SUCCESS: u128 = 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c;
const FAILURE: u128 = 0x7c3e_11a7_9803_8103_d269_b633_813f_c60d;

fn viewer_of(traces: &[Trace], host: Host) -> (Viewer, Arc<Store>) {
    let store = Arc::new(Store::default());
    store.add_traces(&support::spans_request(traces).encode_to_vec());
    store.add_logs(&support::logs_request(traces));
    (support::viewer(Arc::clone(&store), host), store)
}

async fn send(viewer: &Viewer, method: &str, path: &str) -> Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(())
        .unwrap();
    viewer.respond(request).await
}

/// The text of a page that is found.
async fn page(viewer: &Viewer, path: &str) -> String {
    let response = send(viewer, "GET", path).await;
    assert_eq!(response.status(), 200, "{path}");
    text(response).await
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn span(number: u64) -> String {
    format!("{:016x}", number << 32 | 0xabcd_0123)
}

/// Every view of a trace and of the host.
fn views(id: u128) -> Vec<String> {
    let text = "%3C/title%3E%22%3Cscript%3E";
    vec![
        "/".to_owned(),
        format!("/?q={text}&method={text}&route={text}&op={text}&attr={text}%3D{text}&sort={text}"),
        format!("/?status={text}&min={text}&from={text}&after={text}&service={text}"),
        format!("/ui/trace/{id:032x}"),
        format!("/ui/trace/{id:032x}?span={}&q=script", span(2)),
        format!("/ui/trace/{id:032x}?span={text}&closed={text}&line={text}&q={text}&view={text}"),
        format!("/ui/trace/{id:032x}?view=flame&span={}", span(2)),
        format!("/ui/trace/{id:032x}?view=logs"),
        format!("/ui/compare?a={id:032x}&b={id:032x}"),
        "/ui/logs".to_owned(),
        format!("/ui/logs?q={text}&severity={text}&before={text}"),
        "/ui/metrics".to_owned(),
        format!("/ui/metrics?q={text}"),
        "/ui/component".to_owned(),
    ]
}

#[tokio::test]
async fn no_text_of_a_component_or_a_client_becomes_markup_on_any_view() {
    let id = 42;
    let host = Host {
        is_hostile: true,
        ..Host::default()
    };
    let (viewer, _) = viewer_of(&[hostile(id, START)], host);
    let mut shown = 0;
    for path in views(id) {
        let html = page(&viewer, &path).await;
        for markup in [
            "<script>",
            "<img",
            "<svg onload",
            "\"'&",
            "</title></script>",
        ] {
            assert!(!html.contains(markup), "{markup} in {path}");
        }
        for inline in [
            " style=\"",
            "javascript:",
            " onerror=\"",
            " onload=\"",
            "<style",
        ] {
            assert!(!html.contains(inline), "{inline} in {path}");
        }
        shown += html.matches("&lt;script&gt;").count();
    }
    assert!(shown > 50, "the text itself is shown: {shown}");
    let missing = send(&viewer, "GET", "/ui/trace/%3Cscript%3E").await;
    assert_eq!(missing.status(), 404);
    assert!(!text(missing).await.contains("<script>"));
    assert!(HOSTILE.contains("<script>"));
}

#[tokio::test]
async fn pages_forbid_inline_scripts_and_what_comes_from_elsewhere() {
    let (viewer, _) = viewer_of(&[success(SUCCESS, START)], Host::default());
    for path in views(SUCCESS) {
        let response = send(&viewer, "GET", &path).await;
        let headers = response.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let html = text(response).await;
        assert!(
            !html.contains("src=\"http") && !html.contains("//cdn"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_list_shows_what_a_request_was_and_leads_to_its_trace() {
    let (viewer, _) = viewer_of(
        &[success(SUCCESS, START), failure(FAILURE, START)],
        Host::default(),
    );
    let list = page(&viewer, "/").await;
    for part in [
        "/orders/{id}",
        "23.0 ms",
        "1.24 s",
        "1.4.2",
        "2 traces",
        &format!("/ui/trace/{SUCCESS:032x}"),
    ] {
        assert!(list.contains(part), "{part}");
    }
    let failed = page(&viewer, "/?status=error").await;
    assert!(failed.contains(&format!("t-{FAILURE:032x}")));
    assert!(!failed.contains(&format!("t-{SUCCESS:032x}")));
    let none = page(&viewer, "/?q=no+such+text").await;
    assert!(none.contains("No trace matches"));
}

#[tokio::test]
async fn a_trace_shows_its_spans_and_the_details_of_the_selected_one() {
    let (viewer, _) = viewer_of(
        &[success(SUCCESS, START), failure(FAILURE, START)],
        Host::default(),
    );
    let path = format!("/ui/trace/{FAILURE:032x}");
    let whole = page(&viewer, &path).await;
    for name in [
        "POST /orders",
        "handle",
        "charge card",
        "POST payments.example",
    ] {
        assert!(whole.contains(name), "{name}");
    }
    assert!(!whole.contains("PaymentError::Unavailable"));
    let selected = page(&viewer, &format!("{path}?span={}", span(4))).await;
    for part in [
        "PaymentError::Unavailable",
        "src/payment.rs:88:17",
        "payment attempt failed",
        "retry",
    ] {
        assert!(selected.contains(part), "{part}");
    }
    let closed = page(&viewer, &format!("{path}?closed={}", span(2))).await;
    assert!(closed.contains("handle") && !closed.contains("charge card"));
    let link = page(
        &viewer,
        &format!("/ui/trace/{SUCCESS:032x}?span={}", span(2)),
    )
    .await;
    assert!(link.contains(&format!("/ui/trace/{FAILURE:032x}?span=")));
    assert!(link.contains("http://localhost:16686/trace/"));
}

#[tokio::test]
async fn an_open_trace_is_rendered_again_only_where_it_has_grown() {
    let (viewer, store) = viewer_of(&[success(SUCCESS, START)], Host::default());
    let path = format!("/ui/trace/{SUCCESS:032x}");
    let first = send(&viewer, "GET", &path).await;
    let tag = first.headers()[header::ETAG].clone();
    let again = || {
        let request = Request::builder()
            .uri(&path)
            .header(header::IF_NONE_MATCH, tag.clone());
        viewer.respond(request.body(()).unwrap())
    };
    let same = again().await;
    assert_eq!(same.status(), 304);
    assert!(text(same).await.is_empty());
    // A log record alone is new as well.
    store.add_logs(&support::logs_request(&[success(SUCCESS, START)]));
    let grown = again().await;
    assert_eq!(grown.status(), 200);
    assert_ne!(grown.headers()[header::ETAG], tag);
    let mut late = success(SUCCESS, START);
    late.sent();
    late.guest(2, "a late span", 30 * MS, 31 * MS);
    store.add_traces(&support::spans_request(&[late]).encode_to_vec());
    let grown = again().await;
    assert_eq!(grown.status(), 200);
    assert!(text(grown).await.contains("a late span"));
}

#[tokio::test]
async fn a_swap_is_marked_in_each_plot_with_its_version() {
    // The swap is 20 seconds after the host's start.
    let host = Host {
        began: SystemTime::now() - Duration::from_secs(60),
        ..Host::default()
    };
    let start = support::now() - 50_000 * MS;
    let traces = [success(SUCCESS, start), success(FAILURE, support::now())];
    let (viewer, _) = viewer_of(&traces, host);
    let list = page(&viewer, "/").await;
    assert_eq!(list.matches("Swapped to 1.4.3 #4</title>").count(), 1);
    assert!(list.contains(">1.4.3</text>"));
    assert!(!list.contains("1.4.2 #3</title>"), "that was before");
    // The viewer knows the host from now on: its plots begin here.
    let metrics = page(&viewer, "/ui/metrics").await;
    assert!(!metrics.contains("Swapped to"));
    let (viewer, _) = viewer_of(
        &[],
        Host {
            // The swap comes with the next second.
            began: SystemTime::now() - Duration::from_millis(19_900),
            ..Host::default()
        },
    );
    tokio::time::sleep(Duration::from_millis(150)).await;
    let metrics = page(&viewer, "/ui/metrics").await;
    assert!(metrics.contains(">1.4.3</text>"), "{metrics}");
}

/// Counts how often the metrics are asked for.
struct Counting {
    host: Host,
    asked: Arc<AtomicUsize>,
}

impl HostStatus for Counting {
    fn component(&self) -> ComponentStatus {
        self.host.component()
    }

    fn metrics(&self) -> MetricsStatus {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.host.metrics()
    }

    fn serving_url(&self) -> String {
        self.host.serving_url()
    }
}

#[tokio::test]
async fn metrics_are_sampled_where_their_page_is_looked_at_alone() {
    let asked = Arc::new(AtomicUsize::new(0));
    let host = Counting {
        host: Host::default(),
        asked: Arc::clone(&asked),
    };
    let store = Arc::new(Store::default());
    let viewer = Viewer::new(ViewerConfig::default(), store, Arc::new(host));
    for path in ["/", "/ui/logs", "/ui/component", "/ui/assets/main.js"] {
        page(&viewer, path).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let first = page(&viewer, "/ui/metrics").await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // What was before is known as an average, and the page says so.
    assert!(first.contains("while this page is open"));
    assert!(
        !first.contains("–<span class=\"muted\">/s"),
        "it has a rate"
    );
}

#[tokio::test]
async fn each_instrument_of_the_component_is_shown_and_alone_with_its_buckets() {
    let (viewer, _) = viewer_of(&[], Host::default());
    let all = page(&viewer, "/ui/metrics").await;
    for part in [
        "orders.created",
        "region=",
        "orders.query.duration",
        "95th percentile",
        "99th percentile",
        "Instances",
        "Memory",
    ] {
        assert!(all.contains(part), "{part}");
    }
    assert!(all.contains("href=\"/ui/metrics?q=orders.query.duration\""));
    let buckets = |html: &str| html.matches("<table class=\"histogram\"").count();
    assert_eq!(buckets(&all), 1, "that of the requests");
    let one = page(&viewer, "/ui/metrics?q=orders.query.duration").await;
    assert_eq!(buckets(&one), 2);
    assert!(!one.contains("orders.created"));
}

#[tokio::test]
async fn each_bucket_of_the_latency_histogram_leads_to_the_traces_in_it() {
    let (viewer, _) = viewer_of(
        &[success(SUCCESS, START), failure(FAILURE, START)],
        Host::default(),
    );
    let metrics = page(&viewer, "/ui/metrics").await;
    // 23 ms and 1.24 s.
    for (link, has, has_not) in [
        ("/?sort=slowest&min=10ms&max=25ms", SUCCESS, FAILURE),
        ("/?sort=slowest&min=1000ms&max=2500ms", FAILURE, SUCCESS),
    ] {
        assert!(metrics.contains(&link.replace('&', "&amp;")), "{link}");
        let list = page(&viewer, link).await;
        assert!(list.contains(&format!("t-{has:032x}")), "{link}");
        assert!(!list.contains(&format!("t-{has_not:032x}")), "{link}");
    }
    assert!(metrics.contains("href=\"/?sort=slowest&amp;min=10000ms\""));
}

#[tokio::test]
async fn all_of_ten_thousand_traces_are_on_the_pages_of_the_list() {
    let store = Arc::new(Store::new(StoreConfig {
        max_spans_per_second: u64::MAX,
        ..StoreConfig::default()
    }));
    for some in support::traffic(10_000, support::now()).chunks(500) {
        store.add_traces(&support::spans_request(some).encode_to_vec());
    }
    assert_eq!(store.counts().traces, 10_000);
    let viewer = support::viewer(store, Host::default());
    let mut seen = std::collections::HashSet::new();
    let mut path = "/?limit=500&plot=off".to_owned();
    loop {
        let list = page(&viewer, &path).await;
        assert!(!list.contains("svg class=\"scatter\""));
        let rows = list.split(" id=\"t-").skip(1);
        seen.extend(rows.map(|it| it[..32].to_owned()));
        let Some((_, link)) = list.split_once("rel=\"next\" href=\"") else {
            break;
        };
        let (link, _) = link.split_once('"').unwrap();
        path = format!("{}&plot=off", link.replace("&amp;", "&"));
    }
    assert_eq!(seen.len(), 10_000);
}

#[tokio::test]
async fn a_large_trace_is_shown_in_parts() {
    let (viewer, _) = viewer_of(&[thousand(7, START)], Host::default());
    let path = format!("/ui/trace/{:032x}", 7);
    let first = page(&viewer, &path).await;
    let lines = |html: &str| html.matches("role=\"listitem\"").count();
    assert_eq!(lines(&first), 500);
    assert!(first.contains("of 1001"));
    assert_eq!(lines(&page(&viewer, &format!("{path}?line=1000")).await), 1);
    // A link to a span leads to the part that it is in.
    let last = page(&viewer, &format!("{path}?span={}", span(1001))).await;
    assert_eq!(lines(&last), 1);
}

#[tokio::test]
async fn pages_that_are_empty_say_what_to_do() {
    let host = Host {
        is_empty: true,
        ..Host::default()
    };
    let (viewer, _) = viewer_of(&[], host);
    for (path, part) in [
        ("/", "curl -i http://127.0.0.1:8000/"),
        ("/ui/logs", "curl -i http://127.0.0.1:8000/"),
        ("/ui/metrics", "No request has ended yet"),
        ("/ui/component", "fanlight swap"),
    ] {
        assert!(page(&viewer, path).await.contains(part), "{path}");
    }
}

#[tokio::test]
async fn a_trace_can_be_downloaded_as_it_was_sent() {
    let (viewer, _) = viewer_of(&[success(SUCCESS, START)], Host::default());
    let response = send(&viewer, "GET", &format!("/ui/trace/{SUCCESS:032x}.json")).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let read: opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest =
        serde_json::from_str(&text(response).await).unwrap();
    let spans: usize = read.resource_spans[0]
        .scope_spans
        .iter()
        .map(|it| it.spans.len())
        .sum();
    assert_eq!(spans, 9);
    let missing = send(&viewer, "GET", "/ui/trace/12.json").await;
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn all_is_forgotten_on_demand() {
    let (viewer, store) = viewer_of(&[success(SUCCESS, START)], Host::default());
    let wrong = send(&viewer, "GET", "/ui/clear").await;
    assert_eq!(wrong.status(), 405);
    assert_eq!(wrong.headers()[header::ALLOW], "POST");
    assert_eq!(store.counts().traces, 1);
    let cleared = send(&viewer, "POST", "/ui/clear").await;
    assert_eq!(cleared.status(), 303);
    assert_eq!(store.counts().traces, 0);
}

#[tokio::test]
async fn files_are_sent_once_to_each_browser() {
    let (viewer, _) = viewer_of(&[], Host::default());
    for name in [
        "style.css",
        "main.js",
        "live.js",
        "enhance.js",
        "keys.js",
        "more.js",
        "brush.js",
        "upload.js",
        "icon.svg",
    ] {
        let path = format!("/ui/assets/{name}");
        let response = send(&viewer, "GET", &path).await;
        assert_eq!(response.status(), 200);
        let etag = response.headers()[header::ETAG].clone();
        assert!(!text(response).await.is_empty());
        let again = Request::builder()
            .uri(&path)
            .header(header::IF_NONE_MATCH, etag)
            .body(())
            .unwrap();
        let again = viewer.respond(again).await;
        assert_eq!(again.status(), 304);
        assert!(text(again).await.is_empty());
    }
    assert_eq!(
        send(&viewer, "GET", "/ui/assets/../lib.rs").await.status(),
        404
    );
    assert_eq!(send(&viewer, "GET", "/ui/nothing").await.status(), 404);
}

#[tokio::test]
async fn log_records_can_be_followed_by_programs() {
    let (viewer, store) = viewer_of(&[success(SUCCESS, START)], Host::default());
    let first: serde_json::Value =
        serde_json::from_str(&page(&viewer, "/ui/logs.json").await).unwrap();
    assert_eq!(first["logRecords"].as_array().unwrap().len(), 3);
    assert_eq!(first["logRecords"][0]["serviceName"], "orders");
    let path = format!("/ui/logs.json?since={}", first["last"]);
    store.add_logs(&support::logs_request(&[failure(FAILURE, START)]));
    let next: serde_json::Value = serde_json::from_str(&page(&viewer, &path).await).unwrap();
    let bodies: Vec<_> = next["logRecords"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["body"]["stringValue"])
        .collect();
    assert_eq!(
        bodies,
        [
            "payment attempt failed, trying again",
            "order was not created"
        ]
    );
}

#[tokio::test]
async fn an_answer_of_log_records_is_bounded_and_says_what_it_leaves_out() {
    let (viewer, _) = viewer_of(&[success(SUCCESS, START)], Host::default());
    let read = async |query: &str| -> serde_json::Value {
        let path = format!("/ui/logs.json{query}");
        serde_json::from_str(&page(&viewer, &path).await).unwrap()
    };
    let all = read("").await;
    let newest = read("?limit=1").await;
    assert_eq!(
        (&all["more"], &newest["more"]),
        (&false.into(), &true.into())
    );
    assert_eq!(newest["logRecords"].as_array().unwrap().len(), 1);
    assert_eq!(newest["logRecords"][0], all["logRecords"][2]);
    assert_eq!(newest["last"], all["last"]);
    // Another host, or the same after a restart, has another store.
    assert_eq!(newest["store"], all["store"]);
    let (other, _) = viewer_of(&[], Host::default());
    let other: serde_json::Value =
        serde_json::from_str(&page(&other, "/ui/logs.json").await).unwrap();
    assert_ne!(other["store"], all["store"]);
}

#[tokio::test]
async fn events_tell_of_what_is_new_and_readers_are_bounded() {
    let (viewer, store) = viewer_of(&[], Host::default());
    let mut response = send(&viewer, "GET", "/events").await;
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    let mut next = async || {
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert_eq!(next().await, "retry: 1000\n\n");
    store.add_traces(&support::spans_request(&[success(SUCCESS, START)]).encode_to_vec());
    assert!(next().await.contains("event: traces\n"));
    let mut others = Vec::new();
    while others.len() < 100 {
        let response = send(&viewer, "GET", "/events").await;
        if response.status() == 503 {
            break;
        }
        others.push(response);
    }
    assert_eq!(others.len(), 63);
    drop(others);
    assert_eq!(send(&viewer, "GET", "/events").await.status(), 200);
}

#[test]
fn the_routes_of_the_admin_port_stay_the_hosts() {
    for path in [
        "/",
        "/ui/logs",
        "/ui/assets/main.js",
        "/events",
        "/api/v3/services",
    ] {
        assert!(Viewer::serves(path), "{path}");
    }
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/component",
        "/component/rollback",
        "/uix",
    ] {
        assert!(!Viewer::serves(path), "{path}");
    }
}

#[tokio::test]
async fn links_to_pages_of_jaeger_lead_to_those_of_the_viewer() {
    let (viewer, _) = viewer_of(&[success(SUCCESS, START)], Host::default());
    for (link, page) in [
        (
            format!("/trace/{SUCCESS:032x}"),
            format!("/ui/trace/{SUCCESS:032x}"),
        ),
        (
            "/search?service=shop".to_owned(),
            "/?service=shop".to_owned(),
        ),
    ] {
        assert!(Viewer::serves(link.split('?').next().unwrap()));
        let response = send(&viewer, "GET", &link).await;
        assert_eq!(response.status(), 303, "{link}");
        assert_eq!(response.headers()[header::LOCATION], page);
        self::page(&viewer, &page).await;
    }
    let nonsense = send(&viewer, "GET", "/trace/nonsense").await;
    assert_eq!(nonsense.status(), 404);
}
