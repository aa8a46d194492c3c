//! `fanlight compile`: a component that is served without being compiled.

use std::fs;
use std::path::Path;

use fanlight_tests::client::Ask;
use fanlight_tests::eventually_async;
use fanlight_tests::fixture::{FAULTS, HELLO, bare, version};
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use http::Method;
use serde_json::{Value, json};

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Compiles a component into the folder; returns the path of both.
async fn compiled(folder: &Path, component: &[u8], flags: &[&str]) -> (String, String) {
    let wasm = write(folder, "component.wasm", component);
    let out = folder
        .join("component.compiled")
        .to_str()
        .unwrap()
        .to_owned();
    let arguments = ["compile", &wasm, "-o", &out];
    let (code, said) = Program::new(arguments.iter().chain(flags)).output().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("compiled "), "{said}");
    (wasm, out)
}

/// The program that serves a file, with compiled code of other runs out of its reach.
fn serve(folder: &Path, file: &str) -> Program {
    let start = [
        "serve",
        file,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    let cache = folder.join("cache");
    Program::new(start)
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("FANLIGHT_CACHE_DIR", cache.to_str().unwrap())
        .env("FANLIGHT_LOG", "debug")
}

async fn component_at(program: &fanlight_tests::program::ServingProgram) -> Value {
    let answer = Ask::get(program.admin.unwrap(), "/component").send().await;
    answer.json().unwrap()
}

/// Demands one clear line, before anything is served.
async fn demand_refusal(program: Program, message: &str) {
    let (code, said) = program.output().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(message), "{message}: {said}");
    assert!(
        !said.contains("panicked") && !said.contains("serving at"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_compiled_is_served_as_the_component_that_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let component = fs::read(FAULTS.path()).unwrap();
    let (wasm, out) = compiled(folder.path(), &component, &[]).await;
    let program = serve(folder.path(), &out).serve().await;
    let said = program.said();
    assert!(said.contains("loaded compiled code"), "{said}");
    assert!(!said.contains("imports are linked directly"), "{said}");
    // Nothing was compiled, so the cache has nothing.
    let cached = folder.path().join("cache/modules");
    assert!(!cached.exists() || fs::read_dir(cached).unwrap().next().is_none());
    let answer = program.get("/version").send().await;
    assert_eq!(answer.body, "version-of-faults-0000\n");
    // A trap has its frames as otherwise.
    assert_eq!(program.get("/panic").send().await.status, 500);
    eventually_async("the backtrace", async || {
        program.said().contains(" - example_faults").then_some(())
    })
    .await;

    let view = component_at(&program).await["current"].clone();
    let other = serve(folder.path(), &wasm).serve().await;
    let plain = component_at(&other).await["current"].clone();
    for key in ["digest", "version", "size"] {
        assert_eq!(view[key], plain[key], "{key}");
    }
    assert_eq!(view["size"], json!(component.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_may_be_compiled_and_an_upload_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_, out) = compiled(folder.path(), &version(1), &[]).await;
    let watched = folder.path().join("watched");
    let faults = FAULTS.path();
    let program = serve(folder.path(), faults.to_str().unwrap())
        .env("FANLIGHT_WATCH", watched.to_str().unwrap())
        .serve()
        .await;
    let upload = Ask::get(program.admin.unwrap(), "/component").method(Method::PUT);
    let refused = upload.body(fs::read(&out).unwrap()).send().await;
    let problem = refused.json().unwrap();
    assert_eq!(refused.status, 422, "{problem}");
    assert_eq!(problem["error_type"], json!("compiled_upload"));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("upload the component itself"), "{detail}");
    let url = format!("http://{}", program.admin.unwrap());
    let swap = Program::new(["swap", &out, "--admin-url", &url]);
    let (code, said) = swap.output().await;
    assert!(
        code == Some(1) && said.contains("upload the component itself"),
        "{said}"
    );
    assert_eq!(
        program.get("/version").send().await.body,
        "version-of-faults-0000\n"
    );

    fs::copy(&out, &watched).unwrap();
    eventually_async("the watched file", async || {
        let answer = program.get("/version").send().await;
        (answer.body == "version-of-faults-0001\n").then_some(())
    })
    .await;
    // The component itself is the same one.
    let upload = Ask::get(program.admin.unwrap(), "/component").method(Method::PUT);
    let answer = upload.body(version(1)).send().await;
    assert_eq!(answer.json().unwrap()["outcome"], json!("unchanged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let (_, out) = compiled(folder.path(), &fs::read(HELLO.path()).unwrap(), &[]).await;
    let whole = fs::read(&out).unwrap();
    let damaged = "this file of `fanlight compile` is damaged";
    for length in [8, 12, 47, 48, 200, whole.len() / 2, whole.len() - 1] {
        let path = write(folder.path(), "cut", &whole[..length]);
        demand_refusal(serve(folder.path(), &path), damaged).await;
    }
    for at in [14, 20, 60, 1_000, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        let path = write(folder.path(), "flipped", &flipped);
        demand_refusal(serve(folder.path(), &path), damaged).await;
        let (code, said) = Program::new(["inspect", &path]).output().await;
        assert!(code == Some(2) && said.contains(damaged), "{said}");
    }
    // A damaged watched file leaves in place what is served.
    let host = TestHost::serving(FAULTS);
    let watched = folder.path().join("watched");
    let path = watched.clone();
    let host = host.with(|host| host.watch = Some(path)).start().await;
    fs::write(&watched, &whole[..whole.len() / 2]).unwrap();
    eventually_async("the refusal", async || {
        let refusal = host.component().await["last_refusal"].clone();
        (refusal["error_type"] == json!("compiled_damaged")).then_some(())
    })
    .await;
}

/// A file with another header and a digest that fits, as another host would write it.
fn with_header(file: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let length = u32::from_le_bytes(*file[12..].first_chunk().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&file[48..48 + length]).unwrap();
    change(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    let content = [&header[..], &file[48 + length..]].concat();
    let mut changed = file[..12].to_vec();
    changed.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
    changed.extend(Sha256::digest(&content));
    changed.extend(content);
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_host_compiled_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let (_, out) = compiled(folder.path(), &fs::read(HELLO.path()).unwrap(), &[]).await;
    let whole = fs::read(&out).unwrap();
    let again = "compile it again with this fanlight";
    let mut format = whole.clone();
    format[8] = 2;
    let path = write(folder.path(), "format", &format);
    demand_refusal(serve(folder.path(), &path), again).await;

    // The engine has its version in the code: that of another one, in a file that is
    // whole otherwise.
    let code_at = whole.windows(4).position(|it| it == b"\x7fELF").unwrap();
    let name = b".wasmtime.engine";
    assert!(whole[code_at..].windows(name.len()).any(|it| it == name));
    let version_at = whole[code_at..]
        .windows(3)
        .position(|it| it == b"\x0248")
        .unwrap();
    let mut engine = whole.clone();
    engine[code_at + version_at + 1] = b'9';
    let path = write(folder.path(), "engine", &with_header(&engine, |_| {}));
    let message = "it was compiled by fanlight 0.1.0 for ";
    demand_refusal(serve(folder.path(), &path), message).await;
    demand_refusal(serve(folder.path(), &path), "incompatible version '98'").await;

    let other = with_header(&whole, |header| {
        header["target"] = json!("sparc\u{1b}[31m-plan9")
    });
    let path = write(folder.path(), "other", &other);
    let (code, said) = Program::new(["inspect", &path]).output().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(r"sparc\u{1b}[31m-plan9") && said.contains(again),
        "{said}"
    );
    demand_refusal(serve(folder.path(), &path), again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_alter_the_code_have_to_be_the_same_and_others_need_not() {
    let folder = tempfile::tempdir().unwrap();
    let hello = fs::read(HELLO.path()).unwrap();
    let (_, out) = compiled(folder.path(), &hello, &[]).await;
    let program = serve(folder.path(), &out).env("FANLIGHT_NO_DIRECT_IMPORTS", "true");
    demand_refusal(
        program,
        "this server has --no-direct-imports, and it has not",
    )
    .await;
    for (name, value) in [
        ("FANLIGHT_MAX_MEMORY", "32MiB"),
        ("FANLIGHT_MAX_INSTANCES", "7"),
    ] {
        let program = serve(folder.path(), &out).env(name, value).serve().await;
        assert_eq!(program.get("/hello").send().await.status, 200);
    }
    // Limits are those of the component, when it is loaded as well.
    let program = serve(folder.path(), &out).env("FANLIGHT_MAX_MEMORY", "64KiB");
    demand_refusal(program, "(--max-memory)").await;
    let program = serve(folder.path(), &out).env("FANLIGHT_MAX_COMPONENT", "1KiB");
    demand_refusal(program, "(--max-component)").await;

    let (_, out) = compiled(folder.path(), &hello, &["--no-direct-imports"]).await;
    demand_refusal(serve(folder.path(), &out), "it has --no-direct-imports").await;
    let program = serve(folder.path(), &out).env("FANLIGHT_NO_DIRECT_IMPORTS", "true");
    assert_eq!(program.serve().await.get("/hello").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn compile_refuses_what_serve_refuses_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let missing = r#"(component (import "a:b/c" (instance (export "f" (func)))))"#;
    for (bytes, message) in [
        (
            wat::parse_str("(module)").unwrap(),
            "core WebAssembly module",
        ),
        (
            wat::parse_str(missing).unwrap(),
            "imports what is not there: a:b/c",
        ),
        (bare("(memory 1025)"), "(--max-memory)"),
        (
            bare("(func $s unreachable) (start $s)"),
            "an instance of it cannot be made",
        ),
    ] {
        let wasm = write(folder.path(), "bad.wasm", &bytes);
        let program = Program::new(["compile", &wasm, "-o", out.to_str().unwrap()]);
        demand_refusal(program, message).await;
        assert!(!out.exists());
    }
    let wasm = write(folder.path(), "good.wasm", &bare(""));
    let program = Program::new(["compile", &wasm, "-o", &wasm]);
    demand_refusal(program, "name another file after -o").await;
    assert_eq!(fs::read(&wasm).unwrap(), bare(""));
    let program = Program::new(["compile", &wasm, "-o", "/nowhere/out"]);
    let (code, said) = program.output().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot write /nowhere/out"), "{said}");
    // What was compiled is not compiled again.
    let (_, compiled) = compiled(folder.path(), &bare(""), &[]).await;
    let program = Program::new(["compile", &compiled, "-o", out.to_str().unwrap()]);
    demand_refusal(program, "`fanlight compile` has written it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_reads_the_component_in_a_compiled_file_and_runs_none_of_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let (wasm, out) = compiled(folder.path(), &fs::read(HELLO.path()).unwrap(), &[]).await;
    let (code, said) = Program::new(["inspect", &out]).output().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("  native code  "), "{said}");
    assert!(said.contains(", by fanlight 0.1.0 for "), "{said}");
    let (code, said) = Program::new(["inspect", &wasm, &out]).output().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("nothing differs"), "{said}");
}
