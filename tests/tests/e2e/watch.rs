//! A watched file is served whenever it changes, however it changes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fanlight_tests::eventually_async;
use fanlight_tests::fixture::{FAULTS, version};
use fanlight_tests::host::{RunningHost, TestHost};
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
    let wanted = format!("version-of-faults-{number:04}\n");
    eventually_async(&wanted, async || {
        let answer = host.get("/version").send().await;
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
