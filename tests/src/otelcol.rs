//! A real OpenTelemetry Collector for one test: takes all three signals over
//! gRPC and HTTP, with TLS, and hands them on; gone with the test.

use std::path::Path;

use fanlight_runner::client::Client;
use http::Method;

use crate::daemon::Daemon;
use crate::prometheus::{Families, parse};
use crate::tls::Pair;

/// Names the program; `cargo xtask test` sets it.
const PROGRAM: &str = "FANLIGHT_TEST_OTELCOL";

/// A running Collector. Ends when it is dropped.
#[derive(Debug)]
pub struct OtelCollector {
    _program: Daemon,
    otlp_grpc: u16,
    otlp_http: u16,
    prometheus: u16,
    own_metrics: u16,
}

impl OtelCollector {
    /// Starts the program that `FANLIGHT_TEST_OTELCOL` names; `None` where the
    /// variable is not set. It shows the certificate of `pair`, from `folder`,
    /// and sends on what it takes to `next`, a collector that takes gRPC.
    ///
    /// # Errors
    /// When it does not start, with the end of what it said.
    pub async fn start(pair: &Pair, folder: &Path, next: &str) -> anyhow::Result<Option<Self>> {
        let files = pair.write_to(folder);
        let configured = |ports: &[u16; 5]| {
            let certificate = files.certificate.display().to_string();
            let key = files.key.display().to_string();
            config(ports, &certificate, &key, next)
        };
        let Some((program, ports)) = Daemon::start(PROGRAM, configured).await? else {
            return Ok(None);
        };
        let [otlp_grpc, otlp_http, prometheus, own_metrics, _] = ports;
        Ok(Some(Self {
            _program: program,
            otlp_grpc,
            otlp_http,
            prometheus,
            own_metrics,
        }))
    }

    /// Where it takes OTLP over gRPC.
    #[must_use]
    pub fn otlp_grpc(&self) -> String {
        format!("https://localhost:{}", self.otlp_grpc)
    }

    /// Where it takes OTLP over HTTP, without `/v1/traces`.
    #[must_use]
    pub fn otlp_http(&self) -> String {
        format!("https://localhost:{}", self.otlp_http)
    }

    /// What its Prometheus exporter says of the metrics that it was sent.
    pub async fn prometheus(&self) -> Families {
        parse(&text(self.prometheus).await)
    }

    /// How many items of a kind (`spans`, `metric_points`, `log_records`) it
    /// has accepted, by its own count.
    pub async fn accepted(&self, kind: &str) -> f64 {
        self.counted(&format!("otelcol_receiver_accepted_{kind}"))
            .await
    }

    /// How many it has refused.
    pub async fn refused(&self, kind: &str) -> f64 {
        self.counted(&format!("otelcol_receiver_refused_{kind}"))
            .await
    }

    async fn counted(&self, name: &str) -> f64 {
        let text = text(self.own_metrics).await;
        let samples = text.lines().filter(|line| line.starts_with(name));
        let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        values.sum()
    }
}

async fn text(port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/metrics");
    let answer = Client::new().send(&Method::GET, &url).await;
    let answer = answer.expect("it answers");
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body.to_vec()).expect("it is text")
}

/// The parts that tests need and no fixed port. There is no batch processor, so
/// that what was taken is handed on at once.
fn config(
    [otlp_grpc, otlp_http, prometheus, own_metrics, health]: &[u16; 5],
    certificate: &str,
    key: &str,
    next: &str,
) -> String {
    let next = next.trim_start_matches("http://");
    format!(
        r#"service:
  extensions: [healthcheckv2]
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_grpc]}}
    metrics: {{receivers: [otlp], exporters: [otlp_grpc, prometheus]}}
    logs: {{receivers: [otlp], exporters: [otlp_grpc]}}
  telemetry:
    metrics:
      level: normal
      readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {own_metrics}}}}}}}}}]
    logs: {{level: warn}}
extensions:
  healthcheckv2:
    use_v2: true
    http: {{endpoint: "127.0.0.1:{health}"}}
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: "127.0.0.1:{otlp_grpc}"
        tls: {{cert_file: "{certificate}", key_file: "{key}"}}
      http:
        endpoint: "127.0.0.1:{otlp_http}"
        tls: {{cert_file: "{certificate}", key_file: "{key}"}}
exporters:
  otlp_grpc:
    endpoint: "{next}"
    compression: none
    tls: {{insecure: true}}
  prometheus:
    endpoint: "127.0.0.1:{prometheus}"
"#
    )
}
