//! `fanlight:http/answer`: what the host takes at once, and what it refuses.

use fanlight_runner::span::Status;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::TestHost;
use serde_json::json;

#[tokio::test]
async fn what_wasi_http_refuses_is_refused_and_another_answer_can_be_given() {
    let host = TestHost::serving(FAULTS).start().await;
    for (what, said) in [
        ("status", "status"),
        ("name", "header"),
        ("value", "header"),
        ("connection", "header"),
        ("large", "too large"),
    ] {
        let answer = host.get(&format!("/answer?what={what}")).send().await;
        assert_eq!(
            (answer.status, &*answer.body),
            (200, said.as_bytes()),
            "{what}"
        );
        assert!(!answer.headers.contains_key("x-more"), "{what}");
    }
}

#[tokio::test]
async fn the_first_answer_is_the_one_that_is_sent() {
    let host = TestHost::serving(FAULTS).start().await;
    let answer = host.get("/answer?what=twice").send().await;
    assert_eq!((answer.status, &*answer.body), (200, &b"first\n"[..]));
}

#[tokio::test]
async fn the_largest_body_arrives_whole() {
    let host = TestHost::serving(FAULTS).start().await;
    let answer = host.get("/answer?what=largest").send().await;
    assert_eq!((answer.status, answer.body.len()), (200, 64 * 1024));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_shorter_than_it_was_said_to_be_is_an_error() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    assert!(host.get("/answer?what=short").try_send().await.is_err());
    let span = collector
        .span(|span| span.attribute("url.query") == json!("what=short"))
        .await;
    assert_eq!(span.status, Status::Error);
    assert_eq!(span.attribute("error.type"), json!("body_aborted"));
}
