//! A host that no guest can hurt: whatever a guest does, memory stays bounded,
//! the outcome is the right one, and the next request is served.
//!
//! Sizes are such that a debug build takes seconds; the full ones (100,000
//! spans with 1 MB each, 1 GB of logs and of lines) are the benchmark's.

use std::time::{Duration, Instant};

use fanlight_runner::client::Answer;
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedSpan;
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::program::{Program, ServingProgram};
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

const MIB: u64 = 1024 * 1024;

/// The real program with a guest that does its worst, and a collector.
struct Victim {
    program: ServingProgram,
    collector: Collector,
}

impl Victim {
    async fn start() -> Self {
        Self::with("20s").await
    }

    async fn with(request_timeout: &str) -> Self {
        let collector = Collector::start().await;
        let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
            .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
            .env("FANLIGHT_MAX_INSTANCES", "80")
            .env("FANLIGHT_REQUEST_TIMEOUT", request_timeout)
            .env("OTEL_SDK_DISABLED", "")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
            .serve()
            .await;
        let victim = Self { program, collector };
        // What the first request takes is no guest's doing.
        victim.demand_alive().await;
        victim
    }

    async fn demand_alive(&self) {
        let answer = self.program.get("/counter").send().await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"1\n"[..]));
    }

    /// Asks for `target`, and demands that the program's memory did not grow by
    /// more than `mib` and that it serves on.
    async fn suffer(&self, target: &str, mib: u64) -> Answer {
        let before = self.program.peak_rss_bytes();
        let answer = self.program.get(target).send().await;
        let grown = self.program.peak_rss_bytes().saturating_sub(before) / MIB;
        assert!(grown <= mib, "{target} grew the host by {grown} MiB");
        self.demand_alive().await;
        answer
    }

    /// Demands a trap whose log line says `why`.
    async fn demand_trap(&self, target: &str, mib: u64, why: &str) {
        let answer = self.suffer(target, mib).await;
        assert_eq!(answer.status, 500, "{target}");
        let line = format!(
            "request {} failed: the guest trapped",
            trace_of(&answer).trace_id
        );
        let said = eventually("the line about the trap", || {
            let said = self.program.said();
            said.split_once(&line).map(|(_, rest)| rest.to_owned())
        })
        .await;
        let reason = said.lines().next().unwrap_or_default();
        assert!(reason.contains(why), "{target}: {reason}");
    }

    async fn server_span(&self, answer: &Answer) -> CollectedSpan {
        let id = trace_of(answer).span_id;
        self.collector.span(|span| span.span_id == id).await
    }

    /// Waits until the process's count of what was dropped has that many.
    async fn demand_dropped(&self, item: &str, at_least: f64) {
        self.collector
            .points("fanlight.telemetry.dropped", |points| {
                let of_item = points
                    .iter()
                    .filter(|it| it.attributes["item"] == json!(item));
                of_item.map(|point| point.value).sum::<f64>() >= at_least
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_guests_that_loop_and_as_many_asleep_end_at_their_deadline() {
    for target in ["/loop", "/sleep?ms=600000"] {
        let victim = Victim::with("1s").await;
        let begun = Instant::now();
        let mut requests = JoinSet::new();
        for _ in 0..64 {
            requests.spawn(victim.program.get(target).send());
        }
        // Others are served meanwhile.
        victim.demand_alive().await;
        for answer in requests.join_all().await {
            assert_eq!(answer.status, 504, "{target}");
        }
        // They were not run one after the other.
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
        victim.demand_alive().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_recursion_without_end_stay_within_an_instances_bound() {
    let victim = Victim::start().await;
    // The instance's 64 MiB, and what else a trap takes the first time.
    victim.demand_trap("/memory", 96, "unreachable").await;
    for _ in 0..3 {
        victim.demand_trap("/memory", 16, "unreachable").await;
        victim
            // Its own stack of 64 KiB ends before the one that the host gives it.
            .demand_trap("/recursion", 16, "out of bounds memory access")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_with_large_attributes_succeed_and_what_is_over_the_bounds_is_counted() {
    let victim = Victim::start().await;
    // At full size 100,000 with a megabyte each.
    let answer = victim
        .suffer("/flood/spans?count=3000&bytes=100000", 64)
        .await;
    assert_eq!(answer.status, 200);
    let server = victim.server_span(&answer).await;
    let dropped = server.attribute("fanlight.spans.dropped").as_u64().unwrap();
    assert!((2_000..3_000).contains(&dropped), "{dropped}");
    let kept = 3_000 - usize::try_from(dropped).unwrap();
    let trace = trace_of(&answer).trace_id;
    let spans = victim.collector.trace(&trace, kept + 1).await;
    let texts = spans.iter().filter_map(|span| span.attributes.get("text"));
    let lengths: Vec<_> = texts.map(|text| text.as_str().unwrap().len()).collect();
    assert!(
        lengths.iter().all(|length| *length == 16 * 1024),
        "{lengths:?}"
    );
    // As many as the request's 8 MiB hold.
    assert!((400..=512).contains(&lengths.len()), "{}", lengths.len());
    victim.demand_dropped("span", 2_000.0).await;
    victim.demand_dropped("attribute", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_held_open_with_events_full_of_attributes_take_no_more_than_their_room() {
    let victim = Victim::start().await;
    // Without the bound on their sum, 1,000 * 10 * 16 * 16 KiB: 2.5 GiB.
    let target = "/flood/open-spans?count=1000&events=10&bytes=16384";
    let answer = victim.suffer(target, 64).await;
    assert_eq!(answer.status, 200);
    victim.demand_dropped("event", 1.0).await;
    victim.demand_dropped("attribute", 1_000.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_are_bounded_in_number_and_in_what_they_keep() {
    let victim = Victim::start().await;
    // A handle of a span over the budget keeps a context, not 2 KB of state.
    let answer = victim
        .suffer("/flood/handles?count=5000&bytes=900", 64)
        .await;
    assert_eq!(&answer.body[..], b"5000\n");
    for many in [
        "/flood/handles?count=200000",
        "/flood/scopes?count=200000",
        "/hoard/timers?count=200000",
    ] {
        victim.demand_trap(many, 32, "handle limit exceeded").await;
    }
    let answer = victim.suffer("/flood/scopes?count=15000", 16).await;
    assert_eq!(&answer.body[..], b"left\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_from_deep_down_are_bounded() {
    let victim = Victim::start().await;
    let answer = victim
        .suffer("/flood/exceptions?count=2000&depth=500", 32)
        .await;
    assert_eq!(&answer.body[..], b"recorded\n");
    victim.demand_dropped("event", 1_872.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_lines_without_end_are_counted_and_not_kept() {
    let victim = Victim::start().await;
    // At full size a gigabyte each.
    let answer = victim
        .suffer("/flood/logs?count=2000&bytes=16384", 64)
        .await;
    assert_eq!(&answer.body[..], b"logged\n");
    victim.demand_dropped("log_record", 1_000.0).await;
    let answer = victim.suffer("/flood/print?bytes=33554432", 64).await;
    assert_eq!(&answer.body[..], b"printed\n");
    victim.demand_dropped("log_record", 60_000.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_and_instruments_are_bounded_for_all_guests_together() {
    let victim = Victim::start().await;
    for target in [
        "/flood/series?count=15000&bytes=10",
        "/flood/series?count=5000&bytes=16000",
    ] {
        let answer = victim.suffer(target, 64).await;
        assert_eq!(&answer.body[..], b"counted\n");
    }
    victim.demand_dropped("series", 5_000.0).await;
    // The sum loses nothing: what found no room is in the overflow.
    victim
        .collector
        .points("flood.series", |points| {
            points.iter().map(|point| point.value).sum::<f64>() >= 20_000.0
        })
        .await;
    let answer = victim.suffer("/flood/instruments?count=2000", 32).await;
    assert_eq!(&answer.body[..], b"999\n");
    victim.demand_dropped("instrument", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_handles_hold_of_the_hosts_memory_is_bounded_in_sum() {
    let victim = Victim::start().await;
    let why = "handles hold more than 32 MiB";
    // Each of them well within its own bound.
    victim
        .demand_trap("/hoard/fields?count=50000&bytes=60000", 64, why)
        .await;
    victim
        .demand_trap("/hoard/requests?count=5000&bytes=1000000", 64, why)
        .await;
    victim
        .demand_trap("/hoard/bodies?count=2000", 64, why)
        .await;
    let few = victim.suffer("/hoard/bodies?count=100", 32).await;
    assert_eq!(&few.body[..], b"100\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_timers_and_random_bytes_are_bounded() {
    let victim = Victim::start().await;
    for (target, why) in [
        (
            "/hoard/headers?count=100000&bytes=10",
            "size of fields exceeds limit",
        ),
        (
            "/hoard/headers?count=2&bytes=1000000",
            "size of fields exceeds limit",
        ),
        (
            "/hoard/headers?count=200&bytes=100000",
            "too much data is being copied",
        ),
    ] {
        victim.demand_trap(target, 64, why).await;
    }
    let answer = victim.suffer("/hoard/timers?count=9000", 64).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"1\n"[..]));
    let answer = victim.suffer("/hoard/random?bytes=1048576", 16).await;
    assert_eq!(&answer.body[..], b"1048576\n");
    for bytes in ["1048577", "18446744073709551615"] {
        let target = format!("/hoard/random?bytes={bytes}");
        victim.demand_trap(&target, 16, "exceeds limit").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_after_the_answer_is_told_by_the_log_and_a_counter() {
    let victim = Victim::start().await;
    for (method, code) in [
        (Method::GET, 200),
        (Method::HEAD, 200),
        (Method::GET, 204),
        (Method::GET, 304),
    ] {
        let target = format!("/trap-after-last-byte?ms=100&code={code}");
        let answer = victim
            .program
            .get(&target)
            .method(method.clone())
            .send()
            .await;
        assert_eq!(answer.status, code, "{method}");
        let line = format!(
            "request {} failed: the guest trapped",
            trace_of(&answer).trace_id
        );
        eventually("the line about the trap", || {
            victim.program.said().contains(&line).then_some(())
        })
        .await;
    }
    victim
        .collector
        .points("fanlight.guest.traps", |points| {
            points.iter().any(|point| {
                point.attributes["fanlight.phase"] == json!("after_answer") && point.value == 4.0
            })
        })
        .await;
    assert!(
        victim
            .program
            .get("/trap-after-head")
            .try_send()
            .await
            .is_err()
    );
    assert_eq!(victim.program.get("/trap").send().await.status, 500);
    for phase in ["before_head", "after_head"] {
        victim
            .collector
            .points("fanlight.guest.traps", |points| {
                let of_phase = |point: &fanlight_tests::collected::CollectedPoint| {
                    point.attributes["fanlight.phase"] == json!(phase)
                };
                points
                    .iter()
                    .any(|point| of_phase(point) && point.value == 1.0)
            })
            .await;
    }
    victim.demand_alive().await;
}
