//! A real Jaeger for one test: in memory, on ports of its own, gone with it.

use crate::daemon::Daemon;

/// Names the program; `cargo xtask test` sets it.
const PROGRAM: &str = "FANLIGHT_TEST_JAEGER";

/// A running Jaeger. Ends when it is dropped.
#[derive(Debug)]
pub struct Jaeger {
    _program: Daemon,
    otlp_grpc: u16,
    otlp_http: u16,
    query_http: u16,
}

impl Jaeger {
    /// Starts the program that `FANLIGHT_TEST_JAEGER` names and waits until it
    /// takes traces; `None` where the variable is not set.
    ///
    /// # Errors
    /// When it does not start, with the end of what it said.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some((program, ports)) = Daemon::start(PROGRAM, config).await? else {
            return Ok(None);
        };
        let [otlp_grpc, otlp_http, query_http, _, _] = ports;
        Ok(Some(Self {
            _program: program,
            otlp_grpc,
            otlp_http,
            query_http,
        }))
    }

    /// Where it takes OTLP over gRPC.
    #[must_use]
    pub fn otlp_grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp_grpc)
    }

    /// Where it takes OTLP over HTTP, without `/v1/traces`.
    #[must_use]
    pub fn otlp_http(&self) -> String {
        format!("http://127.0.0.1:{}", self.otlp_http)
    }

    /// Where its query API is.
    #[must_use]
    pub fn query_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.query_http)
    }
}

/// Writes the configuration: the parts that tests need and no fixed port.
/// Without a batch processor a span can be asked for as soon as it is sent.
fn config([otlp_grpc, otlp_http, query_http, query_grpc, health]: &[u16; 5]) -> String {
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
    use crate::skipped::skip_outside_ci;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[tokio::test]
    async fn what_is_sent_is_found_and_nothing_is_left_behind() {
        let Some(jaeger) = Jaeger::start().await.unwrap() else {
            let name = "what_is_sent_is_found_and_nothing_is_left_behind";
            return skip_outside_ci(name, "FANLIGHT_TEST_JAEGER names no Jaeger");
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

        let address = ("127.0.0.1", jaeger.query_http);
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
