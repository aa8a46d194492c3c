//! How spans of the crate `tracing` turned out, and when they ended.

use std::time::Duration;

use fanlight_runner::span::Status;
use serde_json::json;

use crate::contract::Trace;
use crate::tracing_crate::serving;

#[tokio::test(flavor = "multi_thread")]
async fn what_fields_say_of_the_outcome_counts_more_than_events_and_takes_no_word_away() {
    let (collector, host) = serving().await;
    for target in ["/statuses", "/statuses?events=logs"] {
        let trace = Trace::of(&collector, host.get(target), 4).await;
        for (name, status, message) in [
            ("coded_later", Status::Error, "upstream timed out"),
            ("described", Status::Error, "refused"),
            ("fine", Status::Ok, ""),
        ] {
            let span = trace.named(name);
            let found = (span.status, &*span.status_message);
            assert_eq!(found, (status, message), "{target}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_events_own_level_and_target_are_kept() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/own-names"), 2).await;
    let event = trace.named("eventful").event("battery low");
    let expected = json!({"level": 5, "target": "there"});
    assert_eq!(json!(event.attributes), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_ended_when_it_was_left_though_one_below_it_goes_on() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/left"), 3).await;
    trace.demand_parents([("caller", ""), ("goes_on", "caller")]);
    let [caller, goes_on] = ["caller", "goes_on"].map(|name| trace.named(name));
    let later = goes_on.end_unix_nanos - caller.end_unix_nanos;
    // It slept for twice as long after that.
    assert!(Duration::from_nanos(later) > Duration::from_millis(25));
    assert!(caller.end_unix_nanos >= caller.start_unix_nanos);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_outlives_its_turns_stays_current_until_it_is_dropped() {
    let (collector, host) = serving().await;
    let trace = Trace::of(&collector, host.get("/held"), 7).await;
    trace.demand_parents([
        ("work", ""),
        ("work_child", "work"),
        ("after_work", ""),
        ("given_back", ""),
        ("under_given_back", "given_back"),
        ("after", ""),
    ]);
}
