//! `fanlight inspect`: what a component asks for, whether it would be served, and what
//! another one asks for beside.

use std::fs;
use std::path::Path;

use fanlight_tests::fixture::{ALL, FAULTS, HELLO, bare, named};
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use serde_json::{Value, json};

use crate::deny_new_imports::importing;

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn inspect(arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = ["inspect"].iter().chain(arguments);
    Program::new(arguments).output().await
}

async fn json_of(arguments: &[&str]) -> (Option<i32>, Value) {
    let arguments = ["--json"].iter().chain(arguments).copied();
    let (code, said) = inspect(&arguments.collect::<Vec<_>>()).await;
    (code, serde_json::from_str(&said).unwrap())
}

/// Demands what no text of a component may do to a terminal.
fn demand_harmless(said: &str) {
    let control = |it: char| it.is_control() && it != '\n';
    assert!(!said.contains(control), "{said:?}");
    assert!(!said.contains('\u{202e}'), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_would_be_served_is_described() {
    let (code, said) = inspect(&[HELLO.path().to_str().unwrap()]).await;
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "  digest       sha256:",
        "  language     C11, Rust\n",
        "rustc 1.",
        "wasi:http@0.2.",
        "  memory       ",
        "  stack        64.0 KiB",
        "  fanlight:telemetry/tracing@0.1.0\n",
        "exports: 1\n  wasi:http/incoming-handler@0.2.",
        "fanlight serve would accept it, as far as can be seen without compiling it.",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, json) = json_of(&[HELLO.path().to_str().unwrap()]).await;
    assert_eq!(code, Some(0), "{json}");
    assert_eq!(json["accepted"], json!(true));
    assert_eq!(json["toolchain"]["languages"], json!(["C11", "Rust"]));
    assert_eq!(
        json["size"],
        json!(fs::metadata(HELLO.path()).unwrap().len())
    );
    assert!(
        json["footprint"]["memories"][0]["initial_bytes"]
            .as_u64()
            .unwrap()
            >= 65_536
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_accepted_and_its_digest_is_the_servers() {
    for component in ALL {
        let (code, json) = json_of(&[component.path().to_str().unwrap()]).await;
        assert_eq!(code, Some(0), "{component:?}: {json}");
    }
    let host = TestHost::serving(FAULTS).start().await;
    let (_, json) = json_of(&[FAULTS.path().to_str().unwrap()]).await;
    let served = &host.component().await["current"];
    assert_eq!(json["digest"], served["digest"]);
    assert_eq!(json["version"], served["version"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_imports_are_named_with_what_grants_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        folder.path(),
        "denied.wasm",
        &importing(
            &[
                "wasi:sockets/network",
                "wasi:filesystem/preopens",
                "wasi:cli/environment",
                "wasi:http/outgoing-handler",
            ],
            3,
        ),
    );
    let (code, said) = inspect(&[&path]).await;
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "  wasi:sockets/network@0.2.3 (denied)\n",
        "Denied: files, sockets. The component starts, and every such call fails. No flag grants them.",
        "Denied without --allow-outbound: outgoing HTTP. The component starts, and every such call fails.",
        "wasi:cli/environment holds no variable and no argument.",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (_, json) = json_of(&[&path]).await;
    for denied in [
        json!({
            "name": "wasi:sockets/network@0.2.3",
            "access": "denied",
            "denied": "sockets",
            "granted_by": null,
        }),
        json!({
            "name": "wasi:http/outgoing-handler@0.2.3",
            "access": "denied",
            "denied": "outgoing HTTP",
            "granted_by": "--allow-outbound",
        }),
    ] {
        assert!(
            json["imports"].as_array().unwrap().contains(&denied),
            "{json}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_missing_imports_are_in_one_message_as_serve_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"(component
        (import "acme:first/thing@1.0.0" (instance (export "f" (func))))
        (import "wasi:random/insecure-seed@0.2.3" (instance
            (export "insecure-seed" (func (result (tuple u64 u64))))))
        (import "acme:second/thing" (instance (export "r" (type (sub resource)))))
        (import "bad:name/x" (instance (export "f" (func)))))"#;
    let path = write(
        folder.path(),
        "missing.wasm",
        &wat::parse_str(text).unwrap(),
    );
    let names = "acme:first/thing@1.0.0, acme:second/thing, bad:name/x";
    let message = format!("the component imports what is not there: {names}");
    let (code, said) = inspect(&[&path]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!(
            "fanlight serve would refuse it (imports): {message}"
        )),
        "{said}"
    );
    assert!(said.contains("  acme:second/thing (missing)\n"), "{said}");
    let (_, json) = json_of(&[&path]).await;
    assert_eq!(
        json["refusal"],
        json!({ "error_type": "imports", "reason": message })
    );
    let (code, said) = Program::new(["serve", &path]).output().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&message), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_refusals_of_serve_are_foreseen() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, error_type, reason) in [
        (
            "memory",
            bare("(memory 1025)"),
            "too_much_memory",
            "(--max-memory)",
        ),
        (
            "table",
            bare("(table 100001 funcref)"),
            "too_many_table_elements",
            "(--max-table-elements)",
        ),
        (
            "tag",
            bare("(tag $e) (func (throw $e))"),
            "unsupported_features",
            "exceptions (GC)",
        ),
        (
            "none",
            wat::parse_str("(component)").unwrap(),
            "exports",
            "it exports nothing",
        ),
        (
            "locals",
            bare(&format!("(func (local {}))", "i32 ".repeat(50_001))),
            "engine_limit",
            "too many locals",
        ),
    ] {
        let path = write(folder.path(), &format!("{name}.wasm"), &bytes);
        let (code, json) = json_of(&[&path]).await;
        assert_eq!(code, Some(1), "{json}");
        assert_eq!(json["refusal"]["error_type"], json!(error_type), "{json}");
        let said = json["refusal"]["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{said}");
    }
    let path = write(folder.path(), "more.wasm", &bare("(memory 1025)"));
    let (code, said) = inspect(&[&path, "--max-memory", "128MiB"]).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let hello = fs::read(HELLO.path()).unwrap();
    for (name, bytes, message) in [
        (
            "module",
            wat::parse_str("(module)").unwrap(),
            "this is a core WebAssembly module",
        ),
        (
            "text",
            b"(component)".to_vec(),
            "this is not a WebAssembly component",
        ),
        ("empty", Vec::new(), "it is empty"),
        (
            "cut",
            hello[..hello.len() / 2].to_vec(),
            "this is not a WebAssembly component",
        ),
    ] {
        let path = write(folder.path(), &format!("{name}.wasm"), &bytes);
        for arguments in [vec![&*path], vec![HELLO.path().to_str().unwrap(), &path]] {
            let (code, said) = inspect(&arguments).await;
            assert_eq!(code, Some(2), "{said}");
            assert!(
                said.starts_with("error: ") && said.contains(message),
                "{said}"
            );
            assert!(said.contains(name), "{said}");
        }
    }
    for (path, message) in [
        (folder.path().to_str().unwrap(), "it is not a regular file"),
        ("/nowhere.wasm", "cannot read /nowhere.wasm"),
    ] {
        let (code, said) = inspect(&[path]).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(message), "{said}");
    }
    let (code, said) = inspect(&[HELLO.path().to_str().unwrap(), "--max-component", "1KiB"]).await;
    assert!(
        code == Some(2) && said.contains("(--max-component)"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_cut_anywhere_ends_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let whole = importing(&["wasi:sockets/network"], 3);
    for length in (0..whole.len()).step_by(37) {
        let path = write(folder.path(), "cut.wasm", &whole[..length]);
        let (code, said) = inspect(&[&path]).await;
        // Some beginnings are components, which export nothing.
        assert!(matches!(code, Some(1 | 2)), "{length}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_component_reaches_the_terminal_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = r"a\1b[31m\0d\0aINFO \e2\80\ae b";
    let text = format!(
        r#"(component
            (import "url=<https://{hostile}>" (func))
            (core module (@producers (language "{hostile}" "1") (sdk "{hostile}" "{hostile}")))
            (@custom "version" "{hostile}")
            (@custom "description" "{hostile}")
            (@custom "authors" "{}"))"#,
        "x".repeat(100_000)
    );
    let path = write(
        folder.path(),
        "hostile.wasm",
        &wat::parse_str(text).unwrap(),
    );
    let (code, said) = inspect(&[&path]).await;
    assert_eq!(code, Some(1), "{said}");
    demand_harmless(&said);
    assert!(said.contains(r"a\u{1b}[31m\r\nINFO \u{202e} b"), "{said}");
    assert!(said.len() < 10_000, "{}", said.len());
    let (_, said) = inspect(&[&path, "--json"]).await;
    demand_harmless(&said);
    let (_, said) = inspect(&[HELLO.path().to_str().unwrap(), &path]).await;
    demand_harmless(&said);
    let named = write(folder.path(), "named.wasm", &named("m\u{1b}", "f\u{1b}\n"));
    demand_harmless(&inspect(&[&named]).await.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_imports_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let imports = (0..20_000).map(|n| format!("(import \"f{n}\" (func))"));
    let text = format!("(component {})", imports.collect::<String>());
    let path = write(folder.path(), "many.wasm", &wat::parse_str(text).unwrap());
    let (code, said) = inspect(&[&path]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("imports: 20000\n"), "{said}");
    assert!(said.contains("  and 19800 more\n"), "{said}");
    assert!(said.contains(" and 19968 more"), "{said}");
    assert!(said.len() < 30_000, "{}", said.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_components_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let old = write(
        folder.path(),
        "old.wasm",
        &importing(&["wasi:random/insecure-seed"], 3),
    );
    let new = write(
        folder.path(),
        "new.wasm",
        &importing(&["wasi:sockets/network"], 6),
    );
    let (code, said) = inspect(&[&old, &new]).await;
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "imports added    wasi:sockets/network@0.2.6\n",
        "imports removed  wasi:random/insecure-seed@0.2.3\n",
        "imports changed  wasi:http/types 0.2.3 -> 0.2.6\n",
        "Denied: sockets.",
        "new.wasm imports what the old component does not: --deny-new-imports refuses it.\n",
        "fanlight serve would accept it",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, json) = json_of(&[&old, &new]).await;
    assert_eq!(code, Some(1), "{json}");
    assert_eq!(json["asks_for_more"], json!(true));
    assert_eq!(
        json["changes"]["imports"]["added"],
        json!(["wasi:sockets/network@0.2.6"])
    );
    let newer = write(
        folder.path(),
        "newer.wasm",
        &importing(&["wasi:random/insecure-seed"], 6),
    );
    let (code, said) = inspect(&[&old, &newer]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("imports nothing that the old component does not."),
        "{said}"
    );
    let (code, said) = inspect(&[&old, &old]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nothing differs"), "{said}");
    let larger = write(
        folder.path(),
        "larger.wasm",
        &bare("(memory 2) (table 5 9 funcref)"),
    );
    let (_, said) = inspect(&[&old, &larger]).await;
    assert!(
        said.contains("memory           none -> 128.0 KiB (no maximum of its own)\n"),
        "{said}"
    );
    assert!(
        said.contains("tables           none -> 5 elements (at most 9)\n"),
        "{said}"
    );
}
