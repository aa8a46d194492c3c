//! `fanlight logs`, against the real program.

use fanlight_tests::client::trace_of;
use fanlight_tests::fixture::SHOWCASE;
use fanlight_tests::program::{Program, ServingProgram};
use fanlight_tests::{eventually, eventually_async, lasting_address};

use crate::cli_trace::{admin_url, demand_harmless, host, objects, run};

/// A host that has records of a request to `/logs`, and their trace.
async fn with_records() -> (ServingProgram, String) {
    let host = host(SHOWCASE, &[]).serve().await;
    let trace_id = trace_of(&host.get("/logs").send().await).trace_id;
    eventually_async("the records", async || {
        let (_, said) = run(&host, &["logs"]).await;
        (said.lines().count() >= 7).then_some(())
    })
    .await;
    (host, trace_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_printed_the_oldest_first_and_by_what_is_asked_for() {
    let (host, trace_id) = with_records().await;
    let lines = async |flags: &[&str]| -> Vec<String> {
        let (code, said) = run(&host, &[&["logs"][..], flags].concat()).await;
        assert_eq!(code, Some(0), "{said}");
        demand_harmless(&said);
        said.lines().map(str::to_owned).collect()
    };
    let info = lines(&["--text", "AN INFO 7"]).await;
    assert_eq!(info.len(), 1, "{info:?}");
    for part in [" INFO  an info 7", "number=7", "list=[a, b]", &*trace_id] {
        assert!(info[0].contains(part), "{part}: {info:?}");
    }
    let errors = lines(&["--severity", "error", "--trace", &trace_id]).await;
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("ERROR an error") && errors[1].contains("FATAL a fatal one"));
    assert_eq!(lines(&["-n", "2", "--trace", &trace_id]).await.len(), 2);
    assert_eq!(
        lines(&["--text", "not there"]).await,
        ["no log record matches"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json_each_record_is_an_object() {
    let (host, trace_id) = with_records().await;
    let (code, said) = run(&host, &["logs", "--json", "--trace", &trace_id]).await;
    assert_eq!(code, Some(0), "{said}");
    let records = objects(&said);
    assert_eq!(records.len(), 7, "{said}");
    for record in &records {
        assert_eq!(record["traceId"], trace_id.as_str());
        assert!(record["severityNumber"].is_number(), "{record}");
    }
    let named = records
        .iter()
        .find(|it| it["eventName"] == "showcase.event");
    assert!(named.is_some(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn following_prints_what_comes_later_also_from_a_host_that_was_restarted() {
    // Another test's host would answer there in the meantime.
    let admin = lasting_address().to_string();
    let mut host_program = host(SHOWCASE, &[])
        .env("FANLIGHT_ADMIN", &admin)
        .serve()
        .await;
    let follow = ["logs", "--follow", "--json", "--text", "a line on stdout"];
    let follower = Program::new(follow)
        .env("FANLIGHT_ADMIN_URL", &admin_url(&host_program))
        .start();
    // Whether it is connected by now or not, it prints each of them once.
    let mut expected = 0;
    let mut demand = async |host: &ServingProgram| {
        let trace_id = trace_of(&host.get("/stdout").send().await).trace_id;
        expected += 1;
        let records = eventually("the line that comes", || {
            let records = objects(&follower.written());
            (records.len() >= expected).then_some(records)
        })
        .await;
        assert_eq!(records.len(), expected, "{}", follower.written());
        assert_eq!(records[expected - 1]["traceId"], trace_id.as_str());
    };
    demand(&host_program).await;
    demand(&host_program).await;
    host_program.signal("TERM").await;
    assert_eq!(host_program.exit_code().await, Some(0));
    eventually("the warning that the host does not answer", || {
        follower.said().contains("cannot reach").then_some(())
    })
    .await;
    let again = host(SHOWCASE, &[])
        .env("FANLIGHT_ADMIN", &admin)
        .serve()
        .await;
    demand(&again).await;
    demand(&again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_ends_the_command_well() {
    let (host, _) = with_records().await;
    let follow = Program::new(["logs", "--follow"])
        .env("FANLIGHT_ADMIN_URL", &admin_url(&host))
        .without_reader();
    let mut follower = follow.start();
    assert_eq!(follower.exit_code().await, Some(0), "{}", follower.said());
}
