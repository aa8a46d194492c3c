//! The program as its users meet it: messages, exit codes, signals.

use fanlight_runner::client::Answer;
use fanlight_tests::client::Ask;
use fanlight_tests::collected::CollectedLog;
use fanlight_tests::collector::{Collector, Mood};
use fanlight_tests::fixture::{DEMO, FAULTS, HELLO};
use fanlight_tests::program::{Program, ServingProgram};
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;

fn file(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Demands one clear message, the exit code, and that nothing was started.
async fn demand_refusal(program: Program, code: i32, message: &str) {
    let (exit, said) = program.output().await;
    assert_eq!(exit, Some(code), "{said}");
    assert!(said.contains(message), "{message:?} is not in {said:?}");
    assert!(!said.contains("serving at"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| file(directory.path(), name, bytes);
    let truncated = std::fs::read(HELLO.path()).unwrap();
    let module = wat::parse_str("(module)").unwrap();
    let unknown = wat::parse_str(
        r#"(component (import "shop:prices/list@1.0.0" (instance (export "all" (func)))))"#,
    )
    .unwrap();
    let exportless = wat::parse_str("(component)").unwrap();
    for (path, message) in [
        (write("empty.wasm", b""), "it is empty"),
        (
            write("text.wasm", b"hello, world"),
            "not a WebAssembly component",
        ),
        (
            write("cut.wasm", &truncated[..truncated.len() / 2]),
            "not a WebAssembly component",
        ),
        (write("module.wasm", &module), "core WebAssembly module"),
        (write("unknown.wasm", &unknown), "shop:prices/list@1.0.0"),
        (
            write("exportless.wasm", &exportless),
            "does not export wasi:http/incoming-handler",
        ),
        (directory.path().join("absent.wasm"), "cannot read"),
        (directory.path().to_owned(), "cannot read"),
    ] {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let program = Program::new([Path::new("serve"), &path]);
        demand_refusal(program, 2, message).await;
        let (_, said) = Program::new([Path::new("serve"), &path]).output().await;
        assert!(
            said.starts_with("error: ") && said.contains(&name),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_flags_and_bad_variables_are_refused_before_anything_starts() {
    let hello = HELLO.path();
    let hello = hello.to_str().unwrap();
    for (arguments, message) in [
        (vec!["serve", hello, "--nonsense"], "--nonsense"),
        (vec!["serve"], "COMPONENT"),
        (vec!["serve", hello, "--listen", "somewhere"], "--listen"),
        (
            vec!["serve", hello, "--request-timeout", "soon"],
            "--request-timeout",
        ),
        (vec!["serve", hello, "--max-memory", "lots"], "--max-memory"),
        (
            vec!["serve", hello, "--max-instances", "0"],
            "--max-instances",
        ),
        (
            vec!["serve", hello, "--max-instances", "1000000"],
            "vm.max_map_count",
        ),
        (vec!["serve", hello, "--max-memory", "64KiB"], "memory"),
        (
            vec!["serve", hello, "--listen", "8000"],
            "such as 127.0.0.1:8000",
        ),
        (
            vec!["serve", hello, "--request-timeout", "0s"],
            "greater than zero",
        ),
        (
            vec!["serve", hello, "--max-memory", "1000TiB"],
            "at most 4.0 GiB",
        ),
        (
            vec!["health", "--admin-url", "foo"],
            "http://127.0.0.1:9000",
        ),
        (vec!["dance"], "dance"),
    ] {
        demand_refusal(Program::new(&arguments), 2, message).await;
    }
    for (variable, value) in [
        ("FANLIGHT_LISTEN", "nowhere"),
        ("FANLIGHT_REQUEST_TIMEOUT", "soon"),
        ("FANLIGHT_METRICS_PUBLIC", "maybe"),
    ] {
        let program = Program::new(["serve", hello]).env(variable, value);
        let message = format!("The value is that of the variable {variable}.");
        demand_refusal(program, 2, &message).await;
    }
    // A flag overrides its variable.
    let (_, said) = Program::new(["serve", hello, "--listen", "somewhere"])
        .env("FANLIGHT_LISTEN", "127.0.0.1:0")
        .output()
        .await;
    assert!(!said.contains("FANLIGHT_LISTEN."), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelled_variable_is_warned_about_and_one_of_kubernetes_is_not() {
    let hello = HELLO.path();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", "off"];
    let program = Program::new(arguments)
        .env("FANLIGHT_COMPONENT", hello.to_str().unwrap())
        .env("FANLIGHT_LISTN", "127.0.0.1:1")
        .env("FANLIGHT_WATCH", "no")
        .env("FANLIGHT_SERVICE_HOST", "10.0.0.1")
        .env("FANLIGHT_PORT_8000_TCP", "tcp://10.0.0.1:8000")
        .serve()
        .await;
    let said = program.said();
    assert!(
        said.contains("there is no variable FANLIGHT_LISTN, so it is ignored; FANLIGHT_LISTEN"),
        "{said}"
    );
    for quiet in ["FANLIGHT_SERVICE_HOST", "FANLIGHT_PORT_8000_TCP", "watch"] {
        assert!(!said.contains(quiet), "{quiet}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_a_failure_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let hello = HELLO.path();
    let arguments = ["serve", hello.to_str().unwrap(), "--listen", &address];
    demand_refusal(Program::new(arguments), 1, &address).await;
    // With telemetry on its way to nobody, it is all that is said.
    let program = Program::new(arguments).env("OTEL_SDK_DISABLED", "");
    let (_, said) = program.output().await;
    assert!(
        said.starts_with("error: ") && said.lines().count() == 1,
        "{said}"
    );
    let arguments = [
        "serve",
        hello.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        &address,
    ];
    demand_refusal(Program::new(arguments), 1, &address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_start_failed_is_said_before_telemetry_ends_and_exported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let collector = Collector::start().await;
    let hello = HELLO.path();
    let output = || {
        Program::new(["serve", hello.to_str().unwrap(), "--listen", &address])
            .env("OTEL_SDK_DISABLED", "")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")
            .output()
    };
    let (code, said) = output().await;
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    let of_it = |log: &CollectedLog| log.body.as_str().is_some_and(|it| it.contains(&address));
    assert_eq!(collector.log(of_it).await.severity_text, "ERROR");
    collector.set_mood(Mood::Hanging);
    let (_, said) = output().await;
    assert!(
        said.starts_with("error: ") && said.lines().count() > 1,
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_of_telemetry_that_does_not_parse_is_warned_about_and_ignored() {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", HELLO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("OTEL_BSP_SCHEDULE_DELAY", "soon")
        .serve()
        .await;
    assert!(
        program.said().contains("OTEL_BSP_SCHEDULE_DELAY=soon"),
        "{}",
        program.said()
    );
    assert_eq!(program.get("/hello").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_up_lines_say_what_is_served_and_where_telemetry_goes() {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", HELLO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_LOGS_EXPORTER", "none")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .serve()
        .await;
    let said = program.said();
    for words in [
        "example_hello.wasm",
        "sha256:",
        "traces: http://127.0.0.1:9 (OTLP, gRPC)",
        "logs: off",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_the_admin_port_and_its_exit_code_answers() {
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", HELLO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .serve()
        .await;
    let admin = program.admin.unwrap();
    let url = format!("http://{admin}");
    let (code, said) = Program::new(["health", "--admin-url", &url]).output().await;
    assert_eq!((code, said.trim()), (Some(0), "ready"));
    let live = fanlight_tests::client::Ask::get(admin, "/livez")
        .send()
        .await;
    assert_eq!(live.status, 200);
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
    let (code, said) = Program::new(["health", "--admin-url", &url]).output().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot reach"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_admin_port_health_asks_whether_the_server_accepts_connections() {
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", HELLO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .serve()
        .await;
    let listen = program.address.to_string();
    let health = || {
        Program::new(["health"])
            .env("FANLIGHT_ADMIN", "off")
            .env("FANLIGHT_LISTEN", &listen)
            .output()
    };
    let (code, said) = health().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("its admin port is off"), "{said}");
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
    let (code, said) = health().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot reach"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_that_is_there_is_served_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let watched = folder.path().join("watched.wasm");
    std::fs::copy(HELLO.path(), &watched).unwrap();
    let serve = |path: &Path| {
        Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
            .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
            .env("FANLIGHT_MAX_INSTANCES", "16")
            .env("FANLIGHT_WATCH", path.to_str().unwrap())
            .serve()
    };
    let program = serve(&watched).await;
    assert_eq!(program.get("/hello").send().await.status, 200);
    let said = program.said();
    let serving = said.lines().find(|it| it.contains("serving at")).unwrap();
    assert!(serving.contains("watched.wasm"), "{said}");
    assert!(!said.contains("swapped"), "{said}");
    // What cannot be served is refused, and the component serves.
    let program = serve(&file(folder.path(), "bad.wasm", b"hello, world")).await;
    let said = fanlight_tests::eventually("the refusal", || {
        let said = program.said();
        said.contains("not a WebAssembly component").then_some(said)
    })
    .await;
    let serving = said.lines().find(|it| it.contains("serving at")).unwrap();
    assert!(serving.contains("faults.wasm"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_signals_drain_and_flush_and_exit_with_zero() {
    for signal in ["TERM", "INT"] {
        let collector = Collector::start().await;
        let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
            .env("FANLIGHT_COMPONENT", DEMO.path().to_str().unwrap())
            .env("FANLIGHT_MAX_INSTANCES", "64")
            .env("OTEL_SDK_DISABLED", "")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
            .env("OTEL_BSP_SCHEDULE_DELAY", "3600000")
            .serve()
            .await;
        let running = tokio::spawn(program.get("/api/process").send());
        // It is under way: the head was read before the signal.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        program.signal(signal).await;
        assert_eq!(running.await.unwrap().status, 200);
        assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
        assert_eq!(collector.spans().len(), 5);
    }
}

/// The program with a request of `milliseconds` under way, and a first signal.
async fn signalled(
    signal: &str,
    milliseconds: u32,
) -> (ServingProgram, JoinHandle<anyhow::Result<Answer>>) {
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .serve()
        .await;
    let target = format!("/sleep?ms={milliseconds}");
    let running = tokio::spawn(program.get(&target).try_send());
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    program.signal(signal).await;
    fanlight_tests::eventually("the first signal's line", || {
        program.said().contains("draining; a second").then_some(())
    })
    .await;
    (program, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    // A SIGTERM within a second of the first would be the same one.
    for (signal, after_ms) in [("INT", 0), ("TERM", 1100)] {
        let (mut program, running) = signalled(signal, 60_000).await;
        tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
        program.signal(signal).await;
        assert_eq!(program.exit_code().await, Some(1), "{signal}");
        assert!(running.await.unwrap().is_err(), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_comes_twice_in_a_moment_is_one_signal() {
    let (mut program, running) = signalled("TERM", 1000).await;
    program.signal("TERM").await;
    assert_eq!(running.await.unwrap().unwrap().status, 200);
    assert_eq!(program.exit_code().await, Some(0), "{}", program.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_are_of_no_use_to_the_server_do_not_end_it() {
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", HELLO.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .serve()
        .await;
    for signal in [
        "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PIPE", "HUP",
    ] {
        program.signal(signal).await;
        // Twice, for the first one may take its time.
        for _ in 0..2 {
            let answer = program.get("/hello").try_send().await;
            assert_eq!(answer.unwrap().status, 200, "after SIG{signal}");
        }
    }
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_up_neither_requests_nor_the_end() {
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("FANLIGHT_COMPONENT", FAULTS.path().to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "64")
        .unread()
        .unheard()
        .serve()
        .await;
    // More than a pipe holds, and then more than waits for it.
    for _ in 0..100 {
        assert_eq!(program.get("/trap").send().await.status, 500);
    }
    for _ in 0..12 {
        let target = "/flood/print?bytes=900000";
        assert_eq!(program.get(target).send().await.status, 200);
    }
    assert_eq!(program.get("/counter").send().await.status, 200);
    let live = Ask::get(program.admin.unwrap(), "/livez").send().await;
    assert_eq!(live.status, 200);
    program.signal("TERM").await;
    assert_eq!(program.exit_code().await, Some(0));
}
