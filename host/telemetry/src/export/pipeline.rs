//! Where a signal's requests go: to the backend while it takes them, and to
//! standard output. Counts the outcome of every request.

use std::sync::Arc;
use std::time::Duration;

use crate::config::signal::SignalConfig;
use crate::console::{Console, ConsoleError};
use crate::export::backoff::UnsupportedSignalBackoff;
use crate::export::counters::Exported;
use crate::export::log::{ExportHealth, Failed};
use crate::otlp::OtlpClient;
use crate::otlp::closing::Closing;
use crate::otlp::error::{ExporterError, OtlpError};
use crate::otlp::request::{EncodedRequest, EncodedTraces, OtlpRequest, Rejection};
use crate::otlp::split::split;

/// A signal's way out of the process.
pub(crate) struct ExportPipeline {
    backend: Option<OtlpClient>,
    console: Option<Console>,
    /// Traces have none: a backend without them is no backend.
    gate: Option<UnsupportedSignalBackoff>,
    health: Arc<ExportHealth>,
    console_health: Arc<ExportHealth>,
    closing: Closing,
    counts: Arc<Exported>,
    /// Whether the next request makes up for one that was not sent, as
    /// cumulative sums do.
    makes_up: bool,
}

/// Where items are from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whence {
    /// They were given away: what is not taken is lost.
    Given,
    /// They are kept until they were taken or refused for good.
    Kept,
    /// They are the last ones: no later request makes up for them.
    Last,
}

/// Why items did not leave. The failure is logged, and the items are counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// This request will never be taken; the next one may be.
    #[error("{0}")]
    Refused(String),
    /// Nothing is taken for now.
    #[error("{0}")]
    Unavailable(String),
    /// The backend has no service for the signal; it is not asked for a while.
    #[error("paused: the backend does not take this signal")]
    Paused,
}

impl ExportPipeline {
    /// Makes the way that a signal's configuration describes. Belongs into the
    /// runtime that it is to live on. One request takes `timeout` at most, or
    /// the backend's own where that is shorter, and none goes on after the deadline
    /// of `closing`.
    ///
    /// # Errors
    /// Where the endpoint is no address, or a file for TLS cannot be used.
    pub(crate) fn new(
        signal: &'static str,
        config: &SignalConfig,
        timeout: Duration,
        counts: Arc<Exported>,
        closing: Closing,
    ) -> Result<Self, ExporterError> {
        let timeout = timeout.min(config.timeout);
        let mut backend = match config.enabled {
            true => Some(OtlpClient::new(config, timeout)?),
            false => None,
        };
        if let Some(backend) = &mut backend {
            backend.closed_by(closing.clone());
        }
        let endpoint = config.shown_endpoint();
        let mut health = ExportHealth::new(signal, &endpoint, config.endpoint_is_default);
        let mut console_health = ExportHealth::new(signal, "standard output", false);
        health.closed_by(closing.clone());
        console_health.closed_by(closing.clone());
        Ok(Self {
            backend,
            console: config.console.then(|| Console::new(timeout)),
            gate: None,
            health: Arc::new(health),
            console_health: Arc::new(console_health),
            closing,
            counts,
            makes_up: false,
        })
    }

    /// How the export goes whose word counts: the backend's, where there is one.
    pub(crate) fn health(&self) -> Arc<ExportHealth> {
        match self.backend {
            Some(_) => Arc::clone(&self.health),
            None => Arc::clone(&self.console_health),
        }
    }

    /// Pauses where the backend has no service for the signal.
    #[must_use]
    pub(crate) fn gated(mut self) -> Self {
        self.gate = Some(UnsupportedSignalBackoff::default());
        self
    }

    /// Counts nothing as lost that the next request tells again.
    #[must_use]
    pub(crate) fn making_up(mut self) -> Self {
        self.makes_up = true;
        self
    }

    /// Sends a request, in several where it is too large for a collector, and
    /// counts the outcome of its items.
    ///
    /// # Errors
    /// Where the backend did not take all of it; that was logged.
    pub(crate) async fn send(&self, request: impl OtlpRequest) -> Result<(), OutputError> {
        self.send_all(request, Whence::Given).await
    }

    /// Sends a request whose items are kept, and sent again unless they were taken
    /// or refused for good.
    ///
    /// # Errors
    /// Where the backend did not take all of it; that was logged.
    pub(crate) async fn send_kept(&self, request: impl OtlpRequest) -> Result<(), OutputError> {
        self.send_all(request, Whence::Kept).await
    }

    /// Sends a request that no later one makes up for.
    ///
    /// # Errors
    /// Where the backend did not take all of it; that was logged.
    pub(crate) async fn send_last(&self, request: impl OtlpRequest) -> Result<(), OutputError> {
        self.send_all(request, Whence::Last).await
    }

    async fn send_all(&self, request: impl OtlpRequest, whence: Whence) -> Result<(), OutputError> {
        let mut outcome = Ok(());
        let mut pieces = split(request).into_iter();
        while let Some(piece) = pieces.next() {
            match self.send_piece(&piece, whence).await {
                Ok(()) => {}
                // What is wrong with one piece need not be wrong with the next.
                Err(error @ (OutputError::Refused(_) | OutputError::Paused)) => {
                    outcome = Err(error)
                }
                Err(error @ OutputError::Unavailable(_)) => {
                    // Each of the others would wait as long, for as little.
                    for piece in pieces {
                        self.pass_over(&piece).await;
                        self.lost(piece.items(), whence);
                    }
                    return Err(error);
                }
            }
        }
        outcome
    }

    /// Sends spans that are written already, no more than a collector takes, and
    /// counts their outcome.
    ///
    /// # Errors
    /// Where the backend did not take all of them; that was logged.
    pub(crate) async fn send_spans(&self, request: EncodedTraces) -> Result<(), OutputError> {
        self.send_piece(&request, Whence::Given).await
    }

    /// Writes to standard output what is kept from a backend that is away.
    pub(crate) async fn pass_over(&self, request: &impl OtlpRequest) {
        // Without a backend it was standard output that took nothing.
        if self.backend.is_some() {
            // What becomes of the items is the backend's word.
            let _ = self.write(request).await;
        }
    }

    /// The same for what is not sent at the end, and counts it as lost.
    pub(crate) async fn give_up(&self, request: &impl OtlpRequest) {
        self.pass_over(request).await;
        self.lost(request.items(), Whence::Last);
    }

    async fn send_piece(
        &self,
        request: &impl EncodedRequest,
        whence: Whence,
    ) -> Result<(), OutputError> {
        // Side by side: standard output may have no reader, and the backend is not
        // to wait for that.
        let (written, sent) = tokio::join!(self.write(request), self.push(request, whence));
        // Where there is a backend too, what becomes of the items is its word.
        match (sent, written) {
            (Some(sent), _) => sent,
            (None, Some(Ok(()))) => {
                self.counts.exported(request.items());
                Ok(())
            }
            (None, Some(Err(error))) => {
                self.lost(request.items(), whence);
                Err(OutputError::Unavailable(error.to_string()))
            }
            (None, None) => Ok(()),
        }
    }

    async fn write(&self, request: &impl EncodedRequest) -> Option<Result<(), ConsoleError>> {
        // A request of metrics may be empty, and would be a line without any.
        let console = self.console.as_ref().filter(|_| request.items() > 0)?;
        let message = request.message();
        let written = tokio::select! {
            written = console.write(&*message) => written,
            () = self.closing.deadline() => Err(ConsoleError::Blocked),
        };
        match &written {
            Ok(()) => self.console_health.succeeded(),
            Err(error) => {
                let lost = request.items();
                let unconfirmed = 0;
                self.console_health
                    .failed(error, Failed { lost, unconfirmed });
            }
        }
        Some(written)
    }

    async fn push(
        &self,
        request: &impl EncodedRequest,
        whence: Whence,
    ) -> Option<Result<(), OutputError>> {
        let backend = self.backend.as_ref()?;
        let items = request.items();
        if self.gate.as_ref().is_some_and(|gate| !gate.is_open()) {
            self.paused(items, whence);
            return Some(Err(OutputError::Paused));
        }
        let trouble = |error: &OtlpError| self.health.retrying(error);
        Some(match (backend.send(request, trouble).await, &self.gate) {
            (Ok(rejection), gate) => {
                if let Some(gate) = gate {
                    gate.taken(&self.health);
                }
                self.taken(items, rejection);
                Ok(())
            }
            // One that took the signal before has it, and is only being replaced.
            (Err(OtlpError::NoService(reason)), Some(gate)) if !gate.has_taken() => {
                gate.refused(&self.health, &reason);
                self.paused(items, whence);
                Err(OutputError::Paused)
            }
            (Err(error), _) => Err(self.failed(&error, items, whence)),
        })
    }

    fn taken(&self, items: u64, rejection: Option<Rejection>) {
        self.health.succeeded();
        let Some(rejection) = rejection else {
            self.counts.exported(items);
            return;
        };
        let rejected = rejection.items.min(items);
        if rejected == 0 {
            self.counts.exported(items);
            self.health.warned(&rejection.message);
            return;
        }
        self.counts.exported(items - rejected);
        self.counts.rejected(rejected);
        self.health.rejected(rejected, &rejection.message);
    }

    fn paused(&self, items: u64, whence: Whence) {
        if !self.comes_again(whence) {
            self.counts.paused(items);
        }
    }

    fn lost(&self, items: u64, whence: Whence) {
        if !self.comes_again(whence) {
            self.counts.export_failed(items);
        }
    }

    /// Whether a later request has what is not taken for now.
    fn comes_again(&self, whence: Whence) -> bool {
        whence != Whence::Last && (self.makes_up || whence == Whence::Kept)
    }

    fn failed(&self, error: &OtlpError, items: u64, whence: Whence) -> OutputError {
        // What is refused for good is not kept any longer.
        let whence = match error {
            OtlpError::Permanent(_) | OtlpError::NoService(_) if whence == Whence::Kept => {
                Whence::Given
            }
            _ => whence,
        };
        let failed = match error {
            _ if self.comes_again(whence) => Failed::default(),
            OtlpError::Unanswered(_) => Failed {
                lost: 0,
                unconfirmed: items,
            },
            _ => Failed {
                lost: items,
                unconfirmed: 0,
            },
        };
        self.counts.export_failed(failed.lost);
        self.counts.unconfirmed(failed.unconfirmed);
        match error {
            OtlpError::Unreachable(_) => self.health.unreachable(error, failed),
            _ => self.health.failed(error, failed),
        }
        let message = error.to_string();
        match error {
            OtlpError::Permanent(_) | OtlpError::NoService(_) => OutputError::Refused(message),
            OtlpError::Unreachable(_)
            | OtlpError::Transient { .. }
            | OtlpError::Timeout(_)
            | OtlpError::Unanswered(_) => OutputError::Unavailable(message),
        }
    }
}

#[cfg(test)]
impl ExportPipeline {
    /// Goes to memory, which is given as well, and to a backend that is away.
    pub(crate) fn to_memory_alone(
        counts: Arc<Exported>,
    ) -> (Self, Arc<tokio::sync::Mutex<Vec<u8>>>) {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let vars = [
            ("OTEL_TRACES_EXPORTER", "otlp".to_owned()),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", nobody.local_addr().unwrap()),
            ),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "100".to_owned()),
        ];
        drop(nobody);
        let vars = vars.map(|(name, value)| (name.to_owned(), value));
        let config = crate::TelemetryConfig::from_vars(vars, "test").traces;
        let mut output =
            Self::new("test", &config, config.timeout, counts, Closing::default()).unwrap();
        let (console, written) = Console::in_memory();
        output.console = Some(console);
        (output, written)
    }
}

impl std::fmt::Debug for ExportPipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportPipeline")
            .field("signal", &self.health.signal())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

    use super::*;

    #[tokio::test]
    async fn standard_output_has_all_of_a_request_whose_backend_is_away() {
        const RECORDS: u64 = 8;
        let counts = Arc::new(Exported::default());
        let (output, written) = ExportPipeline::to_memory_alone(Arc::clone(&counts));
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
        let outcome = output.send(request).await;
        assert!(matches!(outcome, Err(OutputError::Unavailable(_))));
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
}
