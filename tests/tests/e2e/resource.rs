//! The resource: what the environment says, what the component says, and what
//! the host finds out.

use fanlight_tests::client::trace_of;
use fanlight_tests::collected::Attributes;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::{DEMO, PLAIN};
use fanlight_tests::host::TestHost;
use fanlight_tests::program::Program;
use serde_json::json;

/// The resource of the program that serves this file, with these variables.
async fn resource(component: &std::path::Path, vars: &[(&str, &str)]) -> Attributes {
    let collector = Collector::start().await;
    let mut program = Program::new(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .env("FANLIGHT_COMPONENT", component.to_str().unwrap())
        .env("FANLIGHT_MAX_INSTANCES", "16")
        .env("OTEL_SDK_DISABLED", "")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc())
        .env("OTEL_BSP_SCHEDULE_DELAY", "20");
    for (name, value) in vars {
        program = program.env(name, value);
    }
    let program = program.serve().await;
    let answer = program.get("/").send().await;
    let trace = trace_of(&answer).trace_id;
    let span = collector.span(|span| span.trace_id == trace).await;
    span.resource.clone()
}

/// PLAIN, saying a name and a version of itself as `wasm-tools` would write it.
fn claiming(name: &str, version: &str) -> tempfile::NamedTempFile {
    let mut bytes = std::fs::read(PLAIN.path()).unwrap();
    let length = u8::try_from(name.len()).unwrap();
    let named = [&[0, length + 1, length], name.as_bytes()].concat();
    for (section, content) in [
        ("component-name", &named[..]),
        ("version", version.as_bytes()),
    ] {
        let length = u8::try_from(1 + section.len() + content.len()).unwrap();
        bytes.extend([0, length, u8::try_from(section.len()).unwrap()]);
        bytes.extend(section.as_bytes());
        bytes.extend(content);
    }
    let file = tempfile::Builder::new().suffix(".wasm").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn the_resource_is_what_the_environment_says() {
    let collector = Collector::start().await;
    let host = TestHost::serving(DEMO)
        .exporting(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.grpc()),
            ("OTEL_SERVICE_NAME", "shop"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=other,service.version=7,service.instance.id=one,team=a%20b",
            ),
        ])
        .start()
        .await;
    let answer = host.get("/health").send().await;
    let spans = collector.trace(&trace_of(&answer).trace_id, 1).await;
    let resource = &spans[0].resource;
    assert_eq!(resource["service.name"], json!("shop"));
    assert_eq!(resource["service.version"], json!("7"));
    assert_eq!(resource["service.instance.id"], json!("one"));
    assert_eq!(resource["team"], json!("a b"));
    assert_eq!(resource["telemetry.sdk.language"], json!("rust"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_names_itself_where_the_environment_does_not() {
    let file = claiming("storefront", "1.2.3");
    let own = resource(file.path(), &[]).await;
    assert_eq!(own["service.name"], json!("storefront"));
    assert_eq!(own["service.version"], json!("1.2.3"));
    let vars = [(
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.name=shop,service.version=7",
    )];
    let given = resource(file.path(), &vars).await;
    assert_eq!(given["service.name"], json!("shop"));
    assert_eq!(given["service.version"], json!("7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_without_a_name_has_that_of_its_file_and_each_process_an_id() {
    let one = resource(&PLAIN.path(), &[]).await;
    let other = resource(&PLAIN.path(), &[]).await;
    assert_eq!(one["service.name"], json!("example-plain"));
    assert!(!one.contains_key("service.version"));
    assert_eq!(one["service.instance.id"].as_str().unwrap().len(), 36);
    assert_ne!(one["service.instance.id"], other["service.instance.id"]);
    for key in ["process.pid", "os.type", "host.arch", "host.name"] {
        assert!(one.contains_key(key), "{key} is not in {one:#?}");
    }
}
