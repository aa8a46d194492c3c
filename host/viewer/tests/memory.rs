//! The memory of a store that is full.

mod support;

use fanlight_viewer::{Store, StoreConfig};
use prost::Message as _;

const MIB: usize = 1024 * 1024;

/// A million traces pass a store of 64 MiB. `cargo test --release -- --ignored` runs it.
#[test]
#[ignore = "it takes half a minute"]
fn the_process_grows_by_no_more_than_the_store_may_take() {
    let store = Store::new(StoreConfig {
        max_traces: 1_000_000,
        max_logs: 1_000_000,
        max_spans_per_second: u64::MAX,
        max_logs_per_second: u64::MAX,
        ..StoreConfig::default()
    });
    // What the test itself needs is there before.
    feed(&store, 0);
    store.clear();
    let before = resident_bytes();
    let mut most = 0;
    for round in 0..1000 {
        feed(&store, round);
        most = most.max(resident_bytes());
    }
    let (grown, counts) = (most.saturating_sub(before), store.counts());
    eprintln!("grown by {} MiB; {counts:?}", grown / MIB);
    assert!(counts.bytes > 60 * MIB && counts.bytes <= 64 * MIB);
    assert!(grown < 80 * MIB);
}

/// Each span with a resource of its own, as no host has them.
#[test]
fn a_hundred_thousand_services_take_no_more_than_the_store_may() {
    const STORE: usize = 8 * MIB;
    let store = Store::new(StoreConfig {
        max_bytes: STORE,
        max_spans_per_second: u64::MAX,
        ..StoreConfig::default()
    });
    let mut trace = support::traffic(1, support::now()).remove(0);
    let mut before = 0;
    for number in 0..100_000_u32 {
        trace.rename(u128::from(number) + 1);
        let mut request = support::spans_request(std::slice::from_ref(&trace));
        let resource = request.resource_spans[0].resource.as_mut().unwrap();
        let name = format!("{number:08}{}", "n".repeat(1000));
        resource.attributes = vec![support::text("service.name", &name)];
        store.add_traces(&request.encode_to_vec());
        if number == 100 {
            before = resident_bytes();
        }
    }
    let (grown, counts) = (resident_bytes().saturating_sub(before), store.counts());
    assert!(counts.traces > 500 && counts.bytes <= STORE, "{counts:?}");
    assert!(grown < 2 * STORE, "grown by {} MiB", grown / MIB);
}

fn feed(store: &Store, round: u64) {
    let mut traces = support::traffic(1000, support::now());
    for (at, trace) in (0..).zip(&mut traces) {
        trace.rename(u128::from(round) << 64 | (at + 1));
    }
    store.add_traces(&support::spans_request(&traces).encode_to_vec());
    store.add_logs(&support::logs_request(&traces));
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|it| it.parse().ok());
    pages.unwrap_or(0) * 4096
}
