//! Nothing of one request is readable by the next while the kernel takes pages away:
//! swapped out, reclaimed from a control group, or moved by compaction.
//!
//! What resets a slot of the pool must not depend on where its pages are at that
//! moment. docs/security.md says what failed here before.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fanlight_tests::client::Ask;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::PRISTINE;
use fanlight_tests::pressure::{
    Compaction, MemoryGroup, Swap, migrated_pages, paging_out, swapped_bytes,
};
use fanlight_tests::program::{Program, ServingProgram};
use fanlight_tests::skipped::{skip, skip_outside_ci};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What a request writes to, how long it stays, how it ends, and what its client gets.
const ENDINGS: [(&str, u16); 8] = [
    ("/n*p", 200),
    ("/t*p", 500),
    ("/T*p", 200),
    ("/w*", 504),
    ("/l*", 504),
    // Memory and tables that have grown beyond what a slot keeps.
    ("/n+p", 200),
    ("/ncp", 200),
    ("/tcp", 500),
];
/// More than there are slots, so that the one that was written to is among them.
const READS: usize = 8;
/// How long compaction runs beside requests.
const COMPACTED_FOR: Duration = Duration::from_secs(8);

async fn serving() -> ServingProgram {
    let pristine = PRISTINE.path();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    Program::new(arguments.map(std::ffi::OsStr::new).into_iter().chain([
        pristine.as_os_str(),
        "--max-instances=2".as_ref(),
        "--request-timeout=1s".as_ref(),
        "--queue-timeout=30s".as_ref(),
    ]))
    .serve()
    .await
}

async fn demand(address: SocketAddr, (target, status): (&str, u16)) {
    let answer = Ask::get(address, target).send().await;
    assert_eq!(
        answer.status, status,
        "GET {target}: pristine.wat says what statuses from 470 on stand for"
    );
}

async fn in_flight(host: &ServingProgram) -> Value {
    let admin = host.admin.unwrap();
    let answer = Ask::get(admin, "/component").send().await;
    answer.json().unwrap()["current"]["in_flight"].clone()
}

/// Asks, and leaves while the guest runs.
async fn leave(host: &ServingProgram, target: &str) {
    let mut stream = TcpStream::connect(host.address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    eventually_async("the guest runs", async || {
        (in_flight(host).await != json!(0)).then_some(())
    })
    .await;
    // Its pages leave before it does.
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(stream);
    eventually_async("the guest is gone", async || {
        (in_flight(host).await == json!(0)).then_some(())
    })
    .await;
}

/// Each way to end, then requests that look for what it left.
async fn each_ending_leaves_nothing(host: &ServingProgram) {
    for ending in ENDINGS {
        demand(host.address, ending).await;
        look_for_leftovers(host).await;
    }
    leave(host, "/w*").await;
    look_for_leftovers(host).await;
}

async fn look_for_leftovers(host: &ServingProgram) {
    for _ in 0..READS {
        demand(host.address, ("/n-", 200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_page_is_not_read_by_the_next_request() {
    let name = "a_swapped_page_is_not_read_by_the_next_request";
    let swap = match Swap::on() {
        Ok(swap) => swap,
        Err(error) => {
            return skip_outside_ci(name, format!("no swap file can be turned on: {error}"));
        }
    };
    let host = serving().await;
    let paging_out = paging_out(host.id());
    eventually_async("pages are swapped out", async || {
        demand(host.address, ("/n*", 200)).await;
        (swapped_bytes(host.id()) > 0).then_some(())
    })
    .await;
    each_ending_leaves_nothing(&host).await;
    drop((paging_out, host, swap));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_a_control_group_gave_back_is_not_read_by_the_next_request() {
    let name = "a_page_that_a_control_group_gave_back_is_not_read_by_the_next_request";
    let swap = match Swap::on() {
        Ok(swap) => swap,
        Err(error) => {
            return skip_outside_ci(name, format!("no swap file can be turned on: {error}"));
        }
    };
    let host = serving().await;
    let group = match MemoryGroup::of(host.id()) {
        Ok(group) => group,
        Err(error) => return skip(name, format!("no memory control group: {error}")),
    };
    let reclaiming = group.reclaiming();
    eventually_async("pages are swapped out", async || {
        demand(host.address, ("/n*", 200)).await;
        (swapped_bytes(host.id()) > 0).then_some(())
    })
    .await;
    each_ending_leaves_nothing(&host).await;
    drop((reclaiming, host, group, swap));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_compaction_moves_is_not_read_by_the_next_request() {
    let name = "a_page_that_compaction_moves_is_not_read_by_the_next_request";
    let compaction = match Compaction::start() {
        Ok(compaction) => compaction,
        Err(error) => return skip_outside_ci(name, format!("memory cannot be compacted: {error}")),
    };
    let host = serving().await;
    let moved = migrated_pages();
    let end = Instant::now() + COMPACTED_FOR;
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let address = host.address;
        clients.spawn(async move {
            while Instant::now() < end {
                for target in ["/nm", "/n-"] {
                    demand(address, (target, 200)).await;
                }
            }
        });
    }
    clients.join_all().await;
    assert!(migrated_pages() > moved, "no page was moved meanwhile");
    drop((compaction, host));
}
