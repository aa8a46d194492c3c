//! Nothing that the host keeps of one request is readable by the next: handles,
//! the current span, what was said and printed, budgets and bounds.
//!
//! What is in an instance itself is in `isolation.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use fanlight_runner::client::Answer;
use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::{PATIENCE, collected::CollectedSpan};
use serde_json::json;
use tokio::task::JoinSet;

/// Guests that loop or wait are cut by it.
const DEADLINE: Duration = Duration::from_secs(2);
/// The same where others wait meanwhile: it runs for them as well.
const SHARED_DEADLINE: Duration = Duration::from_secs(6);

fn faults(slots: u32) -> TestHost {
    TestHost::serving(FAULTS).requests(|limits| {
        limits.max_instances = NonZeroU32::new(slots).unwrap();
        limits.request_timeout = if slots == 1 {
            DEADLINE
        } else {
            SHARED_DEADLINE
        };
        // They wait for one another.
        limits.queue_timeout = PATIENCE;
    })
}

fn secret(n: usize) -> String {
    format!("secret-{n:06}")
}

/// What the request with the secret `n` is asked for, and its status.
fn leaving(n: usize) -> (String, u16) {
    let (how, status) = match n % 20 {
        3 | 9 | 15 => ("trap", 500),
        10 if n % 200 == 10 => ("loop", 504),
        11 if n % 200 == 11 => ("sleep", 504),
        _ => ("answer", 500),
    };
    // The guest's own status for the span is an error; the answer is not.
    let status = if how == "answer" { 200 } else { status };
    let secret = secret(n);
    (format!("/leave?secret={secret}&how={how}"), status)
}

/// What the guests have found, by kinds that differ from request to request.
#[derive(Default)]
struct Found {
    random: BTreeSet<String>,
    hashed: BTreeSet<String>,
    answers: usize,
}

impl Found {
    fn take(&mut self, answer: &Answer) {
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let [current, random, hashed, requests, others] = lines[..] else {
            unreachable!("five lines: {text}")
        };
        let own = trace_of(answer);
        // Before it has entered any, the span is that of its own request.
        assert_eq!(current, format!("{} {}", own.trace_id, own.span_id));
        assert_eq!(requests, "1", "requests that the instance has seen");
        assert_eq!(others, "", "secrets of others in its memory");
        self.random.insert(random.to_owned());
        self.hashed.insert(hashed.to_owned());
        self.answers += 1;
    }

    fn demand_random(&self) {
        assert_eq!(self.random.len(), self.answers);
        assert_eq!(self.hashed.len(), self.answers);
    }
}

/// Has so many requests leave secrets, `clients` of them at once, and looks for
/// each where it does not belong.
async fn demand_nothing_is_found(slots: u32, clients: usize, requests: usize) {
    let collector = Collector::start().await;
    let host = faults(slots).exporting_to(&collector).start().await;
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let address = host.address;
        tasks.spawn(async move {
            let mut answers = Vec::new();
            for n in (client..requests).step_by(clients) {
                let (target, status) = leaving(n);
                let answer = Ask::get(address, &target).send().await;
                assert_eq!(answer.status, status, "{target}");
                answers.push((n, answer));
            }
            answers
        });
    }
    let answers = tasks.join_all().await.concat();
    let mut found = Found::default();
    for (_, answer) in answers.iter().filter(|(_, answer)| answer.status == 200) {
        found.take(answer);
    }
    found.demand_random();
    host.stop().await;
    let secrets: BTreeMap<String, String> = answers
        .iter()
        .map(|(n, answer)| (trace_of(answer).trace_id, secret(*n)))
        .collect();
    demand_own(&collector, &secrets);
}

/// Each trace has the secret of its own request in all places, and no other.
fn demand_own(collector: &Collector, secrets: &BTreeMap<String, String>) {
    let spans = collector.spans();
    assert_eq!(spans.len(), 2 * secrets.len());
    for span in spans {
        let own = &secrets[&span.trace_id];
        assert_eq!(span.attribute("secret"), json!(own));
        let told = format!("{span:?}");
        for (at, _) in told.match_indices("secret-") {
            assert!(told[at..].starts_with(own), "not {own} alone: {told}");
        }
        if span.name == "left" {
            continue;
        }
        assert_eq!(span.name, format!("GET /leave/{own}"));
        let exceptions = span.events.iter().filter(|it| it.name == "exception");
        // The guest's own; that of a trap has what it printed, and no more.
        let traps = exceptions.filter(|it| it.attributes["exception.type"] == "trap");
        for trap in traps {
            let message = trap.attributes["exception.message"].as_str().unwrap();
            assert!(message.contains(&format!("err {own}")), "{message}");
        }
    }
    let mut printed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for log in collector.all_logs() {
        let body = log.body.as_str().unwrap().to_owned();
        if secrets.contains_key(&log.trace_id) && log.scope != "fanlight" {
            printed.entry(log.trace_id).or_default().push(body);
        }
    }
    for (trace, own) in secrets {
        let mut lines = printed.remove(trace).unwrap_or_default();
        lines.sort();
        // Lines without an end end with their request.
        assert_eq!(
            lines,
            [format!("err {own}"), format!("out {own}"), own.clone()]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_leaves_behind_is_not_found_by_the_next_in_its_slot() {
    demand_nothing_is_found(1, 1, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_requests_leave_behind_is_not_found_by_sixty_four_at_once() {
    demand_nothing_is_found(8, 64, 1_200).await;
}

/// The handles that a request was given last, by kind.
async fn held(host: &RunningHost) -> Vec<(String, u32)> {
    let answer = host.get("/handles/hold?count=20").send().await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let held: Vec<_> = text
        .lines()
        .map(|line| {
            let (kind, number) = line.split_once(' ').unwrap();
            (kind.to_owned(), number.parse().unwrap())
        })
        .collect();
    assert_eq!(held.len(), 7, "{text}");
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_of_an_earlier_request_stands_for_nothing() {
    let collector = Collector::start().await;
    let host = faults(1).exporting_to(&collector).start().await;
    for _ in 0..10 {
        for (kind, number) in held(&host).await {
            let target = format!("/handles/use?kind={kind}&number={number}");
            let answer = host.get(&target).send().await;
            assert_eq!(answer.status, 500, "{target}");
            let message = trap_message(&collector, &answer).await;
            let why = format!("unknown handle index {number}");
            assert!(message.contains(&why), "{target}: {message}");
        }
    }
    // What was forged did not count.
    let held = collector.all_points().into_iter();
    assert!(
        held.filter(|it| it.name == "held.counter")
            .all(|it| it.value == 0.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_of_a_request_that_still_runs_stands_for_nothing_elsewhere() {
    let host = faults(64).start().await;
    let held = held(&host).await;
    let mut requests = JoinSet::new();
    for (kind, number) in held.into_iter().cycle().take(640) {
        // Small numbers may be a request's own, of another kind.
        let target = format!("/handles/use?kind={kind}&number={number}");
        requests.spawn(host.get("/handles/hold?count=20").send());
        requests.spawn(host.get(&target).send());
        while requests.len() > 63 {
            demand_held_or_refused(&requests.join_next().await.unwrap().unwrap());
        }
    }
    for answer in requests.join_all().await {
        demand_held_or_refused(&answer);
    }
}

/// Whoever uses another's handle has no answer of it.
fn demand_held_or_refused(answer: &Answer) {
    let holds = answer.status == 200 && answer.body.starts_with(b"span ");
    assert!(holds || answer.status == 500, "{answer:?}");
}

async fn server_span(collector: &Collector, answer: &Answer) -> CollectedSpan {
    let own = trace_of(answer);
    collector.span(|span| span.span_id == own.span_id).await
}

async fn trap_message(collector: &Collector, answer: &Answer) -> String {
    let span = server_span(collector, answer).await;
    let message = &span.event("exception").attributes["exception.message"];
    message.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_are_whole_for_every_request() {
    for (slots, clients) in [(1, 1), (8, 64)] {
        let collector = Collector::start().await;
        let host = faults(slots)
            .guests(|limits| {
                limits.spans = 10;
                limits.log_records = 7;
                limits.telemetry_bytes = 50_000;
            })
            .exporting_to(&collector)
            .start()
            .await;
        let mut requests = JoinSet::new();
        let mut answers = Vec::new();
        let targets = [
            ("/flood/spans?count=15", 10, 0),
            // Four of 10,000 bytes fit, and what else a span takes.
            ("/flood/spans?count=8&bytes=10000", 8, 0),
            ("/flood/logs?count=12&bytes=10", 0, 7),
        ];
        for (n, (target, spans, logs)) in targets.into_iter().cycle().take(150).enumerate() {
            let request = host.get(target).send();
            requests.spawn(async move { (request.await, target, spans, logs) });
            if n + 1 == 150 || requests.len() == clients {
                answers.extend(std::mem::take(&mut requests).join_all().await);
            }
        }
        host.stop().await;
        let spans = collector.spans();
        let all_logs = collector.all_logs();
        let mut alike: BTreeMap<&str, String> = BTreeMap::new();
        for (answer, target, guest_spans, logs) in answers {
            assert_eq!(answer.status, 200, "{target}");
            let trace = trace_of(&answer).trace_id;
            let own: Vec<_> = spans.iter().filter(|it| it.trace_id == trace).collect();
            assert_eq!(own.len(), guest_spans + 1, "{target}");
            let told = all_logs.iter().filter(|it| it.trace_id == trace).count();
            assert_eq!(told, logs, "{target}");
            // What was left of the bytes is the same for each as well.
            let mut cut: Vec<_> = own.iter().map(|it| it.dropped).collect();
            cut.sort_unstable();
            let dropped = own.iter().map(|it| it.attribute("fanlight.spans.dropped"));
            let dropped: Vec<_> = dropped.filter(|it| !it.is_null()).collect();
            let outcome = format!("{cut:?} {dropped:?}");
            assert_eq!(alike.entry(target).or_insert(outcome.clone()), &outcome);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_that_one_request_has_reached_are_whole_for_the_next() {
    let collector = Collector::start().await;
    let host = faults(1).exporting_to(&collector).start().await;
    let peak = |span: &CollectedSpan| span.attribute("fanlight.guest.memory.peak");
    let small = host.get("/counter").send().await;
    let small = server_span(&collector, &small).await;
    let limit_reached = "fanlight.memory.limit_reached";
    for _ in 0..5 {
        // Memory, and what it says of it.
        let greedy = host.get("/memory").send().await;
        assert_eq!(greedy.status, 500);
        let greedy = server_span(&collector, &greedy).await;
        assert_eq!(greedy.attribute(limit_reached), json!(true));
        assert_ne!(peak(&greedy), peak(&small));
        let next = host.get("/counter").send().await;
        let next = server_span(&collector, &next).await;
        assert_eq!(next.attribute(limit_reached), json!(null));
        assert_eq!(peak(&next), peak(&small));
        // Bytes that a call may move: 8 MiB, of which each takes most.
        let target = "/flood/spans?count=1&bytes=7000000";
        assert_eq!(host.get(target).send().await.status, 200);
        // What handles may hold: 32 MiB, of which each takes more than half.
        let hoard = host.get("/hoard/bodies?count=150").send().await;
        assert_eq!(&hoard.body[..], b"150\n");
        // Handles: 20,000, of which each takes three quarters.
        let scopes = host.get("/flood/scopes?count=15000").send().await;
        assert_eq!(&scopes.body[..], b"left\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_one_request_has_used_up_is_whole_for_the_next() {
    let host = faults(1).start().await;
    for cut in ["/loop", "/sleep?ms=600000"] {
        assert_eq!(host.get(cut).send().await.status, 504);
        let half = DEADLINE.as_millis() / 2;
        let next = host.get(&format!("/sleep?ms={half}")).send().await;
        assert_eq!(&next.body[..], b"slept\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_request_changes_in_a_global_the_next_does_not_see() {
    let host = TestHost::serving(FAULTS).start().await;
    let first = host.get("/counter").send().await;
    assert_eq!(first.status, 200);
    for _ in 0..50 {
        assert_eq!(host.get("/counter").send().await.body, first.body);
    }
}
