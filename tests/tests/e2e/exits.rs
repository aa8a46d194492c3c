//! Components that end by an exit, with success and with a failure, before, during and
//! after their answers. An exit is no trap, and one with success is no failure.

use fanlight_runner::span::Status;
use fanlight_tests::client::trace_of;
use fanlight_tests::collected::CollectedPoint;
use fanlight_tests::eventually;
use fanlight_tests::fixture::FAULTS;
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use serde_json::{Value, json};

use crate::outcomes::{demand_problem, faults};

/// When a component exits, with which code, and what comes of it.
struct Exit {
    when: &'static str,
    code: u8,
    /// What the client has: a status, or none where the answer is cut short.
    answer: Option<u16>,
    /// What the server span says.
    error_type: Value,
    /// The phase by which it is counted as a failure.
    phase: Option<&'static str>,
}

/// All of them. `after` is in one go with the last byte, `late` when the span has ended.
fn matrix() -> [Exit; 8] {
    let exit = |when, code, answer, error_type, phase| Exit {
        when,
        code,
        answer,
        error_type,
        phase,
    };
    [
        exit("before", 0, Some(500), json!("no_response"), None),
        exit("before", 1, Some(500), json!("exit"), Some("before_head")),
        // As a guest that returns without having finished its body.
        exit("during", 0, Some(200), json!(null), None),
        exit("during", 1, None, json!("exit"), Some("after_head")),
        exit("after", 0, Some(200), json!(null), None),
        exit("after", 1, Some(200), json!("exit"), Some("after_head")),
        exit("late", 0, Some(200), json!(null), None),
        exit("late", 1, Some(200), json!(null), Some("after_answer")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_is_told_by_its_code_and_by_what_the_client_has() {
    for exit in matrix() {
        let (collector, host) = faults().await;
        let target = format!("/exit?when={}&code={}", exit.when, exit.code);
        let answer = host.get(&target).try_send().await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        assert_eq!(status, exit.answer, "{target}");
        if status == Some(200) {
            let whole: &[u8] = match exit.when {
                "during" => b"the first half, ",
                _ => b"complete\n",
            };
            assert_eq!(&answer.as_ref().unwrap().body[..], whole);
        }
        let span = collector
            .span(|span| span.attribute("url.path") == json!("/exit"))
            .await;
        assert_eq!(span.attribute("error.type"), exit.error_type, "{target}");
        let (blame, is_status) = match exit.error_type {
            Value::Null => (json!(null), Status::Unset),
            _ => (json!("guest"), Status::Error),
        };
        assert_eq!(span.attribute("error.blame"), blame, "{target}");
        assert_eq!(span.status, is_status, "{target}");
        let sent = json!(exit.answer.unwrap_or(200));
        assert_eq!(span.attribute("http.response.status_code"), sent);
        assert!(span.events.is_empty(), "{:?}", span.events);

        let is_of_request = |point: &CollectedPoint| {
            point.count == 1
                && point
                    .attributes
                    .get("error.type")
                    .cloned()
                    .unwrap_or_default()
                    == exit.error_type
        };
        let durations = |points: &[CollectedPoint]| points.iter().any(is_of_request);
        collector
            .points("http.server.request.duration", durations)
            .await;
        if let Some(phase) = exit.phase {
            collector
                .points("fanlight.guest.exits", |points| {
                    points.iter().any(|point| {
                        point.value == 1.0 && point.attributes["fanlight.phase"] == json!(phase)
                    })
                })
                .await;
        }
        // The last points are sent when the host stops.
        host.stop().await;
        let points = collector.all_points();
        let counted = |name: &str| points.iter().filter(|it| it.name == name).count() > 0;
        assert!(!counted("fanlight.guest.traps"), "{target}");
        assert_eq!(counted("fanlight.guest.exits"), exit.phase.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_place_of_an_exit_is_the_hosts_own() {
    let (collector, host) = faults().await;
    for (code, error_type, open_is) in [
        (0, "no_response", Status::Unset),
        (1, "exit", Status::Error),
    ] {
        let answer = host.get(&format!("/exit?code={code}")).send().await;
        let span = demand_problem(&collector, &answer, 500, error_type, "guest").await;
        // What it left open ends with it: in error where it failed.
        let open = collector
            .span(|open| open.parent_span_id.as_ref() == Some(&span.span_id))
            .await;
        assert_eq!(open.attribute("fanlight.span.unfinished"), json!(true));
        assert_eq!(open.status, open_is);
        let word = if code == 1 {
            json!("exit")
        } else {
            json!(null)
        };
        assert_eq!(open.attribute("error.type"), word);
    }
    // Over HTTP/2 too.
    for code in [0, 1] {
        let target = format!("/exit?when=during&code={code}");
        let is_whole = host.get(&target).try_send_h2().await.is_ok();
        assert_eq!(is_whole, code == 0, "{target}");
        let target = format!("/exit?when=after&code={code}");
        assert_eq!(host.get(&target).try_send_h2().await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_exit_is_logged_once_and_one_with_success_is_not() {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .serve()
        .await;
    for when in ["before", "after", "late"] {
        let success = program
            .get(&format!("/exit?when={when}&code=0"))
            .send()
            .await;
        let failure = program
            .get(&format!("/exit?when={when}&code=1"))
            .send()
            .await;
        let trace = trace_of(&failure).trace_id;
        eventually("the line about the exit", || {
            let said = program.said();
            let lines = said.lines().filter(|line| line.contains(&trace));
            let mut of_exit = lines.filter(|line| line.contains("the guest exited with a failure"));
            (of_exit.next().is_some() && of_exit.next().is_none()).then_some(())
        })
        .await;
        let is_logged = program.said().contains(&trace_of(&success).trace_id);
        assert_eq!(is_logged, when == "before", "{when}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_exits_after_its_answer_passes_the_probe_if_it_is_with_success() {
    for (code, status) in [(0, 200), (1, 422)] {
        let host = TestHost::serving(FAULTS)
            .with(|host| host.probe = Some(format!("/exit?when=after&code={code}")))
            .start()
            .await;
        let answer = host.put(fanlight_tests::fixture::version(1)).await;
        assert_eq!(answer.status, status, "{:?}", answer.json());
        if status == 422 {
            let detail = answer.json().unwrap()["detail"].to_string();
            assert!(
                detail.contains("the guest exited with a failure"),
                "{detail}"
            );
        }
    }
}
