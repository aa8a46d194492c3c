//! Components that cannot be served: each reason has words and a type of its own, at
//! a swap and when the program starts.

use fanlight_tests::fixture::{FAULTS, HELLO, bare};
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use serde_json::json;

/// What is wrong with a component, and how it is refused.
struct Refused {
    fields: String,
    error_type: &'static str,
    reason: &'static str,
}

impl Refused {
    fn new(fields: impl Into<String>, error_type: &'static str, reason: &'static str) -> Self {
        Self {
            fields: fields.into(),
            error_type,
            reason,
        }
    }
}

fn all() -> Vec<Refused> {
    let features = "unsupported_features";
    vec![
        Refused::new(
            "(tag $e) (func (throw $e))",
            features,
            "it needs exceptions (GC), which this host does not offer",
        ),
        Refused::new(
            "(type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1))))",
            features,
            "it needs garbage collection (GC), which this host does not offer",
        ),
        Refused::new(
            "(memory 1 2 shared) (memory 1 (pagesize 1)) (tag $e) (func (throw $e))",
            features,
            "it needs threads, exceptions (GC) and custom page sizes, which",
        ),
        Refused::new(
            "(table 100001 funcref)",
            "too_many_table_elements",
            "a table of it has 100001 elements from the start, and a table may have 100000 \
             (--max-table-elements)",
        ),
        Refused::new(
            "(memory 1025)",
            "too_much_memory",
            "its memory has 64.1 MiB from the start",
        ),
        Refused::new(
            "(memory 1)".repeat(17),
            "too_many_memories",
            "a module of it has 17 memories, and the engine takes 16",
        ),
        Refused::new(
            "(table 1 funcref)".repeat(17),
            "too_many_tables",
            "a module of it has 17 tables, and the engine takes 16",
        ),
        Refused::new(
            "(global (mut i64) (i64.const 0))".repeat(70_000),
            "instance_too_large",
            "one instance of it is too large for the engine: this module requires ",
        ),
        Refused::new(
            format!("(func (local {}))", "i32 ".repeat(50_001)),
            "engine_limit",
            "it is over a limit of the engine: too many locals",
        ),
        Refused::new(
            "(func $start unreachable) (start $start)",
            "instantiate",
            "an instance of it cannot be made: wasm trap: wasm `unreachable` instruction executed",
        ),
        // Each is within the bound, and not both.
        Refused::new(
            "(memory 640) (memory 640)",
            "instantiate",
            "an instance of it cannot be made: ",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_for_which_a_component_is_not_served_has_a_type_of_its_own() {
    let host = TestHost::serving(FAULTS).start().await;
    for Refused {
        fields,
        error_type,
        reason,
    } in all()
    {
        let answer = host.put(bare(&fields)).await;
        let problem = answer.json().unwrap();
        assert_eq!(answer.status, 422, "{reason}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{detail}");
        assert_eq!(problem["error_type"], json!(error_type));
        let refusal = &host.component().await["last_refusal"];
        assert_eq!(refusal["error_type"], json!(error_type));
    }
    assert_eq!(host.get("/counter").send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_offers_is_served() {
    let host = TestHost::serving(FAULTS).start().await;
    for fields in [
        "(table 25000 funcref)",
        "(table 100000 funcref)",
        "(memory i64 1)",
        "(memory 1) (memory 1)",
        "(func $again (return_call $again))",
    ] {
        let answer = host.put(bare(fields)).await;
        assert_eq!(answer.status, 200, "{fields}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_says_why_a_component_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    for (name, refused) in all().into_iter().enumerate() {
        let path = directory.path().join(format!("{name}.wasm"));
        std::fs::write(&path, bare(&refused.fields)).unwrap();
        let program =
            Program::new(["serve", path.to_str().unwrap()]).env("FANLIGHT_MAX_INSTANCES", "16");
        let (code, said) = program.output().await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.starts_with("error: "), "{said}");
        assert!(said.contains(refused.reason), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_elements_of_a_table_are_bounded_by_a_flag() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.wasm");
    std::fs::write(&path, bare("(table 2000 funcref)")).unwrap();
    let program = |elements| {
        let arguments = ["serve", path.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        Program::new(arguments)
            .env("FANLIGHT_ADMIN", "off")
            .env("FANLIGHT_MAX_INSTANCES", "16")
            .env("FANLIGHT_MAX_TABLE_ELEMENTS", elements)
    };
    let (code, said) = program("1999").output().await;
    let reason = "2000 elements from the start, and a table may have 1999 (--max-table-elements)";
    assert!(code == Some(2) && said.contains(reason), "{said}");
    program("2000").serve().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_addresses_are_short_requests_are_served_or_the_start_fails() {
    let hello = HELLO.path();
    let program = |max_memory| {
        let arguments = ["serve", hello.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        Program::new(arguments)
            .env("FANLIGHT_ADMIN", "off")
            .env("FANLIGHT_MAX_MEMORY", max_memory)
            .address_space(5_000_000)
    };
    let serving = program("64MiB").serve().await;
    assert!(
        serving
            .said()
            .contains("the instance pool cannot be reserved"),
        "{}",
        serving.said()
    );
    assert_eq!(serving.get("/hello").send().await.status, 200);
    // There is not even room for one.
    let (code, said) = program("4GiB").output().await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("an instance of it cannot be made: "),
        "{said}"
    );
    assert!(!said.contains("serving at"), "{said}");
}
