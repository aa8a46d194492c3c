//! The pages as a browser receives them.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

mod support;

use std::sync::Arc;

use fanlight_viewer::{Body, Store, Viewer};
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use prost::Message as _;
use support::{HOSTILE, Host, Trace, failure, hostile, success, thousand};

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
        "keys.js",
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
