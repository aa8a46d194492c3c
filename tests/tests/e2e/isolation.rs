//! Nothing of one request is readable by the next: memory, tables, globals and
//! segments of an instance are as the component was made, whatever slot of the
//! pool it got and however the instance before it ended.
//!
//! What the host keeps of a request is in `isolation_host.rs`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use fanlight_tests::client::Ask;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::{PRISTINE, pristine_with};
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Guests that loop or wait are cut by it.
const DEADLINE: Duration = Duration::from_secs(2);
/// The same where others wait meanwhile: it runs for them as well.
const SHARED_DEADLINE: Duration = Duration::from_secs(6);
/// Clients that ask at once.
const CONNECTIONS: usize = 64;

async fn pristine(slots: u32, deadline: Duration) -> RunningHost {
    TestHost::serving(PRISTINE)
        .requests(|limits| {
            limits.max_instances = NonZeroU32::new(slots).unwrap();
            limits.request_timeout = deadline;
            // They wait for one another.
            limits.queue_timeout = Duration::from_secs(60);
        })
        .start()
        .await
}

/// What a request does to its instance, how it ends, and what its client is told.
const ENDINGS: [(&str, u16); 3] = [("/n*", 200), ("/t*", 500), ("/T*", 200)];

/// The same where the guest only ends with its deadline.
const CUT: [(&str, u16); 2] = [("/l*", 504), ("/w*", 504)];

/// What a request can write to, one letter each; `-` is nothing.
const KINDS: &str = "mgscrvxfde-";

async fn demand(address: SocketAddr, (target, status): (&str, u16)) {
    let answer = Ask::get(address, target).send().await;
    assert_eq!(
        answer.status, status,
        "GET {target}: pristine.wat says what statuses from 470 on stand for"
    );
}

/// Asks, and is gone when the guest runs.
async fn leave(host: &RunningHost, target: &str) {
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    eventually_async("the guest runs", async || {
        (host.component().await["current"]["in_flight"] != json!(0)).then_some(())
    })
    .await;
    drop(stream);
    eventually_async("the guest is gone", async || {
        (host.component().await["current"]["in_flight"] == json!(0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_has_written_is_seen_where_it_looks_again() {
    let host = pristine(1, DEADLINE).await;
    // Without this the tests below could not fail.
    for (target, status) in [
        ("/a-", 200),
        ("/am", 470),
        ("/ag", 471),
        ("/as", 472),
        ("/ac", 473),
        ("/ar", 474),
        ("/av", 475),
        ("/ax", 476),
        ("/af", 477),
        // A segment that is gone is not to be copied from.
        ("/ad", 500),
        ("/ae", 500),
        ("/a*", 470),
        ("/n-", 200),
    ] {
        demand(host.address, (target, status)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_tables_globals_and_segments_are_new_for_each_of_thousands_in_turn() {
    for slots in [1, 3] {
        let host = pristine(slots, DEADLINE).await;
        for n in 0..2_000_usize {
            let (target, status) = ENDINGS[n % ENDINGS.len()];
            // Now and then beyond what a slot keeps, and far beyond.
            let what = match n {
                n if n % 250 == 0 => "+",
                n if n % 4 == 0 => "*",
                n => &KINDS[n % KINDS.len()..][..1],
            };
            let target = target.replace('*', what);
            demand(host.address, (&target, status)).await;
        }
        for cut in CUT {
            demand(host.address, cut).await;
            demand(host.address, ("/n+", 200)).await;
        }
        for target in ["/l*", "/w*", "/w+"] {
            leave(&host, target).await;
            demand(host.address, ("/n+", 200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_state_alone_is_new_for_the_next() {
    let host = pristine(1, DEADLINE).await;
    for what in KINDS.chars() {
        for how in "ntT".chars() {
            let status = if how == 't' { 500 } else { 200 };
            demand(host.address, (&format!("/{how}{what}"), status)).await;
            demand(host.address, ("/n-", 200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_new_where_many_share_few_slots_and_take_them_in_any_order() {
    for slots in [8, 64] {
        let host = pristine(slots, SHARED_DEADLINE).await;
        let mut clients = JoinSet::new();
        for client in 0..CONNECTIONS {
            let address = host.address;
            clients.spawn(async move {
                for n in 0..30 {
                    demand(address, ENDINGS[(client + n) % ENDINGS.len()]).await;
                }
                if client % 16 == 0 {
                    demand(address, CUT[client / 16 % CUT.len()]).await;
                }
                if client % 4 == 0 {
                    // Gone before the answer: the guest is dropped wherever it is.
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    let request = b"GET /w+ HTTP/1.1\r\nhost: x\r\n\r\n";
                    stream.write_all(request).await.unwrap();
                }
                for _ in 0..10 {
                    demand(address, ("/n*", 200)).await;
                }
            });
        }
        clients.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_another_component_had_is_as_new() {
    let host = pristine(1, DEADLINE).await;
    // Of the same shape, with other words in its memory.
    let other = pristine_with(*b"another!");
    for _ in 0..10 {
        for target in ["/n*", "/n+", "/n-"] {
            demand(host.address, (target, 200)).await;
        }
        assert_eq!(host.put(other.clone()).await.status, 200);
        for target in ["/n-", "/n+", "/n*"] {
            demand(host.address, (target, 200)).await;
        }
        assert_eq!(host.roll_back().await.status, 200);
    }
}
