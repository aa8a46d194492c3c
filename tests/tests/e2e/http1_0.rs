//! HTTP/1.0, which health checks still speak: without a `Host`, and without
//! connections that stay unless both sides say so.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use fanlight_runner::span::Status;
use fanlight_tests::client::{Ask, raw};
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::{FAULTS, PLAIN};
use fanlight_tests::host::TestHost;
use fanlight_tests::skipped::skip;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::process::Command;

async fn text(address: SocketAddr, request: &str) -> String {
    String::from_utf8(raw(address, request.as_bytes()).await).unwrap()
}

/// The values of `connection` in a head.
fn connections(answer: &str) -> Vec<&str> {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let fields = fields.filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    fields.flat_map(|(_, value)| value.split(", ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_no_host_asks_the_listener() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    // HAProxy's default check, that of Nagios, and one of a load balancer.
    for request in [
        "OPTIONS /status?code=204 HTTP/1.0\r\n\r\n",
        "OPTIONS /status?code=204 HTTP/1.0\r\nUser-Agent: check_http/v2.3.3\r\n\
         Connection: close\r\n\r\n",
        "GET /status?code=204 HTTP/1.0\r\nAccept: */*\r\n\r\n",
    ] {
        let answer = text(host.address, request).await;
        assert!(answer.starts_with("HTTP/1.0 204 "), "{request}: {answer}");
    }
    let span = collector
        .span(|span| span.attribute("network.protocol.version") == json!("1.0"))
        .await;
    assert_eq!(span.status, Status::Unset);
    assert_eq!(span.attribute("server.address"), json!("127.0.0.1"));
    assert_eq!(span.attribute("server.port"), json!(host.address.port()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_named_is_still_the_one_that_is_asked() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    for (request, name) in [
        (
            "GET /status HTTP/1.0\r\nhost: named.example\r\n\r\n",
            "named.example",
        ),
        (
            "GET http://target.example/status HTTP/1.0\r\n\r\n",
            "target.example",
        ),
    ] {
        let answer = text(host.address, request).await;
        assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
        let span = collector
            .span(|span| span.attribute("server.address") == json!(name))
            .await;
        assert_eq!(span.status, Status::Unset);
    }
    // None that can be is not none at all.
    for field in ["host: a:b", "host: ", "host: a\r\nhost: a"] {
        let answer = text(
            host.address,
            &format!("GET /status HTTP/1.0\r\n{field}\r\n\r\n"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.0 400 "), "{field}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_either_that_the_connection_stays_or_that_it_closes() {
    let host = TestHost::serving(FAULTS).start().await;
    let keep = "connection: keep-alive\r\n";
    for (target, more, stays) in [
        ("/status", "", true),
        // One of the host's own.
        ("/no-response", "", true),
        // Whose body ends with the connection, and one that has none.
        ("/stream?delay_ms=0", "", false),
        ("/stream?delay_ms=0&code=204", "", true),
        // Refused, and nothing is read after it.
        ("/status", "host: a:b\r\n", false),
        ("/status", "host: a\r\nhost: b\r\n", false),
    ] {
        let request = format!("GET {target} HTTP/1.0\r\n{keep}{more}\r\n");
        // The second one is answered where the connection stays.
        let both = format!("{request}GET /status HTTP/1.0\r\n\r\n");
        let answer = text(host.address, &both).await;
        let said = connections(&answer);
        assert_eq!(
            answer.matches("HTTP/1.0 ").count(),
            if stays { 2 } else { 1 },
            "{answer}"
        );
        let right = if stays { ["keep-alive"] } else { ["close"] };
        assert_eq!(said, right, "{target} {more}: {answer}");
    }
}

/// HAProxy, where it is installed.
fn haproxy() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&folders).collect();
    // Where Debian has it, which is not in every user's path.
    folders.push("/usr/sbin".into());
    let files = folders.iter().map(|folder| folder.join("haproxy"));
    files.into_iter().find(|file| file.is_file())
}

/// What HAProxy's socket says to a command.
async fn ask(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    stream.write_all(command.as_bytes()).await.ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.ok()?;
    Some(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_haproxy_with_its_default_check_holds_the_host_for_up() {
    let Some(program) = haproxy() else {
        let name = "a_haproxy_with_its_default_check_holds_the_host_for_up";
        return skip(name, "HAProxy is not installed (apt-get install haproxy)");
    };
    let host = TestHost::serving(PLAIN).start().await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let config = folder.path().join("haproxy.cfg");
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front_address = front.local_addr().unwrap();
    drop(front);
    let text = format!(
        "global\n  stats socket {}\ndefaults\n  mode http\n  timeout connect 5s\n  \
         timeout client 30s\n  timeout server 30s\nfrontend front\n  bind {front_address}\n  \
         default_backend hosts\nbackend hosts\n  option httpchk\n  \
         server host {} check inter 100ms fall 1 rise 1\n",
        socket.display(),
        host.address
    );
    std::fs::write(&config, text).unwrap();
    let _haproxy = Command::new(program)
        .arg("-db")
        .arg("-f")
        .arg(&config)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // A server is up until its first check: what the checks said is waited for.
    let checked = eventually_async("HAProxy's first checks", async || {
        let said = ask(&socket, "show stat\n").await?;
        let mut lines = said.lines();
        let names: Vec<_> = lines.next()?.trim_start_matches("# ").split(',').collect();
        let server = lines.find(|line| line.starts_with("hosts,host,"))?;
        let values = names.into_iter().zip(server.split(','));
        let values: HashMap<_, _> = values.collect();
        let told = ["status", "check_status", "check_code", "chkfail"];
        let told = told.map(|name| values.get(name).map(ToString::to_string));
        told[2].as_ref().filter(|code| !code.is_empty())?;
        Some(told.map(Option::unwrap_or_default))
    })
    .await;
    assert_eq!(checked, ["UP", "L7OK", "200", "0"]);
    // And asks on through it.
    let answer = Ask::get(front_address, "/").send().await;
    assert_eq!(answer.status, 200);
}
