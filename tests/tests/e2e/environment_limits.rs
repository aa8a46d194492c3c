//! The variables that bound what is said, and those that say which traces are kept.

use std::collections::BTreeSet;

use fanlight_tests::client::trace_of;
use fanlight_tests::collected::{Attributes, CollectedSpan};
use fanlight_tests::collector::Collector;
use fanlight_tests::host::RunningHost;
use serde_json::json;

use crate::environment::host;

async fn limited(vars: &[(&str, &str)]) -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())];
    all.extend(vars);
    let host = host(&all).await;
    (collector, host)
}

/// The span of this name in the trace of an endpoint.
async fn span(
    collector: &Collector,
    host: &RunningHost,
    target: &str,
    name: &str,
) -> CollectedSpan {
    let answer = host.get(target).send().await;
    assert_eq!(answer.status, 200);
    let trace = trace_of(&answer).trace_id;
    collector
        .span(|span| span.trace_id == trace && span.name == name)
        .await
}

fn longest(attributes: &Attributes) -> usize {
    let texts = attributes.values().filter_map(|value| value.as_str());
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_so_many_on_a_span_and_the_rest_is_counted() {
    for (vars, kept) in [
        (&[("OTEL_ATTRIBUTE_COUNT_LIMIT", "4")][..], 4),
        (&[("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3")], 3),
        (
            &[
                ("OTEL_ATTRIBUTE_COUNT_LIMIT", "1"),
                ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "5"),
            ],
            5,
        ),
    ] {
        let (collector, host) = limited(vars).await;
        // It says nine, two of them at its start.
        let span = span(&collector, &host, "/attributes", "described").await;
        assert_eq!(span.attributes.len(), kept, "{vars:?}");
        assert_eq!(span.dropped.0 as usize, 9 - kept, "{vars:?}");
        assert_eq!(span.attributes["string"], json!("text"), "{vars:?}");
        // On the server span, what the host knows from the head is held to it too.
        let answer = host.get("/attributes").send().await;
        let id = trace_of(&answer).span_id;
        let server = collector.span(|span| span.span_id == id).await;
        assert!(server.dropped.0 > 0, "{vars:?}: {server:#?}");
        assert_eq!(server.attributes["http.response.status_code"], json!(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_so_long_on_a_span_in_characters_and_keys_are_whole() {
    for vars in [
        &[("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")][..],
        &[("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")],
        &[
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1"),
            ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3"),
        ],
    ] {
        let (collector, host) = limited(vars).await;
        let described = span(&collector, &host, "/attributes", "described").await;
        assert_eq!(described.attributes["string"], json!("tex"), "{vars:?}");
        assert_eq!(described.attributes["twice"], json!("sec"), "{vars:?}");
        assert_eq!(described.attributes["string_list"], json!(["a", "b"]));
        let failing = span(&collector, &host, "/exception", "failing").await;
        let exception = &failing.event("exception").attributes;
        assert_eq!(longest(exception), 3, "{exception:#?}");
        let linked = span(&collector, &host, "/links", "linked").await;
        assert_eq!(linked.links[0].attributes["reason"], json!("at "));
        // The host's own words as well.
        let answer = host.get("/nested?of=é").send().await;
        let trace = trace_of(&answer).trace_id;
        let server = collector
            .span(|span| span.trace_id == trace && span.name == "GET")
            .await;
        assert_eq!(server.attributes["url.path"], json!("/ne"), "{vars:?}");
        assert_eq!(longest(&server.attributes), 3, "{server:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_so_many_on_an_event_and_on_a_link() {
    for (vars, of_event, of_link) in [
        (&[("OTEL_ATTRIBUTE_COUNT_LIMIT", "1")][..], 1, 1),
        (&[("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "1")], 1, 1),
        (&[("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "0")], 2, 0),
        (
            &[
                ("OTEL_ATTRIBUTE_COUNT_LIMIT", "1"),
                ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "2"),
                ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "0"),
            ],
            2,
            0,
        ),
    ] {
        let (collector, host) = limited(vars).await;
        let eventful = span(&collector, &host, "/events", "eventful").await;
        assert_eq!(eventful.event("now").attributes.len(), of_event, "{vars:?}");
        let linked = span(&collector, &host, "/links", "linked").await;
        for link in &linked.links {
            assert_eq!(link.attributes.len(), of_link, "{vars:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_links_are_so_many_on_a_span() {
    let (collector, host) = limited(&[
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "1"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "1"),
    ])
    .await;
    let eventful = span(&collector, &host, "/events", "eventful").await;
    assert_eq!((eventful.events.len(), eventful.dropped.1), (1, 1));
    let linked = span(&collector, &host, "/links", "linked").await;
    assert_eq!((linked.links.len(), linked.dropped.2), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_of_log_records_have_limits_of_their_own() {
    for (vars, count, list) in [
        (&[("OTEL_ATTRIBUTE_COUNT_LIMIT", "1")][..], 1, None),
        (&[("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "1")], 1, None),
        (
            &[("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")],
            2,
            Some(json!(["a", "b"])),
        ),
        (
            &[("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "0")],
            2,
            Some(json!(["", ""])),
        ),
        (
            &[
                ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "9"),
                ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "0"),
            ],
            2,
            Some(json!(["", ""])),
        ),
    ] {
        let (collector, host) = limited(vars).await;
        let answer = host.get("/logs").send().await;
        let logs = collector.logs(&trace_of(&answer).trace_id, 7).await;
        let info = logs
            .iter()
            .find(|log| log.body == json!("an info 7"))
            .unwrap();
        assert_eq!(info.attributes.len(), count, "{vars:?}");
        assert_eq!(info.attributes.get("list").cloned(), list, "{vars:?}");
    }
}

/// Which of these requests a sampler keeps: one below a sampled parent, one
/// below one that is not, and one that begins a trace.
async fn kept(vars: &[(&str, &str)]) -> [bool; 3] {
    let (collector, host) = limited(vars).await;
    let parents = [Some("01"), Some("00"), None];
    let mut traces = Vec::new();
    for parent in parents {
        let mut ask = host.get("/nested");
        if let Some(flags) = parent {
            let parent = format!("00-{:032x}-00f067aa0ba902b7-{flags}", 0x4bf9_u64);
            ask = ask.header("traceparent", &parent);
        }
        let span = trace_of(&ask.send().await);
        traces.push((span.trace_id, span.span_id));
    }
    host.stop().await;
    let spans: BTreeSet<_> = collector
        .spans()
        .iter()
        .map(|span| (span.trace_id.clone(), span.span_id.clone()))
        .collect();
    let kept: Vec<_> = traces.iter().map(|span| spans.contains(span)).collect();
    kept.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sampler_says_which_traces_are_kept() {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    const ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
    let parent_decides = [true, false, true];
    for (vars, wanted) in [
        (&[][..], parent_decides),
        (&[(NAME, "always_on")], [true; 3]),
        (&[(NAME, "Always_Off")], [false; 3]),
        (&[(NAME, "traceidratio"), (ARG, "1")], [true; 3]),
        (&[(NAME, "traceidratio"), (ARG, "0")], [false; 3]),
        (&[(NAME, "traceidratio")], [true; 3]),
        (&[(NAME, "parentbased_always_on")], parent_decides),
        (&[(NAME, "parentbased_always_off")], [true, false, false]),
        (
            &[(NAME, "parentbased_traceidratio"), (ARG, "0.0")],
            [true, false, false],
        ),
        (
            &[(NAME, "parentbased_traceidratio"), (ARG, "7")],
            parent_decides,
        ),
        (&[(NAME, "jaeger_remote")], parent_decides),
    ] {
        assert_eq!(kept(vars).await, wanted, "{vars:?}");
    }
}
