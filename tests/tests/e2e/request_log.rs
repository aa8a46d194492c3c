//! The line on standard error for each request, and the log as JSON.

use std::time::Duration;

use fanlight_tests::client::{Ask, raw, trace_of};
use fanlight_tests::eventually;
use fanlight_tests::fixture::{FAULTS, Fixture, HELLO, SHOWCASE};
use fanlight_tests::program::{Program, ServingProgram};
use fanlight_tests::skipped::skip;
use serde_json::Value;

fn program(fixture: Fixture, flags: &[&str]) -> Program {
    let usual = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    Program::new(usual.iter().chain(flags))
        .env("FANLIGHT_COMPONENT", fixture.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
}

/// The line that names a trace.
async fn line_of(program: &ServingProgram, trace_id: &str) -> String {
    eventually("the line of the request", || {
        let said = program.said();
        let found = said.lines().find(|line| line.contains(trace_id));
        found.map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_one_line_with_what_it_took() {
    let mut program = program(SHOWCASE, &["--log-requests"]).serve().await;
    let answer = program.get("/route?secret=1").send().await;
    let trace_id = trace_of(&answer).trace_id;
    let line = line_of(&program, &trace_id).await;
    for part in [
        " GET ",
        " /route/{id} ",
        " 200 ",
        "s  busy ",
        "s 128.0 KiB ",
    ] {
        assert!(line.contains(part), "{part:?}: {line}");
    }
    assert!(!line.contains("secret"), "{line}");
    assert!(!line.contains('\u{1b}'), "{line:?}");
    let missing = program.get("/not/there").send().await;
    let line = line_of(&program, &trace_of(&missing).trace_id).await;
    assert!(line.contains(" /not/there "), "{line}");
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
    let said = program.said();
    assert_eq!(said.matches(&trace_id).count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_failed_is_coloured_and_says_why() {
    let program = program(FAULTS, &["--log-requests"])
        .env("CLICOLOR_FORCE", "1")
        .serve()
        .await;
    let answer = program.get("/trap").send().await;
    let trace_id = trace_of(&answer).trace_id;
    let line = eventually("the line of the request", || {
        let said = program.said();
        let mut lines = said.lines();
        let found = lines.find(|it| it.contains(&trace_id) && it.contains(" /trap "));
        found.map(str::to_owned)
    })
    .await;
    assert!(line.contains("\u{1b}[31m500\u{1b}[0m"), "{line:?}");
    assert!(line.contains("\u{1b}[31mtrap\u{1b}[0m"), "{line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_there_are_no_such_lines_unless_they_are_asked_for() {
    for flags in [&[][..], &["--log-requests=off"]] {
        let mut program = program(HELLO, flags).serve().await;
        let answer = program.get("/hello").send().await;
        program.signal("TERM").await;
        assert_eq!(program.exit_code().await, Some(0));
        let said = program.said();
        assert!(!said.contains(&trace_of(&answer).trace_id), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_reaches_the_terminal_without_control_characters() {
    for format in ["text", "json"] {
        let program = program(HELLO, &["--log-requests", "--log-format", format])
            .serve()
            .await;
        // In a path HTTP allows octets from 128 on, as in the second character: it begins
        // a command to the terminal as an escape does.
        for path in [&b"/a\x1b[2Jx"[..], "/b\u{9b}2J\u{202e}y".as_bytes()] {
            let rest = b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
            raw(program.address, &[b"GET ", path, rest].concat()).await;
        }
        eventually("the line of the path that HTTP allows", || {
            program.said().contains("/b\\u").then_some(())
        })
        .await;
        let said = program.said();
        let raw = said.find(['\u{1b}', '\u{9b}', '\u{202e}']);
        assert_eq!(raw, None, "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json_each_line_is_an_object() {
    let mut program = program(FAULTS, &["--log-requests", "--log-format=json"])
        .serve()
        .await;
    let answer = program.get("/trap").send().await;
    let trace_id = trace_of(&answer).trace_id;
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
    let said = program.said();
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
    }
    let serving = lines
        .iter()
        .find(|it| it["message"].as_str().unwrap().starts_with("serving at"));
    let digest = serving.unwrap()["fields"]["digest"].as_str().unwrap();
    assert!(digest.starts_with("sha256:"), "{digest}");
    let requests = lines
        .iter()
        .filter(|it| it["target"] == "fanlight::request");
    let requests: Vec<_> = requests.collect();
    assert_eq!(requests.len(), 1, "{said}");
    let request = requests[0];
    let fields = &request["fields"];
    assert_eq!(fields["method"], "GET");
    assert_eq!(fields["path"], "/trap");
    assert_eq!(fields["status"], 500);
    assert_eq!(fields["error.type"], "trap");
    assert_eq!(fields["trace_id"], trace_id.as_str());
    assert!(fields["duration_ms"].as_f64().unwrap() > 0.0, "{request}");
    assert!(
        fields["memory_peak_bytes"].as_u64().unwrap() > 0,
        "{request}"
    );
    // The host's own line about the failure names the trace as a field.
    let failure = lines
        .iter()
        .find(|it| it["level"] == "WARN" && it["target"] != "fanlight::request");
    assert_eq!(failure.unwrap()["fields"]["trace_id"], trace_id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_at_the_end_is_an_object_as_well() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let hello = HELLO.path();
    let arguments = ["serve", hello.to_str().unwrap(), "--listen", &address];
    let (code, said) = Program::new(arguments)
        .env("FANLIGHT_LOG_FORMAT", "json")
        .output()
        .await;
    assert_eq!(code, Some(1), "{said}");
    let last: Value = serde_json::from_str(said.lines().next_back().unwrap()).unwrap();
    assert_eq!(last["level"], "ERROR");
    assert!(
        last["message"].as_str().unwrap().contains(&address),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_nobody_reads_hold_up_no_request() {
    let mut program = program(HELLO, &["--log-requests"]).unheard().serve().await;
    // Several times as much as a pipe holds.
    let target = format!("/{}", "x".repeat(180));
    for _ in 0..1000 {
        let answer = tokio::time::timeout(Duration::from_secs(20), program.get(&target).send());
        assert_eq!(answer.await.unwrap().status, 404);
    }
    let live = Ask::get(program.admin.unwrap(), "/livez").send().await;
    assert_eq!(live.status, 200);
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
}

/// What the program writes to a terminal of its own while it serves one request.
async fn on_a_terminal(vars: &[(&str, &str)]) -> (String, String) {
    let mut terminal = program(HELLO, &[]).env("TERM", "xterm-256color");
    for (name, value) in vars {
        terminal = terminal.env(name, value);
    }
    let program = terminal.on_a_terminal().serve().await;
    let answer = program.get("/hello").send().await;
    let trace_id = trace_of(&answer).trace_id;
    let line = eventually("the line of the request", || {
        let said = program.said();
        let found = said.lines().find(|line| line.contains(&trace_id));
        found.map(str::to_owned)
    })
    .await;
    (line, program.said())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_requests_are_logged_in_colours_unless_they_are_not_wanted() {
    let name = "on_a_terminal_requests_are_logged_in_colours_unless_they_are_not_wanted";
    if std::process::Command::new("script")
        .arg("--version")
        .output()
        .is_err()
    {
        return skip(name, "there is no script(1)");
    }
    let (line, all) = on_a_terminal(&[]).await;
    assert!(line.contains("\u{1b}[32m200\u{1b}[0m"), "{line:?}");
    assert!(all.contains("\u{1b}[32m INFO\u{1b}[0m"), "{all:?}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (line, all) = on_a_terminal(&[(name, value)]).await;
        assert!(line.contains(" 200 "), "{line:?}");
        assert!(!all.contains('\u{1b}'), "{name}: {all:?}");
    }
}
