//! Traces that come in: the formats of `OTEL_PROPAGATORS`, and headers as no
//! client's library would send them.

use fanlight_runner::traceresponse::TraceResponse;
use fanlight_tests::client::{raw, trace_of};
use fanlight_tests::collected::CollectedSpan;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{FAULTS, PLAIN, version};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::program::Program;
use serde_json::json;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

async fn host(collector: &Collector, vars: &[(&str, &str)]) -> RunningHost {
    let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())];
    all.extend(vars);
    TestHost::serving(PLAIN).exporting(&all).start().await
}

/// Sends lines of a head as they are; gives back the answer.
async fn ask(host: &RunningHost, lines: &[u8]) -> String {
    let mut request = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n".to_vec();
    request.extend_from_slice(lines);
    request.extend_from_slice(b"\r\n");
    let answer = raw(host.address, &request).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The trace that an answer names, in full.
fn named(answer: &str) -> TraceResponse {
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("traceresponse: "));
    assert!(line.is_some(), "no trace in {answer}");
    line.unwrap().parse().unwrap()
}

/// Sends lines of a head as they are; gives back the span of the request.
async fn span(collector: &Collector, host: &RunningHost, lines: &[u8]) -> CollectedSpan {
    let own = named(&ask(host, lines).await);
    collector.span(|span| span.span_id == own.span_id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_in_the_list_is_read_and_no_other() {
    let w3c = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n");
    let b3 = format!("b3: {TRACE}-{SPAN}-1\r\n");
    let multi = format!("X-B3-TraceId: {TRACE}\r\nX-B3-SpanId: {SPAN}\r\nX-B3-Sampled: 1\r\n");
    let jaeger = format!("uber-trace-id: {TRACE}:{SPAN}:0:1\r\n");
    let all = [&w3c, &b3, &multi, &jaeger];
    for (list, read) in [
        ("", vec![&w3c]),
        ("tracecontext", vec![&w3c]),
        ("b3", vec![&b3, &multi]),
        ("b3multi", vec![&b3, &multi]),
        ("B3, tracecontext", vec![&w3c, &b3, &multi]),
        ("baggage", vec![]),
        ("none", vec![]),
    ] {
        let collector = Collector::start().await;
        let host = host(&collector, &[("OTEL_PROPAGATORS", list)]).await;
        for lines in all {
            let span = span(&collector, &host, lines.as_bytes()).await;
            let is_below = span.trace_id == TRACE;
            assert_eq!(is_below, read.contains(&lines), "{list}: {lines}");
            let parent = is_below.then_some(SPAN);
            assert_eq!(span.parent_span_id.as_deref(), parent, "{list}: {lines}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_as_no_library_sends_them_are_read_strictly() {
    let collector = Collector::start().await;
    let host = host(&collector, &[]).await;
    let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n");
    let long = "0".repeat(20_000);
    for (lines, is_below) in [
        (parent.clone().into_bytes(), true),
        (parent.to_uppercase().into_bytes(), false),
        (
            format!("TraceParent:\t00-{TRACE}-{SPAN}-01 \t\r\n").into_bytes(),
            true,
        ),
        (format!("{parent}{parent}").into_bytes(), false),
        (format!("{parent}x: y\r\n{parent}").into_bytes(), false),
        ([parent.trim_end().as_bytes(), b"\xff\r\n"].concat(), false),
        (
            format!("traceparent: 00-{TRACE}-{SPAN}-01{long}\r\n").into_bytes(),
            false,
        ),
        (
            format!("traceparent: 01-{TRACE}-{SPAN}-01-{long}\r\n").into_bytes(),
            true,
        ),
        (b"traceparent:\r\n".to_vec(), false),
    ] {
        let span = span(&collector, &host, &lines).await;
        let head = String::from_utf8_lossy(&lines[..lines.len().min(160)]).into_owned();
        assert_eq!(span.trace_id == TRACE, is_below, "{head:?}");
    }
    // A folded line would be read as one by some, and as two by others.
    let folded = format!("traceparent: 00-{TRACE}-\r\n {SPAN}-01\r\n");
    let answer = ask(&host, folded.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracestate_is_joined_and_shortened_and_a_bad_member_costs_itself_alone() {
    let collector = Collector::start().await;
    let host = host(&collector, &[]).await;
    let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n");
    let many: Vec<_> = (0..33).map(|n| format!("k{n}=v")).collect();
    let long = format!("long={}", "v".repeat(250));
    let longs: Vec<_> = (0..5)
        .map(|n| long.replace("long", &format!("long{n}")))
        .collect();
    for (lines, expected) in [
        (
            b"tracestate: a=1\r\nTraceState:b=2 ,,\r\n".to_vec(),
            "a=1,b=2".to_owned(),
        ),
        (
            format!("tracestate: {}\r\n", many[..32].join(",")).into_bytes(),
            many[..32].join(","),
        ),
        (
            format!("tracestate: {}\r\n", many.join(",")).into_bytes(),
            String::new(),
        ),
        (
            b"tracestate: a=1\r\ntracestate: b=\xc3\xa9\r\n".to_vec(),
            "a=1".to_owned(),
        ),
        (
            b"tracestate: a=1\r\ntracestate: b\r\n".to_vec(),
            "a=1".to_owned(),
        ),
        (
            b"tracestate: foo=1,foo@@bar=1,foo=1\r\n".to_vec(),
            "foo=1,foo@@bar=1,foo=1".to_owned(),
        ),
        // 1,024 bytes are handed on; long members are the first to go.
        (
            format!("tracestate: {},z=1\r\n", longs.join(",")).into_bytes(),
            format!("{},z=1", longs[..3].join(",")),
        ),
    ] {
        let span = span(&collector, &host, &[parent.as_bytes(), &lines].concat()).await;
        assert_eq!(span.trace_id, TRACE);
        assert_eq!(
            span.trace_state,
            expected,
            "{}",
            String::from_utf8_lossy(&lines)
        );
    }
    // Without its parent it says nothing.
    let alone = span(&collector, &host, b"tracestate: a=1\r\n").await;
    assert_eq!(
        (alone.trace_state.as_str(), &alone.parent_span_id),
        ("", &None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_trace_says_that_its_id_is_random_and_others_are_not_changed() {
    let collector = Collector::start().await;
    let host = host(&collector, &[]).await;
    for (parent, flags) in [
        (String::new(), "-03"),
        (format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n"), "-01"),
        (format!("traceparent: 00-{TRACE}-{SPAN}-03\r\n"), "-03"),
        (format!("traceparent: 00-{TRACE}-{SPAN}-02\r\n"), "-02"),
        (format!("traceparent: 00-{TRACE}-{SPAN}-00\r\n"), "-00"),
        (format!("traceparent: 00-{TRACE}-{SPAN}-fd\r\n"), "-01"),
    ] {
        let answer = ask(&host, parent.as_bytes()).await;
        let mut lines = answer.lines();
        let line = lines.find(|line| line.starts_with("traceresponse: "));
        assert!(line.unwrap().ends_with(flags), "{parent}: {answer}");
    }
    let span = span(&collector, &host, b"").await;
    assert_eq!(span.flags & 0xff, 0x03);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_decide_on_the_sampling_without_a_span() {
    let collector = Collector::start().await;
    let host = host(&collector, &[("OTEL_PROPAGATORS", "b3")]).await;
    for lines in ["b3: 0\r\n", "x-b3-sampled: 0\r\n"] {
        let unsampled = named(&ask(&host, lines.as_bytes()).await);
        assert!(!unsampled.sampled, "{lines}");
    }
    let span = span(&collector, &host, b"b3: 1\r\n").await;
    assert_eq!(span.parent_span_id, None);
    // It came last, so those before it would be here.
    assert_eq!(collector.spans().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_leave_the_sampling_to_this_server() {
    let lines = format!("b3: {TRACE}-{SPAN}\r\n");
    for (sampler, sampled) in [
        ("parentbased_always_on", true),
        ("parentbased_always_off", false),
    ] {
        let collector = Collector::start().await;
        let vars = [("OTEL_PROPAGATORS", "b3"), ("OTEL_TRACES_SAMPLER", sampler)];
        let host = host(&collector, &vars).await;
        let own = named(&ask(&host, lines.as_bytes()).await);
        assert_eq!((own.trace_id.as_str(), own.sampled), (TRACE, sampled));
        if sampled {
            let span = collector.span(|span| span.span_id == own.span_id).await;
            assert_eq!(span.parent_span_id.as_deref(), Some(SPAN));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_in_the_trace_of_its_swap_whatever_is_propagated() {
    for list in ["none", "b3"] {
        let collector = Collector::start().await;
        let vars = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            ("OTEL_PROPAGATORS", list),
        ];
        let host = TestHost::serving(FAULTS)
            .exporting(&vars)
            .with(|host| host.probe = Some("/version".into()))
            .start()
            .await;
        let swapped = host.put(version(2)).await;
        assert_eq!(swapped.status, 200, "{swapped:?}");
        let trace = trace_of(&swapped).trace_id;
        let probe = collector
            .span(|span| span.trace_id == trace && span.name == "probe")
            .await;
        let asked = collector
            .span(|span| span.parent_span_id.as_ref() == Some(&probe.span_id))
            .await;
        assert_eq!(asked.attribute("url.path"), json!("/version"), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_that_nobody_knows_is_warned_about_and_the_others_hold() {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", PLAIN.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("OTEL_PROPAGATORS", "xray,jaeger,b3")
        .serve()
        .await;
    let said = program.said();
    for left_out in ["xray", "jaeger"] {
        let warning =
            format!("OTEL_PROPAGATORS={left_out}: not supported; left out. Supported are");
        assert!(said.contains(&warning), "{said}");
    }
    let ask = program.get("/").header("b3", &format!("{TRACE}-{SPAN}-1"));
    assert_eq!(trace_of(&ask.send().await).trace_id, TRACE);
}
