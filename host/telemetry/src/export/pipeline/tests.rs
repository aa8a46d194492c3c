use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

use super::*;

impl ExportPipeline {
    /// Writes to memory, which it returns as well, and to a backend that is unavailable.
    pub(crate) fn to_memory_alone(
        counts: Arc<Exported>,
    ) -> (Self, Arc<tokio::sync::Mutex<Vec<u8>>>) {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let vars = [
            ("OTEL_TRACES_EXPORTER", "otlp".to_owned()),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", unused.local_addr().unwrap()),
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "100".to_owned()),
        ];
        drop(unused);
        let vars = vars.map(|(name, value)| (name.to_owned(), value));
        let config = crate::TelemetryConfig::from_vars(vars, "test").traces;
        let mut pipeline =
            Self::new("test", &config, config.timeout, counts, Closing::default()).unwrap();
        let (console, written) = Console::in_memory();
        pipeline.console = Some(console);
        (pipeline, written)
    }
}

#[tokio::test]
async fn standard_output_has_all_of_a_request_whose_backend_is_away() {
    const RECORDS: u64 = 8;
    let counts = Arc::new(Exported::default());
    let (pipeline, written) = ExportPipeline::to_memory_alone(Arc::clone(&counts));
    let record = |n: u64| LogRecord {
        time_unix_nano: n,
        // Two are a request, and no more than that.
        event_name: "x".repeat(1024 * 1024),
        ..LogRecord::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: (0..RECORDS).map(record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let outcome = pipeline.send(request).await;
    assert!(matches!(outcome, Err(PipelineError::Unavailable(_))));
    let written = String::from_utf8(written.lock().await.clone()).unwrap();
    assert!(written.ends_with('\n'));
    let lines: Vec<ExportLogsServiceRequest> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines.iter().map(EncodedRequest::items).sum::<u64>(),
        RECORDS
    );
    assert!(counts.losses().contains(&("export_failed", RECORDS)));
}
