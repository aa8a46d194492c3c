//! The contract's spans, door by door: what the showcase says and what arrives.

use std::borrow::Cow;
use std::ops::Deref;

use fanlight_runner::client::Answer;
use fanlight_runner::span::{Kind, Status};
use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collected::CollectedSpan;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::SHOWCASE;
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;

/// The showcase's own point in time, in nanoseconds since 1970.
const FIXED: u64 = 1_700_000_000_000_000_000;
/// A trace and a span of another process.
pub(crate) const REMOTE: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");

/// The trace of one request, whole.
pub(crate) struct Trace {
    pub(crate) answer: Answer,
    spans: Vec<CollectedSpan>,
}

impl Trace {
    pub(crate) async fn of(collector: &Collector, ask: Ask, count: usize) -> Self {
        let answer = ask.send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let spans = collector.trace(&trace_of(&answer).trace_id, count).await;
        Self { answer, spans }
    }

    pub(crate) fn only(&self, what: &str, is: impl Fn(&CollectedSpan) -> bool) -> &CollectedSpan {
        let found: Vec<_> = self.spans.iter().filter(|span| is(span)).collect();
        assert_eq!(found.len(), 1, "spans {what} in {:#?}", self.spans);
        found[0]
    }

    pub(crate) fn named(&self, name: &str) -> &CollectedSpan {
        self.only(name, |span| span.name == name)
    }

    pub(crate) fn server(&self) -> &CollectedSpan {
        let id = trace_of(&self.answer).span_id;
        self.only(&id, |span| span.span_id == id)
    }

    /// Demands of each named span that it hangs below another, or below the
    /// server span where that has no name.
    pub(crate) fn demand_parents<'a>(&self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, parent) in pairs {
            let above = match parent {
                "" => self.server(),
                parent => self.named(parent),
            };
            let found = self.named(name).parent_span_id.as_deref();
            assert_eq!(found, Some(above.span_id.as_str()), "{name} below {parent}");
        }
    }

    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.answer.body)
    }
}

/// The trace of an endpoint on a host of its own, which stands as long as this.
pub(crate) struct Told {
    trace: Trace,
    collector: Collector,
    _host: RunningHost,
}

impl Deref for Told {
    type Target = Trace;

    fn deref(&self) -> &Trace {
        &self.trace
    }
}

pub(crate) async fn showcase() -> (Collector, RunningHost) {
    let collector = Collector::start().await;
    let host = TestHost::serving(SHOWCASE).exporting_to(&collector);
    let host = host.start().await;
    (collector, host)
}

/// Asks for `target` and waits for its trace of `count` spans.
pub(crate) async fn told(target: &str, count: usize) -> Told {
    let (collector, host) = showcase().await;
    Told {
        trace: Trace::of(&collector, host.get(target), count).await,
        collector,
        _host: host,
    }
}

/// Demands that each guard's end is its span's, although what was around it
/// was left before.
pub(crate) async fn demand_guards_end_their_spans(collector: &Collector, ask: Ask) {
    let trace = Trace::of(collector, ask, 6).await;
    trace.demand_parents([
        ("goes_on", ""),
        ("cut_off", "goes_on"),
        ("after_cut_off", ""),
        ("left_later", "goes_on"),
        ("after_left_later", ""),
    ]);
    for name in ["cut_off", "left_later"] {
        let after = trace.named(&format!("after_{name}"));
        let ended = trace.named(name).end_unix_nanos;
        assert!(ended <= after.start_unix_nanos, "{name}");
        assert!(trace.named("goes_on").end_unix_nanos >= ended, "{name}");
    }
}

pub(crate) fn demand_within(outer: &CollectedSpan, inner: &CollectedSpan) {
    assert!(
        outer.start_unix_nanos <= inner.start_unix_nanos
            && inner.start_unix_nanos <= inner.end_unix_nanos
            && inner.end_unix_nanos <= outer.end_unix_nanos,
        "{} is not within {}: {inner:#?} {outer:#?}",
        inner.name,
        outer.name
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_nest_by_the_scopes_that_are_entered() {
    let told = told("/nested", 5).await;
    told.demand_parents([("a", ""), ("b", "a"), ("c", "b"), ("d", "a")]);
    for (outer, inner) in [("a", "b"), ("b", "c"), ("a", "d")] {
        demand_within(told.named(outer), told.named(inner));
    }
    assert!(told.named("b").end_unix_nanos <= told.named("d").start_unix_nanos);
    assert_eq!(told.server().parent_span_id, None);
    assert_eq!(told.server().kind, Kind::Server);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_parent_stands_over_the_current_span() {
    let told = told("/explicit-parent", 4).await;
    told.demand_parents([("parent", ""), ("current", ""), ("child", "parent")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_span_begins_a_trace_of_its_own() {
    let told = told("/root-span", 2).await;
    told.demand_parents([("current", "")]);
    let text = told.text();
    let (trace_id, span_id) = text.trim().split_once(' ').unwrap();
    assert_ne!(trace_id, trace_of(&told.answer).trace_id);
    let spans = told.collector.trace(trace_id, 2).await;
    let of = |name| spans.iter().find(|span| span.name == name).unwrap();
    let (root, below) = (of("new_root"), of("below_root"));
    assert_eq!(root.span_id, span_id);
    assert_eq!(root.parent_span_id, None);
    assert_eq!(below.parent_span_id.as_deref(), Some(span_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_told_with_their_attributes_and_invalid_ones_are_ignored() {
    let told = told("/links", 3).await;
    told.demand_parents([("first", ""), ("linked", "")]);
    let (first, linked) = (told.named("first"), told.named("linked"));
    let [at_start, later] = &linked.links[..] else {
        panic!("{:#?}", linked.links)
    };
    assert_eq!(at_start.trace_id, first.trace_id);
    assert_eq!(at_start.span_id, first.span_id);
    assert_eq!(json!(at_start.attributes), json!({"reason": "at start"}));
    assert_eq!((later.trace_id.as_str(), later.span_id.as_str()), REMOTE);
    assert_eq!(json!(later.attributes), json!({"reason": "later"}));
    assert_eq!(linked.dropped, (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_attributes_and_happen_now_or_at_the_time_given() {
    let told = told("/events", 2).await;
    let span = told.named("eventful");
    let names: Vec<_> = span
        .events
        .iter()
        .map(|event| event.name.as_str())
        .collect();
    assert_eq!(names, ["now", "earlier"]);
    let attributes = |name| json!(span.event(name).attributes);
    assert_eq!(attributes("now"), json!({"attempt": 1, "cached": false}));
    assert_eq!(attributes("earlier"), json!({"attempt": 0}));
    let [now, earlier] = span.event_times[..] else {
        panic!("{:?}", span.event_times)
    };
    assert_eq!(earlier, FIXED + 5);
    assert!((span.start_unix_nanos..=span.end_unix_nanos).contains(&now));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_is_told_with_the_stack_that_it_brings() {
    let told = told("/exception?with_stack=1", 2).await;
    let span = told.named("failing");
    let expected = json!({
        "exception.type": "ValueError",
        "exception.message": "with a stack of its own",
        "exception.stacktrace": "at somewhere\nat somewhere_else",
        "exception.escaped": false,
    });
    assert_eq!(json!(span.event("exception").attributes), expected);
    assert_eq!(span.event_times, [FIXED]);
    assert_eq!(span.status, Status::Unset);
    assert_eq!(told.server().events, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_without_a_stack_gets_the_guests_own() {
    let told = told("/exception", 2).await;
    let span = told.named("failing");
    let attributes = &span.event("exception").attributes;
    assert_eq!(
        attributes["exception.message"],
        json!("no stack of its own")
    );
    let of_type = attributes["exception.type"].as_str().unwrap();
    assert!(of_type.starts_with("std::io::"), "{of_type}");
    let stack = attributes["exception.stacktrace"].as_str().unwrap();
    let function = "example_showcase::spans::record_io_error";
    assert!(stack.contains(function), "{stack}");
    let at = span.event_times[0];
    assert!((span.start_unix_nanos..=span.end_unix_nanos).contains(&at));
    assert_eq!(span.status, Status::Unset);
}

#[tokio::test(flavor = "multi_thread")]
async fn ok_stands_over_errors_before_and_after_it() {
    let told = told("/status-ok", 2).await;
    let span = told.named("checked");
    assert_eq!((span.status, &*span.status_message), (Status::Ok, ""));
    assert_eq!(told.server().status, Status::Unset);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_keeps_its_description_and_unset_says_nothing() {
    let told = told("/status-error", 2).await;
    let span = told.named("failed");
    let status = (span.status, &*span.status_message);
    assert_eq!(status, (Status::Error, "it broke"));
    assert_eq!(told.server().status, Status::Unset);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_span_has_its_last_name() {
    let told = told("/rename", 2).await;
    told.demand_parents([("renamed", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_have_values_of_eight_types_and_the_last_of_a_key_counts() {
    let told = told("/attributes", 2).await;
    let expected = json!({
        "string": "text",
        "twice": "second",
        "bool": true,
        "s64": -42,
        "f64": 2.5,
        "string_list": ["a", "b"],
        "bool_list": [true, false],
        "s64_list": [1, -2, 3],
        "f64_list": [0.5, -1.5],
    });
    let span = told.named("described");
    assert_eq!(json!(span.attributes), expected);
    assert_eq!(span.dropped, (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_of_the_kind_that_it_was_started_with() {
    let told = told("/kinds", 7).await;
    for (name, kind) in [
        ("internal", Kind::Internal),
        ("server", Kind::Server),
        ("client", Kind::Client),
        ("producer", Kind::Producer),
        ("consumer", Kind::Consumer),
        ("built", Kind::Client),
    ] {
        assert_eq!(told.named(name).kind, kind, "{name}");
        told.demand_parents([(name, "")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_lasts_for_the_time_that_it_was_given() {
    let told = told("/times", 2).await;
    let span = told.named("timed");
    assert_eq!(span.start_unix_nanos, FIXED);
    assert_eq!(span.end_unix_nanos, FIXED + 1_500_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_said_by_the_library_it_names_or_else_by_the_guest() {
    let scoped = told("/scope", 2).await;
    let said_by = |span: &CollectedSpan| (span.scope.0.clone(), span.scope.1.clone());
    let library = ("showcase-library".into(), "1.2.3".into());
    assert_eq!(said_by(scoped.named("scoped")), library);
    assert_eq!(scoped.server().scope.0, "fanlight");
    let nested = told("/nested", 5).await;
    let guest = ("fanlight.guest".into(), String::new());
    assert_eq!(said_by(nested.named("a")), guest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_may_end_before_its_child() {
    let told = told("/out-of-order", 3).await;
    told.demand_parents([("parent", ""), ("child", "parent")]);
    let (parent, child) = (told.named("parent"), told.named("child"));
    assert!(parent.end_unix_nanos <= child.end_unix_nanos);
    assert_eq!(child.attribute("set"), json!("after the parent's end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_after_the_end_is_ignored_and_the_span_can_be_entered() {
    let told = told("/use-after-end", 3).await;
    told.demand_parents([("ended", ""), ("child_of_ended", "ended")]);
    let span = told.named("ended");
    assert_eq!(json!(span.attributes), json!({"kept": true}));
    assert_eq!(span.events, []);
    assert!(span.end_unix_nanos <= told.named("child_of_ended").start_unix_nanos);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_span_is_the_one_entered_last_that_is_not_left() {
    let told = told("/dropped-scope-order", 5).await;
    told.demand_parents([("a", ""), ("b", ""), ("under_b", "b"), ("under_server", "")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_are_current_from_their_start_are_left_in_any_order() {
    let told = told("/dropped-guard-order", 6).await;
    told.demand_parents([
        ("a", ""),
        ("b", "a"),
        ("under_b", "b"),
        ("under_b_again", "b"),
        ("under_server", ""),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_left_open_by_a_guest_that_returns_are_ended_without_an_error() {
    let told = told("/open-spans?n=3", 4).await;
    let server = told.server();
    for span in told.spans.iter().filter(|span| span.name == "open") {
        let expected = json!({"fanlight.span.unfinished": true});
        assert_eq!(json!(span.attributes), expected);
        assert_eq!(span.status, Status::Unset);
        assert_eq!(span.parent_span_id.as_ref(), Some(&server.span_id));
    }
    assert_eq!(server.attribute("fanlight.spans.unfinished"), json!(3));
    assert_eq!(server.attribute("error.type"), json!(null));
    assert_eq!(server.status, Status::Unset);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_context_is_what_is_exported() {
    let told = told("/current-context", 2).await;
    let line = |span: &CollectedSpan| format!("{} {}\n", span.trace_id, span.span_id);
    let lines = [told.server(), told.named("inner")].map(line);
    assert_eq!(told.text(), lines.concat());
}
