//! What a component calls its functions, modules and imports: as long as it likes, of
//! any characters, and mangled. Wherever a name is shown it is bounded and harmless.

use std::io::Write as _;
use std::time::{Duration, Instant};

use fanlight_tests::client::{Ask, trace_of};
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually;
use fanlight_tests::fixture::{HELLO, named};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::program::Program;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::outcomes::{demand_problem, faults};

/// Stands for gigabytes: each part refers twice to the one before.
const DOUBLING: &str = "_Z1fPFviiEPFvS0_S0_EPFvS2_S2_EPFvS4_S4_EPFvS6_S6_EPFvS8_S8_EPFvSA_SA_EPFvSC_SC_EPFvSE_SE_EPFvSG_SG_EPFvSI_SI_EPFvSK_SK_EPFvSM_SM_EPFvSO_SO_EPFvSQ_SQ_EPFvSS_SS_ESU_SU_SU_SU_SU_SU_SU_SU_SU_SU_SU_SU_SU_SU_";
/// What is made of names, in bytes.
const MAX_STACK: usize = 16 * 1024;

async fn host(collector: &Collector) -> RunningHost {
    TestHost::serving(HELLO)
        .exporting_to(collector)
        .start()
        .await
}

/// The stack that the span of a trap tells.
async fn stack(host: &RunningHost, collector: &Collector, module: &str, name: &str) -> String {
    assert_eq!(host.put(named(module, name)).await.status, 200, "{name}");
    let answer = host.get("/").send().await;
    let span = demand_problem(collector, &answer, 500, "trap", "guest").await;
    let stack = &span.event("exception").attributes["exception.stacktrace"];
    stack.as_str().unwrap().to_owned()
}

fn placed(component: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(component).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_stands_for_gigabytes_holds_up_nothing() {
    let collector = Collector::start().await;
    // The name of a parser's worst case, which tries one way after another.
    let tried = format!("_Zcv{}i{}v", "T_I".repeat(40), "E".repeat(40));
    for name in [DOUBLING, &tried] {
        let file = placed(&named("m", name));
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let program = Program::new(arguments)
            .env("FANLIGHT_COMPONENT", file.path().to_str().unwrap())
            .env("FANLIGHT_REQUEST_TIMEOUT", "1s")
            .env("OTEL_SDK_DISABLED", "")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .serve()
            .await;
        // What the first trap takes is not for the name.
        assert_eq!(program.get("/").send().await.status, 500);
        let before = program.peak_rss_bytes();
        let started_at = Instant::now();
        let requests = [(); 2].map(|()| tokio::spawn(program.get("/").send()));
        let ready = Ask::get(program.admin.unwrap(), "/readyz").send();
        let ready = tokio::time::timeout(Duration::from_secs(3), ready).await;
        assert_eq!(ready.unwrap().status, 200);
        for request in requests {
            let answer = request.await.unwrap();
            let span = demand_problem(&collector, &answer, 500, "trap", "guest").await;
            let stack = &span.event("exception").attributes["exception.stacktrace"];
            let stack = stack.as_str().unwrap();
            assert!(stack.len() <= MAX_STACK, "{}", stack.len());
            assert_eq!(stack.lines().count(), 20, "{stack}");
        }
        // Milliseconds on a machine with nothing else to do.
        let taken = started_at.elapsed();
        assert!(taken < Duration::from_secs(3), "{taken:?}");
        let grown = program.peak_rss_bytes().saturating_sub(before) / (1024 * 1024);
        assert!(grown < 64, "{grown} MiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_from_functions_of_such_names_hold_up_nothing() {
    let (collector, host) = faults().await;
    let started_at = Instant::now();
    // The function that records them has a name that stands for gigabytes.
    let floods = [(); 2].map(|()| {
        let flood = host.get("/flood/exceptions?count=2000&depth=25");
        tokio::spawn(flood.send())
    });
    let ready = Ask::get(host.admin, "/readyz").send();
    let ready = tokio::time::timeout(Duration::from_secs(3), ready).await;
    assert_eq!(ready.unwrap().status, 200);
    for flood in floods {
        let answer = flood.await.unwrap();
        assert_eq!(&answer.body[..], b"recorded\n");
        let trace = trace_of(&answer).trace_id;
        let span = collector
            .span(|span| span.trace_id == trace && span.name == "exceptional")
            .await;
        let stack = &span.event("exception").attributes["exception.stacktrace"];
        let stack = stack.as_str().unwrap();
        assert!(stack.len() <= MAX_STACK, "{}", stack.len());
        assert!(stack.contains("!f\n"), "{stack}");
    }
    let taken = started_at.elapsed();
    assert!(taken < Duration::from_secs(10), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_names_are_cut_and_hide_no_other_frame() {
    let collector = Collector::start().await;
    let host = host(&collector).await;
    let stack = stack(&host, &collector, "m", &"x".repeat(90_000)).await;
    assert!(stack.len() <= MAX_STACK, "{}", stack.len());
    assert_eq!(stack.lines().count(), 20);
    assert!(stack.lines().all(|line| line.ends_with("x…")), "{stack}");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_of_names_are_escaped_in_spans() {
    let collector = Collector::start().await;
    let host = host(&collector).await;
    let stack = stack(&host, &collector, "a\u{9b}b", "c\u{1b}[31m\nINFO d\u{202e}").await;
    assert!(!stack.contains(['\u{9b}', '\u{1b}', '\u{202e}']), "{stack}");
    let shown = "a\\u{9b}b!c\\u{1b}[31m\\nINFO d\\u{202e}";
    assert!(stack.lines().all(|line| line.ends_with(shown)), "{stack}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_functions_name_forges_no_line_of_the_log() {
    let forged = "a\u{1b}[31mred\n2026-11-28T00:00:00.000000Z  INFO swapped the component";
    let file = placed(&named("m", forged));
    let program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", file.path().to_str().unwrap())
        .serve()
        .await;
    assert_eq!(program.get("/").send().await.status, 500);
    let said = eventually("the line about the trap", || {
        let said = program.said();
        said.contains("red\\n2026").then_some(said)
    })
    .await;
    assert!(!said.contains('\u{1b}'), "{said}");
    assert!(!said.contains("\n2026-11-28T00:00:00"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_mangled_names_are_demangled() {
    let collector = Collector::start().await;
    let host = host(&collector).await;
    for (name, shown) in [
        ("f", "m!f"),
        ("d", "m!d"),
        ("Pi", "m!Pi"),
        (
            "_ZN3foo3bar17h05af221e174051e9E",
            "m!foo::bar::h05af221e174051e9",
        ),
        ("_RNvC6_123foo3bar", "m!123foo::bar"),
        ("_ZN5space3fooEibc", "m!space::foo"),
    ] {
        let stack = stack(&host, &collector, "m", name).await;
        assert!(stack.lines().all(|line| line.ends_with(shown)), "{stack}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_of_imports_are_escaped_in_refusals() {
    let collector = Collector::start().await;
    let host = host(&collector).await;
    for (text, error_type, named) in [
        (
            r#"(component (import "url=<https://a/\1b[31m\0aINFO b>" (func)))"#,
            "imports",
            r"a/\u{1b}[31m\nINFO b",
        ),
        (
            r#"(component
                (core module $m (import "a\1b[31m\0aINFO b" "c" (func)))
                (core instance (instantiate $m)))"#,
            "not_a_component",
            r"a\u{1b}[31m\nINFO b",
        ),
    ] {
        let component = wat::parse_str(text).unwrap();
        let file = placed(&component);
        let refused = host.put(component).await;
        let problem = refused.json().unwrap();
        assert_eq!(refused.status, 422, "{problem}");
        assert_eq!(problem["error_type"], json!(error_type), "{problem}");
        for detail in [
            &problem["detail"],
            &host.component().await["last_refusal"]["reason"],
        ] {
            let detail = detail.as_str().unwrap();
            assert!(detail.contains(named), "{detail}");
            assert!(!detail.contains(['\u{1b}', '\n']), "{detail}");
        }
        // Where the start is refused it is the same line on the terminal.
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--admin", "off"];
        let program =
            Program::new(arguments).env("FANLIGHT_COMPONENT", file.path().to_str().unwrap());
        let (code, said) = program.output().await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(named) && !said.contains('\u{1b}'), "{said}");
    }
}
