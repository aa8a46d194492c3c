//! `fanlight:http/outgoing-response`: what the host takes at once, and what it refuses.

use fanlight_runner::span::Status;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::TestHost;
use http::Method;
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

#[tokio::test]
async fn a_content_length_that_is_not_the_bodys_is_refused() {
    let host = TestHost::serving(FAULTS).start().await;
    for what in ["short", "long", "no-number"] {
        let ask = || host.get(&format!("/answer?what={what}"));
        let answers = [
            ask().send().await,
            ask().try_send_h2().await.unwrap(),
            ask().method(Method::POST).send().await,
        ];
        for answer in answers {
            assert_eq!(
                (answer.status, &*answer.body),
                (200, &b"header"[..]),
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_to_head_has_the_content_length_that_it_says() {
    let host = TestHost::serving(FAULTS).start().await;
    for (what, length) in [("short", "5"), ("long", "3")] {
        let ask = || {
            let target = format!("/answer?what={what}");
            host.get(&target).method(Method::HEAD)
        };
        for answer in [ask().send().await, ask().try_send_h2().await.unwrap()] {
            assert_eq!((answer.status, answer.body.len()), (200, 0), "{what}");
            assert_eq!(answer.header("content-length"), Some(length), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_as_long_as_it_was_said_to_be_is_an_error() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    for target in ["/unwritten", "/overlong"] {
        let broken = host.get(target).try_send().await;
        assert!(broken.is_err(), "{target} looks whole: {broken:?}");
        let broken = host.get(target).try_send_h2().await.unwrap_err();
        // Neither a client's own finding nor an end: the server took it back.
        let text = format!("{broken:#}");
        assert!(text.contains("stream error received"), "{target}: {text}");
        for version in ["1.1", "2"] {
            let span = collector
                .span(|span| {
                    span.attribute("url.path") == json!(target)
                        && span.attribute("network.protocol.version") == json!(version)
                })
                .await;
            assert_eq!(span.status, Status::Error, "{target} on {version}");
            assert_eq!(span.attribute("error.type"), json!("body_aborted"));
            assert_eq!(span.attribute("error.blame"), json!("guest"));
        }
    }
}
