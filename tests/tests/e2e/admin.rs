//! The admin port: who may ask for what.

use fanlight_tests::client::{Ask, raw};
use fanlight_tests::eventually;
use fanlight_tests::fixture::{FAULTS, HELLO, version};
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use http::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_only_probes_are_answered() {
    let host = TestHost::serving(FAULTS)
        .with(|host| host.admin_token = Some("a-secret".into()))
        .start()
        .await;
    for target in ["/livez", "/readyz"] {
        let answer = host.ask_admin(Method::GET, target).send().await;
        assert_eq!(answer.status, 200, "{target}");
    }
    let put = || host.ask_admin(Method::PUT, "/component").body(version(1));
    let asks = [
        host.ask_admin(Method::GET, "/component"),
        host.ask_admin(Method::GET, "/metrics"),
        host.ask_admin(Method::POST, "/component/rollback"),
        put(),
        put().header("authorization", "Bearer a-secre"),
        put().header("authorization", "Bearer a-secret2"),
        put().header("authorization", "Basic a-secret"),
    ];
    for ask in asks {
        let answer = ask.send().await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let answer = put()
        .header("authorization", "Bearer a-secret")
        .send()
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_can_neither_write_nor_read_by_a_name_that_leads_here() {
    let host = TestHost::serving(FAULTS).start().await;
    let rebound = host
        .ask_admin(Method::GET, "/component")
        .header("host", "evil.example")
        .send()
        .await;
    assert_eq!(rebound.status, 403);
    for origin in ["http://evil.example", "null"] {
        let answer = host
            .ask_admin(Method::PUT, "/component")
            .header("origin", origin)
            .body(version(1))
            .send()
            .await;
        assert_eq!(answer.status, 403, "{origin}");
    }
    let own = format!("http://{}", host.admin);
    let answer = host
        .ask_admin(Method::PUT, "/component")
        .header("origin", &own)
        .body(version(1))
        .send()
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_told_apart() {
    let host = TestHost::serving(FAULTS).start().await;
    let answer = host.ask_admin(Method::GET, "/nothing").send().await;
    assert_eq!(answer.status, 404);
    for (method, target, allow) in [
        (Method::POST, "/livez", "GET, HEAD"),
        (Method::POST, "/component", "GET, HEAD, PUT"),
        (Method::GET, "/component/rollback", "POST"),
    ] {
        let answer = host.ask_admin(method, target).send().await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("allow"), Some(allow));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_over_the_limit_is_refused_before_and_after_it_shows() {
    let host = TestHost::serving(FAULTS)
        .with(|host| host.max_component_bytes = 1024 * 1024)
        .start()
        .await;
    let head = "PUT /component HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    // Said beforehand: nothing of it is read.
    let said = raw(
        host.admin,
        format!("{head}content-length: 99999999\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(said.starts_with(b"HTTP/1.1 413 "));
    // Seen on the way: no more of it is read.
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..17 {
        chunked.extend(b"10000\r\n");
        chunked.extend([0; 0x10000]);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let seen = raw(host.admin, &chunked).await;
    assert!(seen.starts_with(b"HTTP/1.1 413 "));
    assert_eq!(host.component().await["current"]["generation"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_swap_and_rollback_speak_for_the_admin_port() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a-secret\n").unwrap();
    let new = folder.path().join("new.wasm");
    std::fs::write(&new, version(7)).unwrap();
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .env("FANLIGHT_ADMIN_TOKEN_FILE", token.to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .serve()
        .await;
    let url = format!("http://{}", program.admin.unwrap());
    let ask = |arguments: &[&str]| Program::new(arguments).env("FANLIGHT_ADMIN_URL", &url);

    let (code, said) = ask(&["swap", new.to_str().unwrap()]).output().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("needs the admin token"), "{said}");
    let with_token = |arguments: &[&str]| ask(arguments).env("FANLIGHT_ADMIN_TOKEN", "a-secret");
    let (code, said) = with_token(&["swap", new.to_str().unwrap()]).output().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("swapped: version "), "{said}");
    assert!(said.contains("generation 2"), "{said}");
    assert_eq!(
        program.get("/version").send().await.body,
        "version-of-faults-0007\n"
    );
    let (code, said) = with_token(&["rollback"]).output().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("rolled back: version "), "{said}");
    let (code, said) = with_token(&["swap", token.to_str().unwrap()])
        .output()
        .await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not a WebAssembly component"), "{said}");
    let (code, said) = with_token(&["swap", "/nowhere.wasm"]).output().await;
    assert_eq!(code, Some(2), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_port_that_others_reach_demands_a_token() {
    let hello = HELLO.path();
    let serve = || {
        Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0"])
            .env("FANLIGHT_COMPONENT", hello.to_str().unwrap())
            .env("FANLIGHT_MAX_INSTANCES", "64")
    };
    let (code, said) = serve().output().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--admin-token-file"), "{said}");
    let (code, said) = serve().env("FANLIGHT_ADMIN_TOKEN", " ").output().await;
    assert_eq!(code, Some(2), "{said}");
    let program = serve().env("FANLIGHT_ADMIN_TOKEN", "t").serve().await;
    assert!(program.admin.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watched_component_itself_is_served_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.wasm");
    std::fs::write(&path, version(1)).unwrap();
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--watch"])
        .env("FANLIGHT_COMPONENT", path.to_str().unwrap())
        .env("FANLIGHT_ADMIN", "off")
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .serve()
        .await;
    std::fs::write(&path, version(2)).unwrap();
    eventually("the line that says so", || {
        program
            .said()
            .contains("swapped the component")
            .then_some(())
    })
    .await;
    let answer = Ask::get(program.address, "/version").send().await;
    assert_eq!(answer.body, "version-of-faults-0002\n");
    assert!(
        program.said().contains("generation=2"),
        "{}",
        program.said()
    );
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compile_under_way_does_not_hold_up_the_end() {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .env("FANLIGHT_CACHE_DIR", "off")
        .env("FANLIGHT_LOG", "fanlight=debug");
    let mut program = program.serve().await;
    let large = fanlight_tests::fixture::large_version(1, 30_000, "end");
    let put = Ask::get(program.admin.unwrap(), "/component")
        .method(Method::PUT)
        .body(large);
    let put = tokio::spawn(put.try_send());
    eventually("the compile", || {
        program.said().contains("compiling").then_some(())
    })
    .await;
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
    let answer = put.await.unwrap();
    assert!(answer.is_err(), "the compile was waited for: {answer:?}");
}
