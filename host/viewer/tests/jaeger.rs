//! The query API beside a real Jaeger that was sent the same spans, and with the
//! project's own test runner as its client.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of a test fail as it does"
)]

mod support;

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fanlight_runner::client::Client;
use fanlight_runner::jaeger::Jaeger;
use fanlight_viewer::Store;
use http::Method;
use prost::Message as _;
use serde_json::Value;
use support::Host;

/// A viewer's address, over a store with these traces.
async fn served(traces: &[support::Trace]) -> String {
    let store = Arc::new(Store::default());
    store.add_traces(&support::spans_request(traces).encode_to_vec());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(support::serve(
        listener,
        support::viewer(store, Host::default()),
    ));
    format!("http://{address}")
}

#[tokio::test]
async fn the_test_runner_reads_traces_from_the_viewer() {
    let start = support::now();
    let url = served(&support::samples(start)).await;
    let jaeger = Jaeger::new(url.parse().unwrap());
    let id = "5b8efff798038103d269b633813fc60c";
    let trace = jaeger.trace(id).await.unwrap().expect("it is stored");
    assert_eq!(trace.service, "orders");
    assert_eq!(trace.spans.len(), 9);
    let found = jaeger.traces("orders", 10).await.unwrap();
    assert_eq!(found.len(), 4);
    assert_eq!(found[id].spans.len(), 9);
    assert!(jaeger.traces("another", 10).await.unwrap().is_empty());
    assert_eq!(jaeger.trace(&id.replace('5', "6")).await.unwrap(), None);
}

#[tokio::test]
async fn the_api_answers_as_jaeger_does() {
    let Some(real) = RealJaeger::start().await else {
        return;
    };
    let start = support::now() - 10_000 * support::MS;
    // Jaeger changes spans of no length, and the order of attributes of hostile keys
    // is the same in both.
    let traces = [
        support::success(0x11, start),
        support::failure(0x22, start + 500 * support::MS),
        support::hostile(0x33, start + 900 * support::MS),
    ];
    // One by one: of traces that come together, Jaeger keeps no order.
    for trace in &traces {
        real.send(std::slice::from_ref(trace)).await;
    }
    let viewer = served(&traces).await;
    let time = |at: u64| {
        let at = std::time::UNIX_EPOCH + Duration::from_nanos(at);
        humantime::format_rfc3339(at).to_string()
    };
    let times = format!(
        "query.start_time_min={}&query.start_time_max={}",
        time(start - 1_000_000_000),
        time(start + 60_000_000_000)
    );
    let of_shop = format!("/api/v3/traces?query.service_name=orders&query.num_traces=10&{times}");
    let asked = [
        "/api/v3/services".to_owned(),
        "/api/v3/operations?service=orders".to_owned(),
        "/api/v3/operations?service=orders&span_kind=server".to_owned(),
        "/api/v3/operations?service=another".to_owned(),
        format!("/api/v3/traces/{:032x}", 0x11),
        format!("/api/v3/traces/{:032x}", 0x22),
        format!("/api/v3/traces/{:032x}", 0x33),
        "/api/v3/traces/44".to_owned(),
        "/api/v3/traces/zz".to_owned(),
        "/api/v3/traces".to_owned(),
        of_shop.clone(),
        format!("/api/v3/traces?query.num_traces=1&{times}"),
        format!("/api/v3/traces?query.service_name=another&query.num_traces=10&{times}"),
        format!("{of_shop}&query.operation_name=charge%20card"),
        format!("{of_shop}&query.operation_name=none"),
        format!("{of_shop}&query.duration_min=1s"),
        format!("{of_shop}&query.duration_max=1ms&query.operation_name=handle"),
        format!("{of_shop}&query.duration_min=abc"),
        format!("/api/v3/traces?query.num_traces=x&{times}"),
    ];
    for path in asked {
        let (status, theirs) = ask(&real.query, &path).await;
        let (ours_status, ours) = ask(&viewer, &path).await;
        assert_eq!(ours_status, status, "{path}");
        let (ours, theirs) = (in_order(ours), in_order(theirs));
        assert!(ours == theirs, "{path}: {}", difference(&ours, &theirs));
    }
}

async fn ask(url: &str, path: &str) -> (u16, Value) {
    let url = format!("{url}{path}");
    let answer = Client::new().send(&Method::GET, &url).await.unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

/// The same answer with lists in one order, where Jaeger has none: operations, events,
/// the scopes of a resource and their spans.
fn in_order(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                *member = in_order(member.take());
                let has_no_order =
                    ["events", "operations", "scopeSpans", "spans"].contains(&key.as_str());
                if let (true, Value::Array(items)) = (has_no_order, member) {
                    items.sort_by_key(ToString::to_string);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = in_order(item.take());
            }
        }
        _ => {}
    }
    value
}

/// The first lines that differ.
fn difference(ours: &Value, theirs: &Value) -> String {
    let (ours, theirs) = (format!("{ours:#}"), format!("{theirs:#}"));
    let mut lines = ours.lines().zip(theirs.lines()).enumerate();
    let differing = lines.find(|(_, (ours, theirs))| ours != theirs);
    let at = differing.map_or(0, |(at, _)| at);
    let part = |text: &str| {
        let lines = text.lines().skip(at.saturating_sub(10)).take(20);
        lines.collect::<Vec<_>>().join("\n")
    };
    format!("ours\n{}\nJaeger's\n{}", part(&ours), part(&theirs))
}

/// A Jaeger in memory, gone with the test.
struct RealJaeger {
    program: Child,
    _directory: tempfile::TempDir,
    query: String,
    otlp: String,
}

impl RealJaeger {
    /// Starts the program that `FANLIGHT_TEST_JAEGER` names, or the one that `cargo
    /// xtask` has built; `None` where there is neither.
    async fn start() -> Option<Self> {
        let named = std::env::var_os("FANLIGHT_TEST_JAEGER").filter(|it| !it.is_empty());
        let built = || {
            let home = std::env::var_os("HOME")?;
            Some(PathBuf::from(home).join(".cache/fanlight/bin/jaeger"))
        };
        let program = named
            .map(PathBuf::from)
            .or_else(built)
            .filter(|it| it.exists());
        let Some(program) = program else {
            let line =
                "SKIPPED: the_api_answers_as_jaeger_does: FANLIGHT_TEST_JAEGER names no Jaeger\n";
            // The harness keeps what the macros print.
            let _ = std::io::stderr().write_all(line.as_bytes());
            return None;
        };
        let [grpc, http, query, query_grpc, health] = free_ports();
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config.yaml");
        let text = format!(
            r#"service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
  telemetry:
    metrics: {{level: none}}
    logs: {{level: warn}}
extensions:
  healthcheckv2: {{use_v2: true, http: {{endpoint: "127.0.0.1:{health}"}}}}
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: "127.0.0.1:{query}"}}
    grpc: {{endpoint: "127.0.0.1:{query_grpc}"}}
  jaeger_storage: {{backends: {{memory: {{memory: {{max_traces: 1000}}}}}}}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
      http: {{endpoint: "127.0.0.1:{http}"}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"#
        );
        std::fs::write(&config, text).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let program = Command::new(program)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let jaeger = Self {
            program,
            _directory: directory,
            query: format!("http://127.0.0.1:{query}"),
            otlp: format!("127.0.0.1:{http}"),
        };
        let status = format!("http://127.0.0.1:{health}/status");
        for _ in 0..600 {
            let answer = Client::new().send(&Method::GET, &status).await;
            if answer.is_ok_and(|it| it.status == 200) {
                return Some(jaeger);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Jaeger is not up");
    }

    async fn send(&self, traces: &[support::Trace]) {
        let request = support::spans_request(traces).encode_to_vec();
        let stream = tokio::net::TcpStream::connect(&self.otlp).await.unwrap();
        let stream = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post("/v1/traces")
            .header("host", &self.otlp)
            .header("content-type", "application/x-protobuf")
            .body(http_body_util::Full::new(bytes::Bytes::from(request)))
            .unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    }
}

impl Drop for RealJaeger {
    fn drop(&mut self) {
        // It holds nothing worth an orderly end.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn free_ports<const PORTS: usize>() -> [u16; PORTS] {
    // All are held until all are chosen, so that none is chosen twice.
    let held: [_; PORTS] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|it| it.local_addr().unwrap().port())
}
