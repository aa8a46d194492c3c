//! `fanlight trace` and `fanlight traces`, against the real program.

use fanlight_tests::client::{raw, trace_of};
use fanlight_tests::eventually_async;
use fanlight_tests::fake_viewer::FakeViewer;
use fanlight_tests::fixture::{DEMO, ECHO, FAULTS, Fixture, HELLO};
use fanlight_tests::program::{Program, ServingProgram};
use fanlight_tests::tls::Authority;
use serde_json::{Value, json};

/// A text that would steer a terminal: by an escape, by a control character beyond ASCII,
/// by one that turns the direction.
pub(crate) const HOSTILE: &str = "evil\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\r\u{7f}";

/// A host with a viewer that is fed, and no other place for telemetry.
pub(crate) fn host(fixture: Fixture, flags: &[&str]) -> Program {
    let usual = ["serve", "--listen", "127.0.0.1:0"];
    Program::new(usual.iter().chain(flags))
        .env("FANLIGHT_ADMIN", "127.0.0.1:0")
        .env("FANLIGHT_COMPONENT", fixture.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_TRACES_EXPORTER", "none")
        .env("OTEL_METRICS_EXPORTER", "none")
        .env("OTEL_LOGS_EXPORTER", "none")
}

pub(crate) fn admin_url(host: &ServingProgram) -> String {
    format!("http://{}", host.admin.unwrap())
}

/// Runs a command against a host; gives back its exit code and what it wrote.
pub(crate) async fn run(host: &ServingProgram, arguments: &[&str]) -> (Option<i32>, String) {
    let program = Program::new(arguments).env("FANLIGHT_ADMIN_URL", &admin_url(host));
    program.output().await
}

/// The objects of an output of one a line.
pub(crate) fn objects(said: &str) -> Vec<Value> {
    let objects = said.lines().map(serde_json::from_str);
    objects.map(Result::unwrap).collect()
}

/// Demands that no control character but the ends of lines reaches a terminal.
pub(crate) fn demand_harmless(said: &str) {
    let is_raw = |it: char| it != '\n' && (it.is_control() || it == '\u{202e}');
    assert!(!said.contains(is_raw), "{said:?}");
}

/// Demands that parts follow one another in a text.
fn demand_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part);
        assert!(at.is_some(), "{part:?} does not follow in {text}");
        rest = &rest[at.unwrap() + part.len()..];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_gets_one_request_whose_spans_are_printed_as_a_tree() {
    let host = host(DEMO, &[]).serve().await;
    let url = format!("http://{}/api/process", host.address);
    let (code, said) = run(&host, &["trace", &url]).await;
    assert_eq!(code, Some(0), "{said}");
    demand_order(
        &said,
        &[
            &format!("GET {url} 200 OK, "),
            "\ntrace ",
            ": 5 spans, ",
            "/ui/trace/",
            "\nGET /api/process ",
            "+0.0 µs",
            "█",
            " 200\n",
            "fanlight.guest.busy_time=",
            "fanlight.guest.memory.peak=",
            "├─ ",
            "└─ ",
        ],
    );
    demand_harmless(&said);
    let (code, said) = run(&host, &["trace", &url, "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    let objects = objects(&said);
    assert_eq!(objects[0]["type"], "response");
    assert_eq!(objects[0]["status"], 200);
    let spans: Vec<_> = objects.iter().filter(|it| it["type"] == "span").collect();
    assert_eq!(spans.len(), 5, "{said}");
    for span in spans {
        assert_eq!(span["traceId"], objects[0]["traceId"]);
        assert!(span["spanId"].is_string() && span["serviceName"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_request_has_its_error_its_exception_and_its_log_records_in_order() {
    let host = host(FAULTS, &[]).serve().await;
    let url = format!("{}/panic", host.address);
    let (code, said) = run(&host, &["trace", &url]).await;
    assert_eq!(code, Some(0), "{said}");
    demand_order(
        &said,
        &[
            "500 Internal Server Error",
            "\ntrace ",
            " 500 trap",
            "panicked",
            "exception trap",
        ],
    );
    let id = said.split("trace ").nth(1).unwrap().get(..32).unwrap();
    // The same by its id, once it is there.
    let (code, stored) = run(&host, &["trace", id]).await;
    assert_eq!(code, Some(0), "{stored}");
    assert!(said.ends_with(&stored), "{said}\n{stored}");
    let (code, said) = run(&host, &["trace", id, "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    let objects = objects(&said);
    let kinds: Vec<_> = objects.iter().map(|it| it["type"].as_str()).collect();
    assert!(
        kinds.contains(&Some("span")) && kinds.contains(&Some("log")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn method_headers_and_body_are_sent_as_curl_does() {
    let host = host(ECHO, &[]).serve().await;
    let url = format!("http://{}/echo", host.address);
    let arguments = [
        "trace",
        "-X",
        "POST",
        "-H",
        "content-type: text/plain",
        "-d",
        "hello",
        &url,
        "--json",
    ];
    let (code, said) = run(&host, &arguments).await;
    assert_eq!(code, Some(0), "{said}");
    let objects = objects(&said);
    assert_eq!(objects[0]["method"], "POST");
    assert_eq!(
        (&objects[0]["status"], &objects[0]["bodyBytes"]),
        (&json!(200), &json!(5))
    );
    let id = objects[0]["traceId"].as_str().unwrap();
    let (code, said) = run(&host, &["trace", id, "-d", "x"]).await;
    assert_eq!(code, Some(2), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_given_is_kept() {
    let host = host(HELLO, &[]).serve().await;
    let url = format!("http://{}/hello", host.address);
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("traceparent: 00-{id}-00f067aa0ba902b7-01");
    let (code, said) = run(&host, &["trace", &url, "-H", &header]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("\ntrace {id}: ")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_with_the_authorities_that_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::generate();
    let files = authority.issue("localhost").write_to(folder.path(), "host");
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, authority.certificate()).unwrap();
    let host = host(
        HELLO,
        &[
            "--tls-cert",
            files.certificate.to_str().unwrap(),
            "--tls-key",
            files.key.to_str().unwrap(),
        ],
    )
    .serve()
    .await;
    let url = format!("https://localhost:{}/hello", host.address.port());
    let (code, said) = run(&host, &["trace", &url]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("certificate"), "{said}");
    for flags in [&["--cacert", trusted.to_str().unwrap()][..], &["-k"]] {
        let (code, said) = run(&host, &[&["trace", &url][..], flags].concat()).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("200 OK"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_viewer_nothing_is_sent_and_the_error_says_what_to_do() {
    let mut host = host(HELLO, &["--viewer", "off", "--log-requests"])
        .serve()
        .await;
    let url = format!("http://{}/hello", host.address);
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    for arguments in [
        &["trace", &url][..],
        &["trace", id],
        &["traces"],
        &["logs"],
        &["logs", "--follow"],
    ] {
        let (code, said) = run(&host, arguments).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("error: "), "{said}");
        assert!(said.contains("--viewer on"), "{said}");
    }
    host.signal("TERM").await;
    assert_eq!(host.exit_code().await, Some(0));
    assert!(!host.said().contains(" /hello "), "{}", host.said());
    let (code, said) = run(&host, &["traces"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot reach"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_token_opens_the_viewer() {
    let host = host(HELLO, &[])
        .env("FANLIGHT_ADMIN_TOKEN", "secret")
        .serve()
        .await;
    let url = format!("http://{}/hello", host.address);
    let (code, said) = run(&host, &["trace", &url]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--admin-token-file"), "{said}");
    for arguments in [&["trace", &url][..], &["traces"], &["logs"]] {
        let arguments = [arguments, &["--admin-token", "secret"]].concat();
        let (code, said) = run(&host, &arguments).await;
        assert_eq!(code, Some(0), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_is_said() {
    let host = host(HELLO, &[]).serve().await;
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (code, said) = run(&host, &["trace", id]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("fanlight traces"), "{said}");
    let (code, said) = run(&host, &["trace", "ftp://a/"]).await;
    assert_eq!(code, Some(2), "{said}");
    // It is not sampled, so it does not come.
    let url = format!("http://{}/hello", host.address);
    let header = format!("traceparent: 00-{id}-00f067aa0ba902b7-00");
    let (code, said) = run(&host, &["trace", &url, "-H", &header]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("did not sample"), "{said}");
    let (code, said) = run(&host, &["trace", "http://127.0.0.1:9/"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("no answer from http://127.0.0.1:9/"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_listed_the_newest_first_and_by_what_is_asked_for() {
    let host = host(FAULTS, &[]).serve().await;
    let mut ids = Vec::new();
    for target in ["/counter", "/trap", "/status?code=404"] {
        ids.push(trace_of(&host.get(target).send().await).trace_id);
    }
    let list = async |flags: &[&str]| {
        let arguments = [&["traces", "--json"][..], flags].concat();
        let (code, said) = run(&host, &arguments).await;
        assert_eq!(code, Some(0), "{said}");
        objects(&said)
    };
    let found = async |flags: &[&str]| -> Vec<String> {
        let listed = list(flags).await;
        let ids = listed
            .iter()
            .map(|it| it["traceId"].as_str().unwrap().to_owned());
        ids.collect()
    };
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    eventually_async("all traces", async || {
        (found(&[]).await == newest_first).then_some(())
    })
    .await;
    assert_eq!(found(&["--status", "error"]).await, [ids[1].clone()]);
    assert_eq!(found(&["--status", "404"]).await, [ids[2].clone()]);
    assert_eq!(found(&["--limit", "1"]).await, [ids[2].clone()]);
    assert_eq!(found(&["--since", "1h"]).await.len(), 3);
    assert!(found(&["--min-duration", "1h"]).await.is_empty());
    assert!(found(&["--service", "another"]).await.is_empty());
    assert_eq!(
        found(&["--attribute", "url.path=/trap"]).await,
        [ids[1].clone()]
    );
    let trap = &list(&["--status", "error"]).await[0];
    assert_eq!(
        (&trap["status"], &trap["errorType"]),
        (&json!(500), &json!("trap"))
    );
    assert_eq!(
        (&trap["path"], &trap["method"]),
        (&json!("/trap"), &json!("GET"))
    );
    let (code, said) = run(&host, &["traces"]).await;
    assert_eq!(code, Some(0), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    for (line, id) in lines.iter().zip(&newest_first) {
        assert!(line.contains(id), "{line}");
    }
    assert!(
        lines[1].contains(" 500 ") && lines[1].ends_with("trap"),
        "{said}"
    );
    let (code, said) = run(&host, &["traces", "--min-duration", "1h"]).await;
    assert_eq!((code, said.trim()), (Some(0), "no trace matches"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_path_cannot_steer_the_terminal_of_who_reads_traces() {
    let host = host(HELLO, &[]).serve().await;
    // In a path HTTP allows octets from 128 on.
    let head = "GET /a\u{9b}2J\u{202e} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = raw(host.address, head.as_bytes()).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let id = answer.split("traceresponse: 00-").nth(1).unwrap();
    let id = id.get(..32).unwrap();
    let said = eventually_async("the trace", async || {
        let (code, said) = run(&host, &["trace", id]).await;
        (code == Some(0)).then_some(said)
    })
    .await;
    assert!(said.contains("url.path=/a\\u{9b}2J\\u{202e}"), "{said}");
    demand_harmless(&said);
    for arguments in [
        &["trace", id, "--json"][..],
        &["traces"],
        &["traces", "--json"],
    ] {
        let (code, said) = run(&host, arguments).await;
        assert_eq!(code, Some(0), "{said}");
        demand_harmless(&said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_viewer_answers_no_control_character_reaches_the_terminal() {
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let value = json!({"stringValue": format!("{HOSTILE}\n{HOSTILE}")});
    let attributes = json!([
        {"key": HOSTILE, "value": value},
        {"key": "http.response.status_code", "value": value},
        {"key": "error.type", "value": value},
        {"key": "exception.message", "value": value},
        {"key": "exception.stacktrace", "value": value},
    ]);
    let answer = json!({"result": {"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": value}]},
        "scopeSpans": [{"spans": [{
            "traceId": id, "spanId": HOSTILE, "name": HOSTILE, "kind": 2,
            "startTimeUnixNano": "1", "endTimeUnixNano": "2", "attributes": attributes,
            "status": {"code": 2, "message": HOSTILE},
            "events": [
                {"name": HOSTILE, "attributes": attributes},
                {"name": "exception", "attributes": attributes},
            ],
            "links": [{"traceId": HOSTILE}],
        }]}],
    }]}});
    let records = json!({"last": 1, "store": HOSTILE, "logRecords": [{
        "severityNumber": 17, "eventName": HOSTILE, "body": value, "attributes": attributes,
        "traceId": HOSTILE, "spanId": HOSTILE,
    }]});
    let viewer = FakeViewer::start(&[
        (format!("/api/v3/traces/{id}").as_str(), answer.clone()),
        ("/api/v3/traces", answer),
        ("/ui/logs.json", records),
    ])
    .await;
    for arguments in [
        &["trace", id][..],
        &["trace", id, "-a"],
        &["trace", id, "--json"],
        &["traces"],
        &["traces", "--json"],
        &["logs"],
        &["logs", "--json"],
    ] {
        let program = Program::new(arguments).env("FANLIGHT_ADMIN_URL", &viewer.url());
        let (code, said) = program.output().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("evil"), "{said}");
        demand_harmless(&said);
    }
}
