//! The contract's spans of futures that take turns.

use serde_json::json;

use crate::contract::{demand_within, told};

#[tokio::test(flavor = "multi_thread")]
async fn joined_futures_have_their_own_children_and_hang_side_by_side() {
    let told = told("/joined", 6).await;
    told.demand_parents([
        ("first", ""),
        ("first_child", "first"),
        ("second", ""),
        ("second_child", "second"),
        ("third", ""),
    ]);
    let (first, second) = (told.named("first"), told.named("second"));
    demand_within(first, told.named("first_child"));
    demand_within(second, told.named("second_child"));
    for span in [first, second, told.named("third")] {
        demand_within(told.server(), span);
    }
    // Each began before the other ended.
    assert!(first.start_unix_nanos < second.end_unix_nanos);
    assert!(second.start_unix_nanos < first.end_unix_nanos);
    let joined = first.end_unix_nanos.max(second.end_unix_nanos);
    assert!(joined <= told.named("third").start_unix_nanos);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_joined_futures_do_not_mix_up_their_children() {
    let told = told("/joined-all", 12).await;
    let outer = told.named("outer");
    for branch in ["b0", "b1", "b2", "b3", "b4"] {
        let child = format!("{branch}_child");
        told.demand_parents([(branch, "outer"), (&child, branch)]);
        demand_within(outer, told.named(branch));
        demand_within(told.named(branch), told.named(&child));
    }
    // All have begun before the first of them ends.
    let branches: Vec<_> = (0..5).map(|n| told.named(&format!("b{n}"))).collect();
    let last_start = branches.iter().map(|span| span.start_unix_nanos).max();
    let first_end = branches.iter().map(|span| span.end_unix_nanos).min();
    assert!(last_start < first_end);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_within_a_span_has_its_children_below_that_span() {
    let told = told("/in-span", 6).await;
    told.demand_parents([
        ("outer", ""),
        ("left", "outer"),
        ("left_child", "left"),
        ("right", "outer"),
        ("right_child", "right"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_dropped_ends_its_span_and_leaves_it() {
    let told = told("/race", 3).await;
    told.demand_parents([("slow", ""), ("after", "")]);
    let (slow, after) = (told.named("slow"), told.named("after"));
    assert!(slow.end_unix_nanos <= after.start_unix_nanos);
    assert_eq!(slow.attribute("fanlight.span.unfinished"), json!(null));
}
