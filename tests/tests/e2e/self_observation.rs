//! What the host measures of itself: the instances, and what the components in
//! them take, as metrics and on their spans.

use std::num::NonZeroU32;
use std::time::Duration;

use fanlight_tests::client::trace_of;
use fanlight_tests::collected::{CollectedPoint, CollectedSpan};
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;

const BUSY: &str = "fanlight.guest.busy.duration";
const CPU: &str = "fanlight.guest.cpu.duration";
const INSTANTIATE: &str = "fanlight.guest.instantiate.duration";
const MEMORY: &str = "fanlight.guest.memory.peak";
const MIB: i64 = 1024 * 1024;

async fn faults(change: impl FnOnce(TestHost) -> TestHost) -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = change(TestHost::serving(FAULTS)).exporting_to(&collector);
    (collector, host.start().await)
}

/// Asks for a target and gives back its server span.
async fn asked(collector: &Collector, host: &RunningHost, target: &str) -> CollectedSpan {
    let trace = trace_of(&host.get(target).send().await);
    collector.span(|span| span.span_id == trace.span_id).await
}

fn seconds(span: &CollectedSpan, key: &str) -> f64 {
    let value = span.attribute(&format!("fanlight.guest.{key}"));
    let value = value.as_f64().unwrap();
    assert!(value > 0.0, "{key}");
    value
}

fn peak(span: &CollectedSpan) -> i64 {
    span.attribute(MEMORY).as_i64().unwrap()
}

/// The point of a metric without attributes, once `enough` says yes to it.
async fn point(
    collector: &Collector,
    name: &str,
    enough: impl Fn(&CollectedPoint) -> bool,
) -> CollectedPoint {
    let mut points = collector.points(name, |points| enough(&points[0])).await;
    assert_eq!(points.len(), 1, "{points:#?}");
    assert!(points[0].attributes.is_empty(), "{points:#?}");
    points.remove(0)
}

async fn is_at(collector: &Collector, name: &str, value: f64) {
    point(collector, name, |point| point.value == value).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_tells_what_its_component_took_and_waiting_is_not_busy() {
    let (collector, host) = faults(|host| host).await;
    let span = asked(&collector, &host, "/sleep?ms=300").await;
    let busy = seconds(&span, "busy_time");
    // It slept in between, however long all of it took.
    let waited = span.duration().as_secs_f64() - busy - seconds(&span, "instantiate_time");
    assert!(waited >= 0.299, "{span:#?}");
    let pages = peak(&span) / (64 * 1024);
    assert_eq!(peak(&span), pages * 64 * 1024);
    assert!((64 * 1024..MIB).contains(&peak(&span)), "{}", peak(&span));
}

#[tokio::test(flavor = "multi_thread")]
async fn components_that_are_ended_are_measured_as_well() {
    let (collector, host) =
        faults(|host| host.requests(|limits| limits.request_timeout = Duration::from_millis(500)))
            .await;
    let looped = asked(&collector, &host, "/loop").await;
    assert_eq!(looped.attribute("error.type"), json!("timeout"));
    // A tick of the engine at least, as it goes on until it is stopped.
    assert!(seconds(&looped, "busy_time") > 0.001, "{looped:#?}");
    let greedy = asked(&collector, &host, "/memory").await;
    assert_eq!(greedy.attribute("error.type"), json!("trap"));
    // All that it may have, but for less than the megabyte it asked for next.
    assert!(
        (62 * MIB..=64 * MIB).contains(&peak(&greedy)),
        "{greedy:#?}"
    );
    // The metrics have the same of both, for neither had an answer to outlive.
    let spans = [&looped, &greedy];
    for (name, key) in [(BUSY, "busy_time"), (INSTANTIATE, "instantiate_time")] {
        let point = point(&collector, name, |point| point.count == 2).await;
        let sum: f64 = spans.iter().map(|span| seconds(span, key)).sum();
        assert!(
            (point.value - sum).abs() < 1e-9,
            "{name}: {} {sum}",
            point.value
        );
        assert_eq!((point.kind, point.unit.as_str()), ("histogram", "s"));
        let (least, most) = (point.bounds[0], *point.bounds.last().unwrap());
        assert!(least <= 1e-5 && most >= 10.0, "{:?}", point.bounds);
    }
    let point = point(&collector, MEMORY, |point| point.count == 2).await;
    let sum: i64 = spans.iter().map(|span| peak(span)).sum();
    assert_eq!(
        (json!(point.value), point.unit.as_str()),
        (json!(sum as f64), "By")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_goes_on_is_measured_to_its_end() {
    let (collector, host) =
        faults(|host| host.requests(|limits| limits.linger = Duration::from_millis(300))).await;
    let span = asked(&collector, &host, "/late?ms=60000").await;
    let known = seconds(&span, "busy_time");
    let point = point(&collector, BUSY, |point| point.count == 1).await;
    // It began its span and its sleep after the answer.
    assert!(point.value >= known, "{} {known}", point.value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_sampled_counts_in_the_metrics_and_one_without_instance_does_not() {
    let (collector, host) = faults(|host| host).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let answer = host
        .get("/counter")
        .header("traceparent", parent)
        .send()
        .await;
    assert_eq!(answer.status, 200);
    let refused = host
        .get("/counter")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .send()
        .await;
    assert_eq!(refused.status, 501);
    let refused = trace_of(&refused);
    let span = collector.span(|span| span.span_id == refused.span_id).await;
    let said = span
        .attributes
        .keys()
        .filter(|key| key.starts_with("fanlight."));
    assert_eq!(said.count(), 0, "{span:#?}");
    host.stop().await;
    for name in [BUSY, INSTANTIATE, MEMORY] {
        let last = point(&collector, name, |_| true).await;
        assert_eq!(last.count, 1, "{name}");
    }
    assert_eq!(collector.spans().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_time_is_measured_for_as_many_as_was_asked() {
    for (period, samples) in [(1, Some(20)), (0, None), (4, Some(0))] {
        let (collector, host) = faults(|host| {
            host.requests(|limits| limits.cpu_sample_period = NonZeroU32::new(period))
        })
        .await;
        let mut sampled = 0;
        for _ in 0..20 {
            let trace = trace_of(&host.get("/counter").send().await);
            let id = u64::from_str_radix(&trace.span_id, 16).unwrap();
            sampled += u64::from(id.is_multiple_of(4));
        }
        // What is pushed at the end holds all.
        host.stop().await;
        let points = collector.all_points();
        let cpu = points.iter().rfind(|point| point.name == CPU);
        let busy = points.iter().rfind(|point| point.name == BUSY).unwrap();
        assert_eq!(busy.count, 20);
        let expected = match samples {
            Some(0) => Some(sampled).filter(|count| *count > 0),
            samples => samples,
        };
        assert_eq!(cpu.map(|point| point.count), expected, "{period}");
        if let Some(cpu) = cpu {
            assert!(cpu.value > 0.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_told_that_live_and_that_are_waited_for() {
    let (collector, host) = faults(|host| {
        host.requests(|limits| {
            limits.max_instances = 2.try_into().unwrap();
            limits.queue_timeout = Duration::from_secs(60);
            limits.linger = Duration::from_secs(60);
        })
        .server(|limits| limits.shutdown_grace = Duration::from_millis(300))
    })
    .await;
    is_at(&collector, "fanlight.instances.limit", 2.0).await;
    is_at(&collector, "fanlight.instances.live", 0.0).await;
    // One goes on after its answer, one before it.
    assert_eq!(host.get("/late?ms=600000").send().await.status, 200);
    is_at(&collector, "fanlight.instances.live", 1.0).await;
    let asleep = tokio::spawn(host.get("/sleep?ms=600000").send());
    is_at(&collector, "fanlight.instances.live", 2.0).await;
    let mut waiting = Vec::new();
    for count in [1.0, 2.0] {
        waiting.push(tokio::spawn(host.get("/counter").send()));
        is_at(&collector, "fanlight.instances.waiting", count).await;
    }
    host.stop().await;
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 503);
    }
    assert_eq!(asleep.await.unwrap().status, 503);
    let refused = collector
        .points("fanlight.instances.refused", |_| true)
        .await;
    let [refused] = &refused[..] else {
        panic!("{refused:#?}")
    };
    // The one that slept had its instance.
    assert_eq!(
        json!(refused.attributes),
        json!({"error.type": "unavailable"})
    );
    assert_eq!(refused.value, 2.0);
    is_at(&collector, "fanlight.instances.waiting", 0.0).await;
    is_at(&collector, "fanlight.instances.live", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_find_no_instance_in_time_are_counted() {
    let (collector, host) = faults(|host| {
        host.requests(|limits| {
            limits.max_instances = 1.try_into().unwrap();
            limits.queue_timeout = Duration::from_millis(50);
            limits.linger = Duration::from_secs(60);
        })
    })
    .await;
    assert_eq!(host.get("/late?ms=600000").send().await.status, 200);
    for _ in 0..3 {
        assert_eq!(host.get("/counter").send().await.status, 503);
    }
    let three = |points: &[CollectedPoint]| {
        let attributes = json!({"error.type": "overloaded"});
        json!(points[0].attributes) == attributes && points[0].value == 3.0
    };
    collector.points("fanlight.instances.refused", three).await;
}
