use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status as WireStatus,
};
use prost::Message as _;

use super::{Order, Search, SpanSearch, Status, contains};
use crate::store::Store;

const MS: u64 = 1_000_000;

fn text(key: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    }
}

/// A trace of two spans that began at `start` and took `duration` milliseconds.
fn trace(id: u128, start: u64, duration: u64, code: u16, route: &str) -> [Span; 2] {
    let span = |span_id: u64, name: &str, kind, attributes| Span {
        trace_id: id.to_be_bytes().to_vec(),
        span_id: span_id.to_be_bytes().to_vec(),
        name: name.to_owned(),
        kind,
        start_time_unix_nano: start * MS,
        end_time_unix_nano: (start + duration) * MS,
        attributes,
        ..Default::default()
    };
    let mut server = span(
        1,
        &format!("GET {route}"),
        2,
        vec![
            text("http.request.method", "GET"),
            text("http.route", route),
            text("http.response.status_code", &code.to_string()),
            text("fanlight.component.version", "1.2.0"),
        ],
    );
    if code >= 500 {
        server.status = Some(WireStatus {
            code: 2,
            ..Default::default()
        });
    }
    let mut inner = span(
        2,
        "load order",
        1,
        vec![text("order.id", &format!("o-{id}"))],
    );
    inner.parent_span_id = 1_u64.to_be_bytes().to_vec();
    inner.end_time_unix_nano -= MS;
    [server, inner]
}

fn store() -> Store {
    let store = Store::default();
    let spans = [
        trace(1, 1000, 5, 200, "/orders/{id}"),
        trace(2, 2000, 50, 404, "/orders/{id}"),
        trace(3, 3000, 20, 500, "/basket"),
        trace(4, 4000, 2, 200, "/"),
    ];
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", "shop")],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: spans.into_iter().flatten().collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    store.add_traces(&request.encode_to_vec());
    store
}

fn found(change: impl FnOnce(&mut Search)) -> Vec<u128> {
    let mut search = Search::default();
    change(&mut search);
    let found = search.run(&store());
    found.traces.iter().map(|it| it.id).collect()
}

#[test]
fn each_condition_on_a_trace_narrows_the_search() {
    assert_eq!(found(|_| {}), [4, 3, 2, 1]);
    assert_eq!(found(|it| it.order = Order::Slowest), [2, 3, 1, 4]);
    assert_eq!(found(|it| it.service = "shop".into()), [4, 3, 2, 1]);
    assert!(found(|it| it.service = "other".into()).is_empty());
    assert_eq!(found(|it| it.status = Status::Ok), [4, 2, 1]);
    assert_eq!(found(|it| it.status = Status::Error), [3]);
    assert_eq!(found(|it| it.status = Status::Class(4)), [2]);
    assert_eq!(found(|it| it.status = Status::Code(200)), [4, 1]);
    assert_eq!(found(|it| it.route = "ORDERS".into()), [2, 1]);
    assert_eq!(found(|it| it.method = "get".into()), [4, 3, 2, 1]);
    assert!(found(|it| it.version = "1.3".into()).is_empty());
    assert_eq!(found(|it| it.duration = 5 * MS..=20 * MS), [3, 1]);
    assert_eq!(found(|it| it.start = 2000 * MS..=3000 * MS), [3, 2]);
    assert!(found(|it| it.min_spans = 3).is_empty());
    assert_eq!(found(|it| it.text = "O-2".into()), [2]);
    assert_eq!(found(|it| it.text = format!("{:032x}", 3)), [3]);
}

#[test]
fn one_span_fulfils_all_conditions_on_spans() {
    let by_span = |change: fn(&mut SpanSearch)| found(|it| change(&mut it.span));
    assert_eq!(by_span(|it| it.name = "load order".into()), [4, 3, 2, 1]);
    assert!(by_span(|it| it.name = "load".into()).is_empty());
    assert_eq!(
        by_span(|it| it.attributes = vec![("order.id".into(), "o-3".into())]),
        [3]
    );
    assert_eq!(
        by_span(|it| it.attributes = vec![("error".into(), "true".into())]),
        [3]
    );
    let resource =
        |it: &mut SpanSearch| it.attributes = vec![("service.name".into(), "shop".into())];
    assert_eq!(by_span(resource), [4, 3, 2, 1]);
    let quick = |it: &mut SpanSearch| {
        it.name = "load order".into();
        it.duration = 0..=4 * MS;
    };
    assert_eq!(by_span(quick), [4, 1]);
    let of_two = |it: &mut SpanSearch| {
        it.name = "load order".into();
        it.attributes = vec![("http.request.method".into(), "GET".into())];
    };
    assert!(by_span(of_two).is_empty());
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    for order in [Order::Newest, Order::Slowest] {
        let whole = found(|it| it.order = order);
        let store = store();
        let mut ids = Vec::new();
        let mut search = Search {
            order,
            limit: 3,
            ..Search::default()
        };
        loop {
            let page = search.run(&store);
            assert_eq!(page.total, 4);
            ids.extend(page.traces.iter().map(|it| it.id));
            search.after = page.next;
            if search.after.is_none() {
                break;
            }
        }
        assert_eq!(ids, whole);
    }
}

#[test]
fn a_part_is_found_in_any_case() {
    assert!(contains(b"a Name", "NAME"));
    assert!(contains(b"", ""));
    assert!(!contains(b"nam", "name"));
    assert!(contains("größe".as_bytes(), "größe"));
}
