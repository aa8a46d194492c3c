//! What a hostile component, or a hostile client, may send the viewer: every view answers,
//! within bounds.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as it does")]

mod support;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use fanlight_viewer::{
    Body, ComponentStatus, HostStatus, MetricsStatus, Store, StoreConfig, Viewer, ViewerConfig,
};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use support::Host;

const ID: u128 = 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c;
const MIB: usize = 1024 * 1024;

fn span(id: u64, parent: u64, start: u64, end: u64) -> Span {
    Span {
        trace_id: ID.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: parent.to_be_bytes().to_vec(),
        name: format!("span {id}"),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        ..Default::default()
    }
}

fn of_scopes(scopes: Vec<ScopeSpans>) -> Vec<u8> {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: scopes,
            ..Default::default()
        }],
    };
    request.encode_to_vec()
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    of_scopes(vec![ScopeSpans {
        spans,
        ..Default::default()
    }])
}

fn store() -> Arc<Store> {
    Arc::new(Store::new(StoreConfig {
        max_spans_per_second: u64::MAX,
        ..StoreConfig::default()
    }))
}

fn viewer_of(request: &[u8]) -> Viewer {
    let store = store();
    store.add_traces(request);
    support::viewer(store, Host::default())
}

async fn get(viewer: &Viewer, path: &str) -> Response<Body> {
    let request = Request::builder().uri(path).body(()).unwrap();
    viewer.respond(request).await
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The views of the trace, which all are to answer, and the texts of their answers.
async fn views(viewer: &Viewer) -> Vec<String> {
    let mut answers = Vec::new();
    for path in [
        "/".to_owned(),
        "/?sort=slowest&q=span".to_owned(),
        format!("/ui/trace/{ID:032x}"),
        format!("/ui/trace/{ID:032x}?span=1&q=span&closed=2.3"),
        format!("/ui/trace/{ID:032x}?view=flame&span=1"),
        format!("/ui/trace/{ID:032x}?view=logs"),
        format!("/ui/trace/{ID:032x}.json"),
        format!("/ui/compare?a={ID:032x}&b={ID:032x}"),
        format!("/api/v3/traces/{ID:032x}"),
        "/api/v3/services".to_owned(),
        "/api/v3/operations?service=".to_owned(),
    ] {
        let response = get(viewer, &path).await;
        assert_eq!(response.status(), 200, "{path}");
        let text = text(response).await;
        assert!(text.len() < 8 * MIB, "{path}: {} bytes", text.len());
        answers.push(text);
    }
    answers
}

#[tokio::test]
async fn ten_thousand_spans_inside_each_other_are_shown() {
    const SPANS: u64 = 10_000;
    let spans = (1..=SPANS).map(|id| span(id, id - 1, id, 3 * SPANS - id));
    let viewer = viewer_of(&request(spans.collect()));
    views(&viewer).await;
    let last = format!("/ui/trace/{ID:032x}?span={SPANS:016x}");
    let page = text(get(&viewer, &last).await).await;
    assert!(page.contains("Details of span 10000"), "it is on its part");
}

#[tokio::test]
async fn parents_in_a_circle_and_ids_that_are_used_twice_are_shown() {
    let spans = vec![
        span(1, 3, 10, 20),
        span(2, 1, 10, 20),
        span(3, 2, 10, 20),
        span(4, 4, 10, 20),
        span(1, 0, 10, 20),
        span(2, 2, 5, 6),
    ];
    let viewer = viewer_of(&request(spans));
    for answer in views(&viewer).await.iter().skip(2).take(1) {
        assert_eq!(answer.matches("role=\"listitem\"").count(), 6);
    }
}

#[tokio::test]
async fn spans_of_impossible_times_are_shown() {
    for times in [
        vec![(0, u64::MAX)],
        vec![(u64::MAX, u64::MAX), (u64::MAX, 0)],
        vec![(500, 100), (u64::MAX, 1), (0, 0)],
    ] {
        let spans = (1..).zip(times);
        let spans = spans.map(|(id, (start, end))| span(id, id - 1, start, end));
        views(&viewer_of(&request(spans.collect()))).await;
    }
}

#[tokio::test]
async fn spans_without_ids_are_left_out_and_malformed_ones_are_named_so() {
    let no_ids = vec![
        span(0, 0, 1, 2),
        Span {
            trace_id: vec![0; 16],
            ..span(5, 0, 1, 2)
        },
        Span {
            span_id: vec![1, 2, 3],
            ..span(6, 0, 1, 2)
        },
    ];
    let none = store();
    none.add_traces(&request(no_ids));
    assert_eq!(none.counts().traces, 0);
    // A name that is not UTF-8: prost writes no such thing.
    let mut bytes = request(vec![span(1, 0, 1, 2)]);
    let name = bytes.windows(4).position(|it| it == b"span").unwrap();
    bytes[name] = 0xff;
    let viewer = viewer_of(&bytes);
    let answers = views(&viewer).await;
    assert!(answers[2].contains("(malformed span)"));
    assert!(answers[6].contains(&format!("{ID:032x}")), "{}", answers[6]);
}

#[tokio::test]
async fn ten_thousand_scopes_in_a_trace_are_grouped_in_time() {
    let scopes = (1..=10_000).map(|id| ScopeSpans {
        scope: Some(InstrumentationScope {
            name: format!("scope {id}"),
            ..Default::default()
        }),
        spans: vec![span(id, 0, id, id + 1)],
        ..Default::default()
    });
    let viewer = viewer_of(&of_scopes(scopes.collect()));
    let answers = views(&viewer).await;
    assert_eq!(answers[6].matches("\"scope\"").count(), 10_000);
}

#[tokio::test]
async fn parameters_of_absurd_values_ask_for_nothing() {
    let viewer = viewer_of(&request(vec![span(1, 0, 1, 2)]));
    let values = [
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "1e308",
        "99999999999999999999h",
        "%00",
        "%FF%FE",
        "%F0%9F%92%A9",
        "NaN",
        "..%2F..%2Fetc%2Fpasswd",
        "9999-12-31T23:59:59Z",
        "0000-00-00T00:00:00Z",
        "%2B%2B%2B%2B%2B%2B%2B%2B%2B%2B",
        "18446744073709551615-ffffffffffffffffffffffffffffffff",
    ];
    let keys = [
        "q",
        "method",
        "route",
        "status",
        "min",
        "max",
        "spans",
        "version",
        "service",
        "op",
        "attr",
        "from",
        "to",
        "sort",
        "after",
        "limit",
        "before",
        "severity",
        "span",
        "closed",
        "line",
        "view",
        "a",
        "b",
        "since",
        "trace",
        "plot",
        "query.num_traces",
        "query.search_depth",
        "query.duration_min",
        "query.attributes",
    ];
    let paths = [
        "/".to_owned(),
        format!("/ui/trace/{ID:032x}"),
        "/ui/logs".to_owned(),
        "/ui/logs.json".to_owned(),
        "/ui/metrics".to_owned(),
        "/ui/component".to_owned(),
        "/ui/compare".to_owned(),
        "/api/v3/operations".to_owned(),
    ];
    for value in values {
        let query = keys.iter().fold(String::new(), |mut query, key| {
            let _ = write!(query, "&{key}={value}");
            query
        });
        for path in &paths {
            let response = get(&viewer, &format!("{path}?{query}")).await;
            let status = response.status();
            assert!(
                [200, 404].contains(&status.as_u16()),
                "{status} {path} {value}"
            );
        }
        let times =
            "query.start_time_min=1970-01-01T00:00:00Z&query.start_time_max=2100-01-01T00:00:00Z";
        let response = get(&viewer, &format!("/api/v3/traces?{times}&{query}")).await;
        let status = response.status();
        assert!(
            [200, 400, 404].contains(&status.as_u16()),
            "{status} {value}"
        );
        for path in ["/ui/trace/", "/api/v3/traces/", "/ui/assets/"] {
            let status = get(&viewer, &format!("{path}{value}")).await.status();
            assert!(status.is_client_error(), "{status} {path}{value}");
        }
    }
    // It would stand in each link of the page.
    let long = format!("/ui/trace/{ID:032x}?q={}", "a".repeat(5000));
    assert_eq!(get(&viewer, &long).await.status(), 414);
}

#[tokio::test]
async fn a_search_takes_time_in_proportion_to_what_is_searched() {
    let mut large = span(1, 0, 1, 2);
    large.name = "a".repeat(4 * MIB);
    let viewer = viewer_of(&request(vec![large]));
    let path = format!("/?q={}b", "a".repeat(4000));
    let found = tokio::time::timeout(Duration::from_secs(20), get(&viewer, &path)).await;
    assert!(text(found.unwrap()).await.contains("No trace matches"));
}

#[tokio::test]
async fn answers_that_clients_do_not_read_are_bounded_in_sum() {
    let spans = (1..=20_000).map(|id| span(id, 0, id, id + 1));
    let viewer = viewer_of(&request(spans.collect()));
    let path = format!("/ui/trace/{ID:032x}.json");
    let mut unread = Vec::new();
    let mut bytes = 0;
    loop {
        let response = get(&viewer, &path).await;
        if response.status() == 503 {
            break;
        }
        assert_eq!(response.status(), 200);
        bytes += usize::try_from(http_body::Body::size_hint(response.body()).lower()).unwrap();
        assert!(bytes <= 64 * MIB);
        unread.push(response);
    }
    assert!(bytes > 32 * MIB, "{bytes}");
    let read = unread.pop().unwrap();
    assert!(text(read).await.len() > MIB);
    assert_eq!(get(&viewer, &path).await.status(), 200);
}

/// A host whose metrics take as long as the test likes.
#[derive(Clone, Default)]
struct Slow(Arc<SlowState>);

#[derive(Default)]
struct SlowState {
    is_open: Mutex<bool>,
    opened: Condvar,
    inside: AtomicUsize,
    entered: AtomicUsize,
    most: AtomicUsize,
}

impl HostStatus for Slow {
    fn component(&self) -> ComponentStatus {
        ComponentStatus::default()
    }

    fn metrics(&self) -> MetricsStatus {
        let inside = self.0.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(inside, Ordering::SeqCst);
        self.0.entered.fetch_add(1, Ordering::SeqCst);
        let is_open = self.0.is_open.lock().unwrap();
        let patience = Duration::from_secs(60);
        let opened = self
            .0
            .opened
            .wait_timeout_while(is_open, patience, |it| !*it);
        drop(opened.unwrap());
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
        MetricsStatus::default()
    }

    fn serving_url(&self) -> String {
        String::new()
    }
}

#[tokio::test]
async fn pages_whose_clients_have_gone_count_as_long_as_they_are_rendered() {
    let host = Slow::default();
    let viewer = Viewer::new(ViewerConfig::default(), store(), Arc::new(host.clone()));
    let ask = || {
        let viewer = viewer.clone();
        tokio::spawn(async move { get(&viewer, "/ui/metrics").await.status() })
    };
    let asked: Vec<_> = (0..10).map(|_| ask()).collect();
    let entered = |count| {
        let host = host.clone();
        async move {
            while host.0.entered.load(Ordering::SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), entered(2))
        .await
        .unwrap();
    for client in asked {
        client.abort();
        assert!(client.await.is_err());
    }
    let waiting: Vec<_> = (0..4).map(|_| ask()).collect();
    tokio::task::yield_now().await;
    *host.0.is_open.lock().unwrap() = true;
    host.0.opened.notify_all();
    for client in waiting {
        assert_eq!(client.await.unwrap(), 200);
    }
    assert_eq!(host.0.most.load(Ordering::SeqCst), 2);
}
