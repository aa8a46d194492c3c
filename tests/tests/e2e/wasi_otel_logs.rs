//! Log records by the second door, `wasi:otel/logs`.

use fanlight_tests::client::trace_of;
use serde_json::json;

use crate::wasi_otel_tracing::{demand_dropped, wasi_otel, wasi_otel_with};

/// The example's own point in time, in nanoseconds since 1970.
const FIXED: u64 = 1_700_000_000_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_record_keeps_all_that_was_said_and_the_rest_is_the_hosts_to_know() {
    let (collector, host) = wasi_otel().await;
    let answer = host.get("/logs").send().await;
    assert_eq!(answer.status, 200);
    let trace = trace_of(&answer);
    let mut logs = collector.logs(&trace.trace_id, 3).await;
    // Records of several libraries come in any order.
    logs.sort_by_key(|log| std::cmp::Reverse(log.severity));
    let [full, within, bare] = &logs[..] else {
        panic!("{logs:#?}")
    };

    assert_eq!((full.severity, &*full.severity_text), (14, "loud"));
    assert_eq!(full.times, (FIXED + 1_000_000, FIXED + 2_000_000));
    let body = json!({"text": "a", "list": [1, 2.5, [true]], "none": "null"});
    assert_eq!(full.body, body);
    let attributes = json!({"user": {"id": 7}, "bytes": {"bytes": [1, 2, 3]}});
    assert_eq!(json!(full.attributes), attributes);
    assert_eq!(full.event_name, "order.placed");
    assert_eq!((&*full.span_id, full.flags), ("00000000000000ab", 1));
    assert_eq!(full.scope, "by-hand");
    // The component's own words on what it is do not make it another.
    assert_eq!(full.resource["service.name"], json!("under-test"));

    assert_eq!((within.severity, &*within.severity_text), (9, "INFO"));
    assert_eq!(within.body, json!("not JSON"));
    assert_eq!(within.span_id, "0000000000000010");
    assert_eq!(within.scope, "fanlight.guest");
    assert_eq!(within.times.0, 0);
    assert!(within.times.1 > FIXED);

    assert_eq!((bare.severity, &*bare.severity_text), (0, ""));
    assert_eq!(bare.body, json!(null));
    assert_eq!(bare.span_id, trace.span_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nests_too_deep_is_a_text() {
    let (collector, host) = wasi_otel().await;
    let text = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (depth, body) in [
        (2, json!([[]])),
        (17, json!(text(17))),
        (1_000_000, json!("[".repeat(16 * 1024))),
    ] {
        let answer = host.get(&format!("/deep-log?depth={depth}")).send().await;
        assert_eq!(answer.status, 200, "{depth}");
        let logs = collector.logs(&trace_of(&answer).trace_id, 1).await;
        assert_eq!(logs[0].body, body, "{depth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_in_the_budget_of_the_first_door() {
    let (collector, host) =
        wasi_otel_with(|host| host.guests(|limits| limits.log_records = 2)).await;
    let answer = host.get("/logs").send().await;
    assert_eq!(answer.status, 200);
    collector.logs(&trace_of(&answer).trace_id, 2).await;
    demand_dropped(&collector, "log_record", 1.0).await;
}
