//! Sends a signal's requests to the backend and to standard output, and counts the
//! outcome of every request.

#[cfg(test)]
mod tests;

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

/// Exports the requests of one signal.
pub(crate) struct ExportPipeline {
    backend: Option<OtlpClient>,
    console: Option<Console>,
    /// Traces have none: every backend takes traces.
    backoff: Option<UnsupportedSignalBackoff>,
    health: Arc<ExportHealth>,
    console_health: Arc<ExportHealth>,
    closing: Closing,
    counts: Arc<Exported>,
    /// Whether the next request has the values of one that was not sent, as cumulative
    /// sums do.
    is_cumulative: bool,
}

/// Whether items are sent again after a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    /// They are sent once: the backend takes them, or they are lost.
    Once,
    /// The caller keeps them until the backend takes them or refuses them for good.
    Retried,
    /// No later request has them or their values: the process ends.
    Last,
}

/// Why the backend did not take items. The pipeline has logged the failure and counted
/// the items.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PipelineError {
    /// The backend will never take this request; it may take the next one.
    #[error("{0}")]
    Refused(String),
    /// The backend takes no request at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// The backend has no service for the signal; the pipeline sends nothing for a while.
    #[error("paused: the backend does not take this signal")]
    Paused,
}

impl ExportPipeline {
    /// Makes the pipeline that a signal's configuration describes. Call it within the
    /// runtime that the pipeline uses. One request takes at most `timeout`, or the
    /// configured timeout if that is shorter, and ends at the deadline of `closing`.
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
            backoff: None,
            health: Arc::new(health),
            console_health: Arc::new(console_health),
            closing,
            counts,
            is_cumulative: false,
        })
    }

    /// The health of the export to the backend; without a backend, to standard output.
    pub(crate) fn health(&self) -> Arc<ExportHealth> {
        match self.backend {
            Some(_) => Arc::clone(&self.health),
            None => Arc::clone(&self.console_health),
        }
    }

    /// Pauses when the backend has no service for the signal.
    #[must_use]
    pub(crate) fn with_unsupported_backoff(mut self) -> Self {
        self.backoff = Some(UnsupportedSignalBackoff::default());
        self
    }

    /// Counts no value as lost that the next request has as well.
    #[must_use]
    pub(crate) fn with_cumulative_values(mut self) -> Self {
        self.is_cumulative = true;
        self
    }

    /// Sends a request, in several where it is too large for a collector, and
    /// counts the outcome of its items.
    ///
    /// # Errors
    /// Where the backend did not take all of it; that was logged.
    pub(crate) async fn send(&self, request: impl OtlpRequest) -> Result<(), PipelineError> {
        self.send_all(request, Delivery::Once).await
    }

    /// Sends a request whose items the caller keeps and sends again, unless the backend
    /// took them or refused them for good.
    ///
    /// # Errors
    /// Where the backend did not take all of it; that was logged.
    pub(crate) async fn send_kept(&self, request: impl OtlpRequest) -> Result<(), PipelineError> {
        self.send_all(request, Delivery::Retried).await
    }

    /// Sends the last request of the process.
    ///
    /// # Errors
    /// Where the backend did not take all of it; that was logged.
    pub(crate) async fn send_last(&self, request: impl OtlpRequest) -> Result<(), PipelineError> {
        self.send_all(request, Delivery::Last).await
    }

    async fn send_all(
        &self,
        request: impl OtlpRequest,
        delivery: Delivery,
    ) -> Result<(), PipelineError> {
        let mut outcome = Ok(());
        let mut pieces = split(request).into_iter();
        while let Some(piece) = pieces.next() {
            match self.send_piece(&piece, delivery).await {
                Ok(()) => {}
                // The next piece may succeed.
                Err(error @ (PipelineError::Refused(_) | PipelineError::Paused)) => {
                    outcome = Err(error)
                }
                Err(error @ PipelineError::Unavailable(_)) => {
                    // Each of the others would wait as long, and fail as well.
                    for piece in pieces {
                        self.write_to_console(&piece).await;
                        self.lost(piece.items(), delivery);
                    }
                    return Err(error);
                }
            }
        }
        outcome
    }

    /// Sends spans that are encoded already, in a request of a size that collectors
    /// take, and counts the outcome.
    ///
    /// # Errors
    /// Where the backend did not take all of them; that was logged.
    pub(crate) async fn send_spans(&self, request: EncodedTraces) -> Result<(), PipelineError> {
        self.send_piece(&request, Delivery::Once).await
    }

    /// Writes a request to standard output that is not sent, because the backend is
    /// unavailable.
    pub(crate) async fn write_to_console(&self, request: &impl OtlpRequest) {
        // Without a backend, standard output itself is unavailable.
        if self.backend.is_some() {
            // The outcome at the backend decides how the items are counted.
            let _ = self.write(request).await;
        }
    }

    /// Does the same for a request that is not sent at the end of the process, and
    /// counts its items as lost.
    pub(crate) async fn write_and_count_lost(&self, request: &impl OtlpRequest) {
        self.write_to_console(request).await;
        self.lost(request.items(), Delivery::Last);
    }

    async fn send_piece(
        &self,
        request: &impl EncodedRequest,
        delivery: Delivery,
    ) -> Result<(), PipelineError> {
        // Concurrently: the request to the backend must not wait for a reader of
        // standard output.
        let (written, sent) = tokio::join!(self.write(request), self.push(request, delivery));
        // With a backend, its outcome decides how the items are counted.
        match (sent, written) {
            (Some(sent), _) => sent,
            (None, Some(Ok(()))) => {
                self.counts.exported(request.items());
                Ok(())
            }
            (None, Some(Err(error))) => {
                self.lost(request.items(), delivery);
                Err(PipelineError::Unavailable(error.to_string()))
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
        delivery: Delivery,
    ) -> Option<Result<(), PipelineError>> {
        let backend = self.backend.as_ref()?;
        let items = request.items();
        if self
            .backoff
            .as_ref()
            .is_some_and(|backoff| !backoff.may_send())
        {
            self.paused(items, delivery);
            return Some(Err(PipelineError::Paused));
        }
        let trouble = |error: &OtlpError| self.health.retrying(error);
        Some(
            match (backend.send(request, trouble).await, &self.backoff) {
                (Ok(rejection), backoff) => {
                    if let Some(backoff) = backoff {
                        backoff.record_success(&self.health);
                    }
                    self.taken(items, rejection);
                    Ok(())
                }
                // A backend that took the signal before has the service, and is being
                // replaced.
                (Err(OtlpError::NoService(reason)), Some(backoff)) if !backoff.has_succeeded() => {
                    backoff.record_unsupported(&self.health, &reason);
                    self.paused(items, delivery);
                    Err(PipelineError::Paused)
                }
                (Err(error), _) => Err(self.failed(&error, items, delivery)),
            },
        )
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

    fn paused(&self, items: u64, delivery: Delivery) {
        if !self.is_sent_again(delivery) {
            self.counts.paused(items);
        }
    }

    fn lost(&self, items: u64, delivery: Delivery) {
        if !self.is_sent_again(delivery) {
            self.counts.export_failed(items);
        }
    }

    /// Whether a later request has the items or their values.
    fn is_sent_again(&self, delivery: Delivery) -> bool {
        delivery != Delivery::Last && (self.is_cumulative || delivery == Delivery::Retried)
    }

    fn failed(&self, error: &OtlpError, items: u64, delivery: Delivery) -> PipelineError {
        // The caller drops items that the backend refused for good.
        let delivery = match error {
            OtlpError::Permanent(_) | OtlpError::NoService(_) if delivery == Delivery::Retried => {
                Delivery::Once
            }
            _ => delivery,
        };
        let failed = match error {
            _ if self.is_sent_again(delivery) => Failed::default(),
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
            OtlpError::Permanent(_) | OtlpError::NoService(_) => PipelineError::Refused(message),
            OtlpError::Unreachable(_)
            | OtlpError::Transient { .. }
            | OtlpError::Timeout(_)
            | OtlpError::Unanswered(_) => PipelineError::Unavailable(message),
        }
    }
}

impl std::fmt::Debug for ExportPipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportPipeline")
            .field("signal", &self.health.signal())
            .finish_non_exhaustive()
    }
}
