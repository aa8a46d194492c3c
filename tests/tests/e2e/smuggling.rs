//! Requests whose ends two readers could see in different places: none of them
//! carries another one past the server.
//!
//! Every shape is followed at once by a second request. It may only be answered
//! where RFC 9112 leaves no doubt that the first one ended before it.

use std::net::SocketAddr;
use std::time::Duration;

use fanlight_tests::PATIENCE;
use fanlight_tests::client::trace_of;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::ECHO;
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What must not be taken for a request, and what the guest answers to it.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const ITS_ANSWER: &str = "try POST /";

/// What becomes of a shape and the request behind it.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// One answer, this one, and the end.
    Refused(&'static str),
    /// At most one answer, which is none of success, and the end.
    Ended,
    /// The first is answered with this body, the second is not.
    Alone(&'static str),
    /// Both are answered: the first one's end is beyond doubt.
    Both(&'static str),
}

use Outcome::{Alone, Both, Ended, Refused};

/// The start line and the status of the host's answer to a malformed request.
const BAD: Outcome = Refused("HTTP/1.1 400 ");

/// Sends bytes as they are, and reads to the server's end of it. A server that
/// does not want to read on resets the connection, which is an end as well.
async fn exchange(address: SocketAddr, request: Vec<u8>) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        let _ = writer.write_all(&request).await;
        // Kept open: the end of what is sent is no help in finding the body's.
        writer
    });
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut answer));
    let _ = read.await.unwrap();
    sending.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

fn check(name: &str, outcome: Outcome, answer: &str) {
    let answers = answer.matches("HTTP/1.1 ").count();
    let smuggled = answer.contains(ITS_ANSWER);
    let first = |body: &str| {
        answer.starts_with("HTTP/1.1 200 ") && answer.contains(&format!("\r\n\r\n{body}"))
    };
    let is_it = match outcome {
        Refused(start) => answers == 1 && answer.starts_with(start),
        Ended => answers <= 1 && !answer.starts_with("HTTP/1.1 2") && !smuggled,
        Alone(body) => answers == 1 && first(body) && !smuggled,
        Both(body) => answers == 2 && first(body) && smuggled,
    };
    assert!(is_it, "{name:?} is not {outcome:?}: {answer:?}");
}

/// A POST of `fields` and what follows its head, and the other one behind it.
fn post(version: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("POST /count HTTP/{version}\r\nhost: x\r\n{fields}\r\n{body}{SMUGGLED}").into_bytes()
}

/// A host that is soon weary of a body or a head that does not come.
async fn weary(collector: &Collector) -> RunningHost {
    TestHost::serving(ECHO)
        .exporting_to(collector)
        .server(|limits| limits.header_timeout = Duration::from_millis(500))
        .requests(|limits| limits.request_timeout = Duration::from_secs(1))
        .start()
        .await
}

/// Demands the outcomes of all shapes, that the smuggled request was handled
/// just as often as it was answered, and that the host serves on.
async fn demand(shapes: Vec<(String, Vec<u8>, Outcome)>) {
    let collector = Collector::start().await;
    let host = weary(&collector).await;
    let both = |outcome: &Outcome| matches!(outcome, Both(_));
    let wanted = shapes.iter().filter(|(.., outcome)| both(outcome)).count();
    let mut exchanges = JoinSet::new();
    let address = host.address;
    for (name, request, outcome) in shapes {
        exchanges.spawn(async move { (name, outcome, exchange(address, request).await) });
    }
    for (name, outcome, answer) in exchanges.join_all().await {
        check(&name, outcome, &answer);
    }
    let last = host.get("/bytes?n=1").send().await;
    assert_eq!(last.status, 200);
    collector.trace(&trace_of(&last).trace_id, 1).await;
    host.stop().await;
    // All is flushed: whatever a guest was asked is here.
    let path = |path: &str| {
        let spans = collector.spans();
        let at = spans
            .iter()
            .filter(|span| span.attribute("url.path") == json!(path));
        at.count()
    };
    assert_eq!(path("/smuggled"), wanted);
    assert_eq!(path("/bytes"), 1);
}

fn shapes<const N: usize>(
    version: &str,
    all: [(&str, &str, Outcome); N],
) -> Vec<(String, Vec<u8>, Outcome)> {
    all.into_iter()
        .map(|(fields, body, outcome)| (fields.to_owned(), post(version, fields, body), outcome))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_can_be_read_in_two_ways_is_refused() {
    let all = [
        ("content-length: 5\r\ncontent-length: 6\r\n", "hello", BAD),
        ("content-length: 6\r\ncontent-length: 5\r\n", "hello", BAD),
        ("content-length: +5\r\n", "hello", BAD),
        ("content-length: -5\r\n", "hello", BAD),
        ("content-length: 5, 5\r\n", "hello", BAD),
        ("content-length: 5 5\r\n", "hello", BAD),
        ("content-length: 5,\r\n", "hello", BAD),
        ("content-length: 0x5\r\n", "hello", BAD),
        ("content-length: 5.0\r\n", "hello", BAD),
        ("content-length: 5;\r\n", "hello", BAD),
        ("content-length:\r\n", "hello", BAD),
        ("content-length: \u{0665}\r\n", "hello", BAD),
        ("content-length: 99999999999999999999999\r\n", "hello", BAD),
        (
            "content-length: 18446744073709551615\r\n",
            "hello",
            Refused("HTTP/1.1 431 "),
        ),
        // Plausible, and never sent: waited for until the deadline.
        ("content-length: 9223372036854775807\r\n", "hello", Ended),
        // The same twice says one thing (RFC 9110 §8.6), as does one in blanks.
        (
            "content-length: 5\r\ncontent-length: 5\r\n",
            "hello",
            Both("5\n"),
        ),
        ("content-length:   5 \t \r\n", "hello", Both("5\n")),
        ("content-length: 005\r\n", "hello", Both("5\n")),
    ];
    demand(shapes("1.1", all)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_and_an_encoding_together_end_the_connection() {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    let both = "content-length: 15\r\ntransfer-encoding: chunked\r\n";
    let short = "content-length: 3\r\ntransfer-encoding: chunked\r\n";
    let turned = "transfer-encoding: chunked\r\ncontent-length: 3\r\n";
    let kept = "connection: keep-alive\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n";
    let odd = "transfer-encoding: chunked\r\ncontent-length: nonsense\r\n";
    // RFC 9112 §6.1: by the encoding, and then closed.
    let all = [both, short, turned, kept, odd].map(|fields| (fields, chunked, Alone("5\n")));
    demand(shapes("1.1", all)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoding_that_is_not_chunked_alone_is_refused() {
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    let unknown = Refused("HTTP/1.1 501 ");
    let all = [
        ("transfer-encoding: chunked\r\n", Both("5\n")),
        ("Transfer-Encoding: Chunked\r\n", Both("5\n")),
        ("transfer-encoding: xchunked\r\n", BAD),
        ("transfer-encoding: chunkedx\r\n", BAD),
        ("transfer-encoding: \"chunked\"\r\n", BAD),
        ("transfer-encoding: chunked;q=1\r\n", BAD),
        ("transfer-encoding: chunked, identity\r\n", BAD),
        ("transfer-encoding: identity\r\n", BAD),
        ("transfer-encoding:\r\n", BAD),
        ("transfer-encoding: \u{b}chunked\r\n", BAD),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
            BAD,
        ),
        ("transfer-encoding: chunked, chunked\r\n", unknown),
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            unknown,
        ),
        ("transfer-encoding: identity, chunked\r\n", unknown),
        ("transfer-encoding: gzip, chunked\r\n", unknown),
        ("transfer-encoding: , chunked\r\n", unknown),
        (
            "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
            unknown,
        ),
    ]
    .map(|(fields, outcome)| (fields, chunked, outcome));
    let mut all = shapes("1.1", all);
    let old = [("transfer-encoding: chunked\r\n", chunked, BAD)];
    // HTTP/1.0 answers with its own version, and knows no chunks.
    all.extend(shapes("1.0", old).into_iter().map(|(name, request, _)| {
        (
            format!("HTTP/1.0 {name}"),
            request,
            Refused("HTTP/1.1 400 "),
        )
    }));
    demand(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_others_would_split_elsewhere_is_refused() {
    let all = [
        ("content-length : 5\r\n", "hello", BAD),
        ("content-length\t: 5\r\n", "hello", BAD),
        ("transfer-encoding : chunked\r\n", "0\r\n\r\n", BAD),
        (" content-length: 5\r\n", "hello", BAD),
        ("content-length:\r\n 5\r\n", "hello", BAD),
        ("x: a\r\n content-length: 5\r\n", "hello", BAD),
        ("x: a\r\n\tb\r\ncontent-length: 5\r\n", "hello", BAD),
        ("x: a\0b\r\ncontent-length: 5\r\n", "hello", BAD),
        ("x: a\rcontent-length: 5\r\n", "hello", BAD),
        ("x: a\r\rcontent-length: 5\r\n", "hello", BAD),
        ("content-length: 5\0\r\n", "hello", BAD),
        ("content-length: 5\rx: y\r\n", "hello", BAD),
        ("content\0-length: 5\r\n", "hello", BAD),
        ("content-length\r\n", "hello", BAD),
        (": 5\r\n", "hello", BAD),
        // RFC 9112 §2.2 lets a lone line feed end a line.
        ("x: y\ncontent-length: 5\n", "hello", Both("5\n")),
    ];
    let mut all = shapes("1.1", all);
    for head in [
        "POST  /count HTTP/1.1\r\nhost: x\r\n",
        "POST /count HTTP/1.1 \r\nhost: x\r\n",
        "POST /count\r\nhost: x\r\n",
        "POST /count HTTP/11\r\nhost: x\r\n",
        "POST /count HTTP/1.1\r\n\u{b}host: x\r\n",
    ] {
        let request = format!("{head}content-length: 5\r\n\r\nhello{SMUGGLED}");
        all.push((head.to_owned(), request.into_bytes(), BAD));
    }
    demand(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_do_not_add_up_end_the_connection() {
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(1024 * 1024));
    let trailer = format!("0\r\nx: {}\r\n\r\n", "t".repeat(1024 * 1024));
    let all = [
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nx y\r\n\r\n",
        &extension,
        &trailer,
    ];
    let mut broken: Vec<_> = all
        .into_iter()
        .map(|body| {
            let name = body.chars().take(40).collect();
            (
                name,
                post("1.1", "transfer-encoding: chunked\r\n", body),
                Ended,
            )
        })
        .collect();
    let small = "5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n";
    let small = post("1.1", "transfer-encoding: chunked\r\n", small);
    broken.push(("a small extension".to_owned(), small, Both("5\n")));
    demand(broken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_never_read_as_a_request() {
    let length = SMUGGLED.len();
    let inside = format!("content-length: {length}\r\n\r\n{SMUGGLED}");
    let chunk = format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n");
    let large = length + 300_000;
    let padding = " ".repeat(300_000);
    let large = format!("content-length: {large}\r\n\r\n{padding}{SMUGGLED}");
    let mut all = Vec::new();
    for body in [&inside, &chunk, &large] {
        // The second of these guests does not look at its body, and the third
        // is never asked.
        for (start, expects) in [
            ("POST /count HTTP/1.1\r\nhost: x\r\n", true),
            ("GET /bytes-of-nothing HTTP/1.1\r\nhost: x\r\n", false),
            ("POST /count HTTP/1.1\r\n", false),
        ] {
            for expect in ["", "expect: 100-continue\r\n"] {
                let name = format!("{start}{expect}{}", &body[..30]);
                all.push((name, format!("{start}{expect}{body}"), expects));
            }
        }
    }
    let collector = Collector::start().await;
    let host = weary(&collector).await;
    for (name, request, is_counted) in all {
        let answer = exchange(host.address, request.into_bytes()).await;
        let finals = answer.matches("HTTP/1.1 ").count() - answer.matches("HTTP/1.1 100 ").count();
        assert_eq!(finals, 1, "{name:?}: {answer:?}");
        assert_eq!(
            answer.contains(" 200 OK"),
            is_counted,
            "{name:?}: {answer:?}"
        );
    }
    // What is over the length is another request, and this is none.
    let longer = post("1.1", "content-length: 5\r\n", "hello there\r\n\r\n");
    let answer = exchange(host.address, longer).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    assert!(answer.contains("HTTP/1.1 400 "), "{answer:?}");
    assert!(!answer.contains(ITS_ANSWER), "{answer:?}");
    assert_eq!(host.get("/bytes?n=1").send().await.status, 200);
    host.stop().await;
    let spans = collector.spans();
    let smuggled = |path| path == json!("/smuggled");
    assert!(
        !spans
            .iter()
            .any(|span| smuggled(span.attribute("url.path")))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_requests_in_one_write_are_answered_in_order() {
    let host = TestHost::serving(ECHO).start().await;
    let mut requests = String::new();
    for n in 0..10 {
        let close = if n == 9 { "connection: close\r\n" } else { "" };
        let body = format!("body number {n};");
        let length = body.len();
        requests.push_str(&match n % 2 {
            0 => format!(
                "POST / HTTP/1.1\r\nhost: x\r\n{close}content-length: {length}\r\n\r\n{body}"
            ),
            _ => format!(
                "POST / HTTP/1.1\r\nhost: x\r\n{close}transfer-encoding: chunked\r\n\r\n\
                 {length:x}\r\n{body}\r\n0\r\n\r\n"
            ),
        });
    }
    let answer = exchange(host.address, requests.into_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 10, "{answer}");
    let places: Vec<_> = (0..10)
        .map(|n| answer.find(&format!("body number {n};")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{places:?}");
}
