//! A watched file is served whenever it changes, however it changes.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fanlight_tests::client::Ask;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::{FAULTS, version};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::program::Program;
use http::Method;
use serde_json::json;

/// A host that serves version 0 and watches a file, which is not there yet.
async fn watching() -> (tempfile::TempDir, PathBuf, RunningHost) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watched.wasm");
    let host = watching_at(&path).await;
    (folder, path, host)
}

async fn watching_at(path: &Path) -> RunningHost {
    let path = path.to_owned();
    TestHost::serving(FAULTS)
        .with(|host| host.watch = Some(path))
        .start()
        .await
}

async fn serves(host: &RunningHost, number: u16) {
    serves_at(host.address, number).await;
}

async fn serves_at(address: SocketAddr, number: u16) {
    let wanted = format!("version-of-faults-{number:04}\n");
    eventually_async(&wanted, async || {
        let answer = Ask::get(address, "/version").send().await;
        assert_eq!(answer.status, 200);
        (answer.body == wanted).then_some(())
    })
    .await;
}

async fn refused(host: &RunningHost, reason: &str) {
    eventually_async(reason, async || {
        let refusal = &host.component().await["last_refusal"];
        let is_it = refusal["reason"].as_str().unwrap_or("").contains(reason);
        is_it.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_appears_replaces_the_component() {
    let (_folder, path, host) = watching().await;
    serves(&host, 0).await;
    fs::write(&path, version(1)).unwrap();
    serves(&host, 1).await;
    let current = &host.component().await["current"];
    assert_eq!(current["source"], json!(path.to_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_served_however_it_is_replaced() {
    let (folder, path, host) = watching().await;
    // As `cp` does: truncated and written in place.
    fs::write(&path, version(1)).unwrap();
    serves(&host, 1).await;
    fs::write(&path, version(2)).unwrap();
    serves(&host, 2).await;
    // As editors do: another file renamed over it.
    let other = folder.path().join("other");
    fs::write(&other, version(3)).unwrap();
    fs::rename(&other, &path).unwrap();
    serves(&host, 3).await;
    // As cargo does: removed, and linked anew to what it built elsewhere.
    fs::write(&other, version(4)).unwrap();
    fs::remove_file(&path).unwrap();
    fs::hard_link(&other, &path).unwrap();
    serves(&host, 4).await;
    // As mounted configuration does: a link that is replaced by another.
    let linked = folder.path().join("version-5");
    fs::write(&linked, version(5)).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&linked, &link).unwrap();
    fs::rename(&link, &path).unwrap();
    serves(&host, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_written_bit_by_bit_is_served_when_it_is_whole() {
    let (_folder, path, host) = watching().await;
    let bytes = version(1);
    let mut file = fs::File::create(&path).unwrap();
    for part in bytes.chunks(bytes.len() / 20) {
        file.write_all(part).unwrap();
        file.flush().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
    drop(file);
    serves(&host, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_with_its_reason_and_a_good_one_after_it_served() {
    let (_folder, path, host) = watching().await;
    fs::write(&path, b"not wasm").unwrap();
    refused(&host, "magic number").await;
    let good = version(1);
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    refused(&host, "out of bounds").await;
    // Seen, and gone when it is read.
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    refused(&host, "cannot read").await;
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(&host, "not a regular file").await;
    fs::remove_dir(&path).unwrap();
    serves(&host, 0).await;
    fs::write(&path, good).unwrap();
    serves(&host, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_folder_comes_later_is_found_without_change_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/watched.wasm");
    let host = watching_at(&path).await;
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, version(1)).unwrap();
    serves(&host, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_changes_nothing() {
    let (_folder, path, host) = watching().await;
    fs::write(&path, version(1)).unwrap();
    serves(&host, 1).await;
    fs::remove_file(&path).unwrap();
    // What comes after it was seen by a watch that saw the removal.
    host.put(version(2)).await;
    serves(&host, 2).await;
    fs::write(&path, version(3)).unwrap();
    serves(&host, 3).await;
    assert_eq!(host.component().await["last_refusal"], json!(null));
}

/// Looks for a while, in which the watch would have offered the file many times.
async fn goes_on_serving(address: SocketAddr, number: u16) {
    let wanted = format!("version-of-faults-{number:04}\n");
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        let answer = Ask::get(address, "/version").send().await;
        assert_eq!(answer.body, wanted);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_stands_until_the_file_holds_something_else() {
    let (folder, path, host) = watching().await;
    fs::write(&path, version(1)).unwrap();
    serves(&host, 1).await;
    assert_eq!(host.roll_back().await.status, 200);
    serves(&host, 0).await;
    // As cargo does before it builds anything: the same file, linked anew.
    let other = folder.path().join("other");
    fs::hard_link(&path, &other).unwrap();
    fs::remove_file(&path).unwrap();
    fs::hard_link(&other, &path).unwrap();
    goes_on_serving(host.address, 0).await;
    // The same bytes in another file.
    fs::write(&other, version(1)).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, version(1)).unwrap();
    goes_on_serving(host.address, 0).await;
    fs::write(&path, version(2)).unwrap();
    serves(&host, 2).await;
    // The first, its swap, the rollback, and this one.
    assert_eq!(host.component().await["current"]["generation"], json!(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_stands_until_the_file_holds_something_else() {
    let (_folder, path, host) = watching().await;
    fs::write(&path, version(1)).unwrap();
    serves(&host, 1).await;
    host.put(version(2)).await;
    fs::write(&path, version(1)).unwrap();
    goes_on_serving(host.address, 2).await;
    fs::write(&path, version(3)).unwrap();
    serves(&host, 3).await;
    fs::write(&path, version(1)).unwrap();
    serves(&host, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_that_was_served_first_was_taken_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("served.wasm");
    fs::write(&path, version(1)).unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let program = Program::new(["serve", "--watch"].iter().chain(&listen))
        .env("FANLIGHT_COMPONENT", path.to_str().unwrap())
        .serve()
        .await;
    let put = Ask::get(program.admin.unwrap(), "/component").method(Method::PUT);
    assert_eq!(put.body(version(2)).send().await.status, 200);
    fs::write(&path, version(1)).unwrap();
    goes_on_serving(program.address, 2).await;
    fs::write(&path, version(3)).unwrap();
    serves_at(program.address, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_tried_again_when_the_file_is_touched() {
    let (_folder, path, host) = watching().await;
    let refused_at = async || {
        eventually_async("a refusal", async || {
            let refusal = host.component().await["last_refusal"].clone();
            refusal["at"].as_str().map(str::to_owned)
        })
        .await
    };
    fs::write(&path, b"not wasm").unwrap();
    let first = refused_at().await;
    fs::write(&path, b"not wasm").unwrap();
    eventually_async("another refusal", async || {
        (refused_at().await != first).then_some(())
    })
    .await;
}
