//! A real Jaeger for one test: in memory, on ports of its own, gone with it.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use fanlight_runner::base_url::BaseUrl;
use fanlight_runner::client::Client;
use http::Method;
use tempfile::TempDir;
use tokio::time::Instant;

/// Names the program; `cargo xtask test` sets it.
const PROGRAM: &str = "FANLIGHT_TEST_JAEGER";
/// It is up within two seconds; a busy machine takes longer.
const UP_WITHIN: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Another process may take a port between its choice and its use.
const ATTEMPTS: usize = 3;

/// A running Jaeger. Ends when it is dropped, also by a test that fails; a
/// `static` is never dropped.
#[derive(Debug)]
pub struct Jaeger {
    program: Child,
    ports: Ports,
    /// The configuration and the log.
    directory: TempDir,
}

impl Jaeger {
    /// Starts the program that `FANLIGHT_TEST_JAEGER` names and waits until it
    /// takes traces; `None` where the variable is not set.
    ///
    /// # Errors
    /// When it does not start, with the end of what it said.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(program) = std::env::var_os(PROGRAM).filter(|it| !it.is_empty()) else {
            return Ok(None);
        };
        for _ in 1..ATTEMPTS {
            if let Ok(jaeger) = Self::try_start(program.as_ref()).await {
                return Ok(Some(jaeger));
            }
        }
        Self::try_start(program.as_ref()).await.map(Some)
    }

    /// Where it takes OTLP over gRPC.
    #[must_use]
    pub fn otlp_grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.otlp_grpc)
    }

    /// Where it takes OTLP over HTTP, without `/v1/traces`.
    #[must_use]
    pub fn otlp_http(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.otlp_http)
    }

    /// Where its query API is.
    #[must_use]
    pub fn query_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.query_http)
    }

    async fn try_start(program: &Path) -> anyhow::Result<Self> {
        let ports = Ports::free()?;
        let directory = tempfile::tempdir().context("no directory for Jaeger")?;
        let config = directory.path().join("config.yaml");
        std::fs::write(&config, ports.config()).context("cannot write Jaeger's configuration")?;
        let log = File::create(directory.path().join("log")).context("no log for Jaeger")?;
        let program = Command::new(program)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("no log for Jaeger")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let mut jaeger = Self {
            program,
            ports,
            directory,
        };
        jaeger.healthy().await?;
        Ok(jaeger)
    }

    async fn healthy(&mut self) -> anyhow::Result<()> {
        let health: BaseUrl = format!("http://127.0.0.1:{}", self.ports.health).parse()?;
        let client = Client::new();
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            if let Some(status) = self
                .program
                .try_wait()
                .context("Jaeger cannot be waited for")?
            {
                bail!("Jaeger ended at once ({status}):\n{}", self.said());
            }
            match client.send(&Method::GET, &health.join("/status")).await {
                Ok(answer) if answer.status == 200 => return Ok(()),
                _ if Instant::now() >= deadline => {
                    bail!("Jaeger is not up after {UP_WITHIN:?}:\n{}", self.said());
                }
                _ => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Gives the end of its log.
    fn said(&self) -> String {
        const LINES: usize = 10;
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Drop for Jaeger {
    fn drop(&mut self) {
        // It holds nothing worth an orderly end. One that has ended already cannot
        // be killed, which is as well.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[derive(Debug)]
struct Ports {
    otlp_grpc: u16,
    otlp_http: u16,
    query_http: u16,
    query_grpc: u16,
    health: u16,
}

impl Ports {
    fn free() -> anyhow::Result<Self> {
        // All are held until all are chosen, so that none is chosen twice.
        let bind = || TcpListener::bind("127.0.0.1:0").context("no free port for Jaeger");
        let held = [bind()?, bind()?, bind()?, bind()?, bind()?];
        let port = |at: usize| held[at].local_addr().map(|address| address.port());
        Ok(Self {
            otlp_grpc: port(0)?,
            otlp_http: port(1)?,
            query_http: port(2)?,
            query_grpc: port(3)?,
            health: port(4)?,
        })
    }

    /// Writes the configuration: the parts that tests need and no fixed port.
    /// Without a batch processor a span can be asked for as soon as it is sent.
    fn config(&self) -> String {
        let Self {
            otlp_grpc,
            otlp_http,
            query_http,
            query_grpc,
            health,
        } = self;
        format!(
            r#"service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
  telemetry:
    metrics: {{level: none}}
    logs: {{level: warn}}
extensions:
  healthcheckv2:
    use_v2: true
    http: {{endpoint: "127.0.0.1:{health}"}}
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: "127.0.0.1:{query_http}"}}
    grpc: {{endpoint: "127.0.0.1:{query_grpc}"}}
  jaeger_storage:
    backends:
      memory: {{memory: {{max_traces: 100000}}}}
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{otlp_grpc}"}}
      http: {{endpoint: "127.0.0.1:{otlp_http}"}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"#
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::{Duration, SystemTime};

    use fanlight_runner::jaeger;
    use fanlight_runner::span::{Kind, Status};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status as WireStatus,
    };
    use tokio::time::Instant;

    use super::Jaeger;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[tokio::test]
    async fn what_is_sent_is_found_and_nothing_is_left_behind() {
        let Some(jaeger) = Jaeger::start().await.unwrap() else {
            eprintln!("skipped: FANLIGHT_TEST_JAEGER is not set");
            return;
        };
        TraceServiceClient::connect(jaeger.otlp_grpc())
            .await
            .unwrap()
            .export(trace())
            .await
            .unwrap();

        let query = jaeger::Jaeger::new(jaeger.query_url().parse().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        let found = query
            .trace_of(TRACE, 1, deadline)
            .await
            .unwrap()
            .expect("the trace arrived");
        assert_eq!(found.service, "a service & more");
        assert_eq!(found.spans.len(), 1);
        assert_eq!(found.spans[0].name, "GET /");
        assert_eq!(found.spans[0].kind, Kind::Server);
        assert_eq!(found.spans[0].status, Status::Error);
        assert_eq!(found.spans[0].attributes["result.count"], 3);

        let searched = query.traces("a service & more", 10).await.unwrap();
        assert_eq!(
            searched.into_iter().collect::<Vec<_>>(),
            [(TRACE.to_owned(), found)]
        );
        assert_eq!(query.traces("another", 10).await.unwrap().len(), 0);
        assert_eq!(query.trace(&TRACE.replace('0', "1")).await.unwrap(), None);

        let address = ("127.0.0.1", jaeger.ports.query_http);
        drop(jaeger);
        assert!(TcpStream::connect(address).is_err(), "it still listens");
    }

    fn trace() -> ExportTraceServiceRequest {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let now = u64::try_from(now.as_nanos()).unwrap();
        let attribute = |key: &str, value| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..Default::default()
        };
        let name = any_value::Value::StringValue("a service & more".to_owned());
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: vec![attribute("service.name", name)],
                    ..Default::default()
                }),
                scope_spans: vec![ScopeSpans {
                    spans: vec![Span {
                        trace_id: u128::from_str_radix(TRACE, 16)
                            .unwrap()
                            .to_be_bytes()
                            .to_vec(),
                        span_id: vec![1; 8],
                        name: "GET /".to_owned(),
                        kind: 2,
                        start_time_unix_nano: now,
                        end_time_unix_nano: now + 1_000_000,
                        attributes: vec![attribute("result.count", any_value::Value::IntValue(3))],
                        status: Some(WireStatus {
                            code: 2,
                            ..Default::default()
                        }),
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            }],
        }
    }
}
