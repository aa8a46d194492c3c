//! Clients that connect and then do too little: none of them keeps others out.

use std::net::SocketAddr;
use std::time::Duration;

use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{ECHO, FAULTS, HELLO};
use fanlight_tests::host::{RunningHost, TestHost};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::departures::demand_failed;

/// An HTTP/2 client's first bytes: the preface and empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A host that is soon weary of heads that do not come.
async fn weary(max_connections: usize) -> RunningHost {
    TestHost::serving(HELLO)
        .server(|limits| {
            limits.header_timeout = Duration::from_millis(500);
            limits.max_connections = max_connections;
        })
        .start()
        .await
}

async fn saying(address: SocketAddr, words: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(words).await.unwrap();
    stream
}

/// Reads until the server closes.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(fanlight_tests::PATIENCE, stream.read_to_end(&mut rest));
    // A reset is an end as well.
    let _ = read.await.unwrap();
    rest
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_no_head_makes_room_for_others() {
    let host = weary(3).await;
    let beginnings: [&[u8]; 7] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n",
        PREFACE,
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n",
        b"\r\n",
    ];
    for beginning in beginnings {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(saying(host.address, beginning).await);
        }
        // There are three places, and each comes free.
        let answer = host.get("/hello").send().await;
        assert_eq!(answer.status, 200);
        for stream in &mut held {
            rest(stream).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_byte_by_byte_is_not_waited_for() {
    let host = weary(10).await;
    let stream = TcpStream::connect(host.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let dribble = tokio::spawn(async move {
        for byte in b"GET /hello HTTP/1.1\r\nx-dribble: "
            .iter()
            .chain([b'x'; 10_000].iter())
        {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut said = Vec::new();
    let read = tokio::time::timeout(fanlight_tests::PATIENCE, reader.read_to_end(&mut said));
    let _ = read.await.unwrap();
    assert!(!said.starts_with(b"HTTP/1.1 200"));
    dribble.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_is_a_failed_connection_and_an_idle_one_is_not() {
    let collector = Collector::start().await;
    let host = TestHost::serving(HELLO)
        .exporting_to(&collector)
        .server(|limits| limits.header_timeout = Duration::from_millis(300))
        .start()
        .await;
    for beginning in [
        "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /hello HTTP/1.1\r\nhost:",
    ] {
        let mut stream = saying(host.address, beginning.as_bytes()).await;
        rest(&mut stream).await;
    }
    demand_failed(&collector, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_requests_is_closed_and_one_with_them_kept() {
    let host = weary(10).await;
    let mut kept = saying(host.address, b"").await;
    let mut idle = saying(host.address, b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // Three times as long as an idle one may be.
    for _ in 0..15 {
        kept.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = vec![0; 4096];
        let bytes = kept.read(&mut answer).await.unwrap();
        assert!(answer[..bytes].starts_with(b"HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(rest(&mut idle).await.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_http2_connection_is_told_to_go() {
    let host = weary(10).await;
    let mut idle = saying(host.address, PREFACE).await;
    let frames = rest(&mut idle).await;
    // Frame type 7 is GOAWAY; its error code 0 says that nothing was wrong.
    let mut at = 0;
    let mut types = Vec::new();
    while let Some(head) = frames.get(at..at + 9) {
        types.push(head[3]);
        at += 9 + usize::from(head[1]) * 256 + usize::from(head[2]);
    }
    assert!(types.contains(&7), "{types:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_sockets_and_half_prefaces_keep_nobody_out() {
    rlimit::increase_nofile_limit(10_000).unwrap();
    let host = weary(10_000).await;
    let mut held = Vec::new();
    for n in 0..1_000 {
        let beginning: &[u8] = if n % 2 == 0 { b"" } else { b"PRI * HT" };
        held.push(saying(host.address, beginning).await);
        if n % 100 == 0 {
            assert_eq!(host.get("/hello").send().await.status, 200);
        }
    }
    for stream in &mut held {
        rest(stream).await;
    }
    assert_eq!(host.get("/hello").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_ends_at_the_deadline() {
    let collector = Collector::start().await;
    let host = TestHost::serving(ECHO)
        .exporting_to(&collector)
        .requests(|limits| limits.request_timeout = Duration::from_millis(400))
        .start()
        .await;
    let head = b"POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nsome";
    let mut slow = saying(host.address, head).await;
    let answer = rest(&mut slow).await;
    assert!(answer.starts_with(b"HTTP/1.1 504"), "{answer:?}");
    let span = collector.span(|span| span.name == "POST /count").await;
    assert_eq!(span.attribute("error.type"), json!("timeout"));
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_get_431() {
    let host = TestHost::serving(FAULTS).start().await;
    let fields = |count: usize, size: usize| {
        let value = "v".repeat(size);
        let fields = (0..count).map(|n| format!("x-{n}: {value}\r\n"));
        format!(
            "GET /headers HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n",
            fields.collect::<String>()
        )
    };
    for (count, size, status) in [
        (90, 10, 200),
        (101, 10, 431),
        (1, 40_000, 431),
        (9, 3_000, 200),
    ] {
        let mut stream = saying(host.address, fields(count, size).as_bytes()).await;
        let answer = rest(&mut stream).await;
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(wanted.as_bytes()), "{count} of {size}");
    }
}
