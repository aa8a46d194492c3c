//! Headers that the server span tells because somebody asked for them.

use fanlight_server::CapturedHeaders;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{FAULTS, PLAIN};
use fanlight_tests::host::TestHost;
use http::HeaderName;
use serde_json::json;

use crate::server_span::server_span;

fn names(texts: &[&str]) -> Vec<HeaderName> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn captured_headers_are_told_with_all_their_values_and_others_are_not() {
    let collector = Collector::start().await;
    let captured = CapturedHeaders::new(
        &names(&["X-Request-Id", "x-team", "x-absent"]),
        &names(&["content-type", "traceresponse", "x-absent"]),
    );
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .requests(|limits| limits.captured_headers = captured.unwrap())
        .start()
        .await;
    // The first answer is the component's, the second the host's own.
    for (path, status) in [("/nothing", 404), ("/trap", 500)] {
        let ask = host.get(path).header("x-request-id", "id-1");
        let ask = ask.header("x-team", "a, b").header("x-team", "c");
        let answer = ask.header("authorization", "Bearer secret").send().await;
        assert_eq!(answer.status, status);
        let span = server_span(&collector, &answer).await;
        let sent = |name| json!([answer.header(name).unwrap()]);
        for (key, value) in [
            ("http.request.header.x-request-id", json!(["id-1"])),
            ("http.request.header.x-team", json!(["a, b", "c"])),
            ("http.response.header.content-type", sent("content-type")),
            ("http.response.header.traceresponse", sent("traceresponse")),
        ] {
            assert_eq!(span.attribute(key), value, "{path}: {key}");
        }
        let told = span
            .attributes
            .keys()
            .filter(|key| key.contains(".header."));
        assert_eq!(told.count(), 4, "{:?}", span.attributes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_header_is_bounded_as_any_attribute_is() {
    let collector = Collector::start().await;
    let captured = CapturedHeaders::new(&names(&["x-long"]), &[]).unwrap();
    let host = TestHost::serving(PLAIN)
        .exporting(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"),
        ])
        .requests(|limits| limits.captured_headers = captured)
        .start()
        .await;
    let answer = host
        .get("/")
        .header("x-long", &"v".repeat(5_000))
        .send()
        .await;
    let span = server_span(&collector, &answer).await;
    let told = span.attribute("http.request.header.x-long");
    assert_eq!(told, json!(["v".repeat(100)]));
}
