//! The runner as a program: what it says and how it exits.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

#[test]
fn a_service_that_is_not_there_is_told_with_what_to_run() {
    let output = runner(&["--base-url", &format!("http://{}", free_address())]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("no service answers at http://127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains("cargo xtask run"), "{said}");
    assert!(said.contains("refused"), "the cause: {said}");
}

#[test]
fn a_service_that_is_another_one_fails() {
    let output = runner(&["--base-url", &stub("404 Not Found", "{}")]);
    let (report, said) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(report.contains("status: expected 200, got 404"), "{report}");
    assert!(said.contains("is not the demo"), "{said}");
}

#[test]
fn each_endpoint_that_differs_is_told() {
    let stub = stub("200 OK", r#"{"status":"healthy"}"#);
    let output = runner(&["--base-url", &stub, "--requests", "7", "--workers", "2"]);
    let (report, said) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(report.contains("ok    GET /health"), "{report}");
    assert!(report.contains("FAIL  GET /api/users"), "{report}");
    assert!(
        report.contains("users: expected a list of 3, got {"),
        "{report}"
    );
    assert!(report.contains("Load: 7 requests by 2 workers"), "{report}");
    assert!(report.contains("p99"), "{report}");
    assert!(report.ends_with("checks failed.\n"), "{report}");
}

#[test]
fn a_flag_that_makes_no_sense_is_bad_use() {
    for flags in [
        &["--base-url", "localhost:8000"][..],
        &["--requests", "0"],
        &["--workers", "none"],
        &["--jaeger", "https://localhost:16686"],
        &["--nonsense"],
    ] {
        assert_eq!(runner(flags).status.code(), Some(2), "{flags:?}");
    }
}

fn runner(flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fanlight-runner"))
        .args(flags)
        .env_remove("BASE_URL")
        .env_remove("JAEGER_URL")
        .env_remove("JAEGER_PAGE_URL")
        .output()
        .unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Serves this one answer to whatever is asked, until the test process ends.
fn stub(status: &str, body: &str) -> String {
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if connection.read(&mut byte).unwrap() == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            // A client that went away is its own affair.
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    url
}
