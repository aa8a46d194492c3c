//! A component that imports more than the served one: told apart by every swap, and
//! refused where the operator or the client says so.

use std::fs;
use std::path::Path;

use fanlight_runner::client::Answer;
use fanlight_server::ImportPolicy;
use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::{FAULTS, bare, version};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::program::Program;
use http::Method;
use serde_json::{Value, json};

/// A component that imports these interfaces of WASI 0.2.`patch` beside `wasi:http/types`.
pub(crate) fn importing(interfaces: &[&str], patch: u32) -> Vec<u8> {
    let imports = interfaces.iter().map(|name| {
        let part = match *name {
            "wasi:sockets/network" => r#"(export "network" (type (sub resource)))"#,
            "wasi:random/insecure-seed" => {
                r#"(export "insecure-seed" (func (result (tuple u64 u64))))"#
            }
            _ => "",
        };
        format!("(import \"{name}@0.2.{patch}\" (instance {part}))\n")
    });
    let text = include_str!("../../src/fixture/bare.wat")
        .replace("@0.2.12", &format!("@0.2.{patch}"))
        .replace(
            "(component",
            &format!("(component {}", imports.collect::<String>()),
        );
    wat::parse_str(text).unwrap()
}

const SOCKETS: &str = "wasi:sockets/network";
const SEED: &str = "wasi:random/insecure-seed";

async fn put_denying(host: &RunningHost, component: Vec<u8>) -> Answer {
    let put = host.ask_admin(Method::PUT, "/component?deny-new-imports");
    put.body(component).send().await
}

/// Demands the refusal, which names the interface.
fn demand_refusal(answer: &Answer, name: &str) -> Value {
    let problem = answer.json().unwrap();
    assert_eq!(answer.status, 422, "{problem}");
    assert_eq!(problem["type"], json!("urn:fanlight:problem:new_imports"));
    assert_eq!(problem["error_type"], json!("new_imports"));
    let detail = problem["detail"].as_str().unwrap();
    let expected = format!("it imports what the served component does not: {name}");
    assert_eq!(detail, expected);
    assert_eq!(problem["changes"]["imports"]["added"], json!([name]));
    problem
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_tells_what_differs() {
    let host = TestHost::serving(FAULTS).start().await;
    assert_eq!(host.put(importing(&[SEED], 3)).await.status, 200);
    let answer = host.put(importing(&[SOCKETS], 6)).await;
    let body = answer.json().unwrap();
    assert_eq!(answer.status, 200, "{body}");
    let imports = &body["changes"]["imports"];
    assert_eq!(imports["added"], json!(["wasi:sockets/network@0.2.6"]));
    assert_eq!(
        imports["removed"],
        json!(["wasi:random/insecure-seed@0.2.3"])
    );
    let changed = json!([{ "interface": "wasi:http/types", "from": ["0.2.3"], "to": ["0.2.6"] }]);
    assert_eq!(imports["changed"], changed);
    assert_eq!(body["changes"]["footprint"], json!(null));
    // A rollback tells the way back, and one that changes nothing tells nothing.
    let back = host.roll_back().await.json().unwrap();
    let imports = &back["changes"]["imports"];
    assert_eq!(imports["removed"], json!(["wasi:sockets/network@0.2.6"]));
    let unchanged = host.put(importing(&[SEED], 3)).await.json().unwrap();
    assert_eq!(unchanged["outcome"], json!("unchanged"));
    assert_eq!(unchanged["changes"]["imports"]["added"], json!([]));
    assert_eq!(host.component().await.get("changes"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_have_new_imports_refused() {
    let collector = Collector::start().await;
    let host = TestHost::serving(FAULTS)
        .exporting_to(&collector)
        .start()
        .await;
    assert_eq!(host.put(importing(&[], 3)).await.status, 200);
    // Though the host denies sockets in any case.
    let refused = put_denying(&host, importing(&[SOCKETS], 3)).await;
    demand_refusal(&refused, "wasi:sockets/network@0.2.3");
    let view = host.component().await;
    assert_eq!(view["last_refusal"]["error_type"], json!("new_imports"));
    assert_eq!(view["current"]["generation"], json!(2));

    let trace = trace_of(&refused);
    let root = collector.span(|it| it.span_id == trace.span_id).await;
    assert_eq!(root.attribute("error.type"), json!("new_imports"));
    assert_eq!(root.attribute("fanlight.swap.outcome"), json!("refused"));
    let points = collector
        .points("fanlight.component.swaps", |points| points.len() == 2)
        .await;
    let refusals = points.iter().filter(|point| {
        point.attributes.get("error.type") == Some(&json!("new_imports"))
            && point.attributes["fanlight.swap.outcome"] == json!("refused")
    });
    assert_eq!(refusals.count(), 1);

    // Another version is no new interface, and fewer are none either.
    let newer = put_denying(&host, importing(&[], 12)).await;
    assert_eq!(newer.status, 200, "{newer:?}");
    // Who does not ask for it may swap as before.
    assert_eq!(host.put(importing(&[SOCKETS, SEED], 3)).await.status, 200);
    let fewer = put_denying(&host, importing(&[SEED], 6)).await;
    assert_eq!(fewer.status, 200, "{fewer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_can_have_new_imports_refused_however_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watched.wasm");
    let watched = path.clone();
    let host = TestHost::serving(FAULTS)
        .with(|host| {
            host.import_policy = ImportPolicy::NoneNew;
            host.watch = Some(watched);
        })
        .viewed()
        .start()
        .await;
    assert_eq!(host.put(importing(&[], 12)).await.status, 200);
    let generation = host.component().await["current"]["generation"].clone();
    demand_refusal(
        &host.put(importing(&[SEED], 3)).await,
        "wasi:random/insecure-seed@0.2.3",
    );
    fs::write(&path, importing(&[SOCKETS], 3)).unwrap();
    eventually_async("the refusal of the watched file", async || {
        let refusal = host.component().await["last_refusal"].clone();
        let is_file = refusal["source"].as_str()?.ends_with("watched.wasm");
        (is_file && refusal["error_type"] == json!("new_imports")).then_some(())
    })
    .await;
    assert_eq!(host.component().await["current"]["generation"], generation);
    let page = host.ask_admin(Method::GET, "/ui/component").send().await;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let reason = "it imports what the served component does not: wasi:sockets/network@0.2.3";
    assert!(page.contains(reason), "{page}");
    // The component before imports more, and the operator has served it.
    assert_eq!(host.roll_back().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_cannot_hide_an_import_behind_a_long_name() {
    let host = TestHost::serving(FAULTS).start().await;
    let long = |letter: &str| format!("a:b/{}", letter.repeat(300));
    let (one, other) = (long("x"), long("y"));
    assert_eq!(host.put(importing(&[&one], 3)).await.status, 200);
    let refused = put_denying(&host, importing(&[&one, &other], 3)).await;
    let problem = refused.json().unwrap();
    assert_eq!(refused.status, 422, "{problem}");
    assert_eq!(problem["error_type"], json!("new_imports"));
    let reason = "it imports what the served component does not: 2 imports that cannot be compared";
    assert_eq!(problem["detail"], json!(reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelled_parameter_is_refused_and_swaps_nothing() {
    let host = TestHost::serving(FAULTS).start().await;
    for query in ["deny-new-import", "deny-new-imports=yes", "probe=%2F"] {
        let put = host.ask_admin(Method::PUT, &format!("/component?{query}"));
        let answer = put.body(bare("")).send().await;
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(host.component().await["current"]["generation"], json!(1));
    let put = host.ask_admin(Method::PUT, "/component?deny-new-imports=false");
    assert_eq!(put.body(importing(&[SOCKETS], 3)).send().await.status, 200);
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_swap_prints_what_differs_and_passes_the_refusal_on() {
    let folder = tempfile::tempdir().unwrap();
    let without = write(folder.path(), "without.wasm", &importing(&[], 3));
    let sockets = write(folder.path(), "sockets.wasm", &importing(&[SOCKETS], 6));
    let start = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let program = Program::new(start)
        .env("FANLIGHT_COMPONENT", &without)
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .serve()
        .await;
    let url = format!("http://{}", program.admin.unwrap());
    let swap = |arguments: &[&str]| {
        let arguments = ["swap"].iter().chain(arguments);
        Program::new(arguments).env("FANLIGHT_ADMIN_URL", &url)
    };
    let (code, said) = swap(&[&sockets, "--deny-new-imports"]).output().await;
    assert_eq!(code, Some(1), "{said}");
    let reason = "it imports what the served component does not: wasi:sockets/network@0.2.6";
    assert!(said.contains(reason), "{said}");
    let (code, said) = swap(&[&sockets]).output().await;
    assert_eq!(code, Some(0), "{said}");
    let mut lines = said.lines();
    assert!(
        lines.next().unwrap().starts_with("swapped: version "),
        "{said}"
    );
    let rest: Vec<_> = lines.collect();
    let expected = [
        "imports added    wasi:sockets/network@0.2.6",
        "imports changed  wasi:http/types 0.2.3 -> 0.2.6",
        "exports changed  wasi:http/incoming-handler 0.2.3 -> 0.2.6",
    ];
    assert_eq!(rest, expected);
    let not_swapped = format!("not swapped: {reason}");
    assert!(program.said().contains(&not_swapped), "{}", program.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flag_of_serve_holds_for_uploads() {
    let folder = tempfile::tempdir().unwrap();
    let without = write(folder.path(), "without.wasm", &importing(&[], 3));
    let start = [
        "serve",
        "--deny-new-imports",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    let program = Program::new(start)
        .env("FANLIGHT_COMPONENT", &without)
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .serve()
        .await;
    let put = Ask::get(program.admin.unwrap(), "/component").method(Method::PUT);
    let refused = put.body(version(1)).send().await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(refused.json().unwrap()["error_type"], json!("new_imports"));
}
