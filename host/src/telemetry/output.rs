//! Where a signal's requests go: to the backend while it takes them, and to
//! standard output. Whoever made a request, here it is counted what became of it.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use super::console::Console;
use super::dropped::Exported;
use super::gate::Gate;
use super::health::ExportHealth;
use super::otlp::{OtlpClient, OtlpError, OtlpRequest, Rejection};
use super::signal::SignalConfig;

/// A signal's way out of the process.
pub(crate) struct Output {
    backend: Option<OtlpClient>,
    console: Option<Console>,
    /// Traces have none: a backend without them is no backend.
    gate: Option<Gate>,
    health: ExportHealth,
    counts: Arc<Exported>,
    /// Whether the next request makes up for one that was not sent, as
    /// cumulative sums do.
    makes_up: bool,
}

impl Output {
    /// Makes the way that a signal's configuration describes. Belongs into the
    /// runtime that it is to live on. One export takes `timeout` at most, or
    /// the backend's own where that is shorter.
    ///
    /// # Errors
    /// Where the endpoint is no address, or a file for TLS cannot be used.
    pub(crate) fn new(
        signal: &'static str,
        config: &SignalConfig,
        timeout: Duration,
        counts: Arc<Exported>,
    ) -> anyhow::Result<Self> {
        let timeout = timeout.min(config.timeout);
        let backend = match config.enabled {
            true => Some(OtlpClient::new(config, timeout)?),
            false => None,
        };
        Ok(Self {
            backend,
            console: config.console.then_some(Console),
            gate: None,
            health: ExportHealth::new(signal, &config.shown_endpoint(), config.endpoint_is_default),
            counts,
            makes_up: false,
        })
    }

    /// Pauses where the backend has no service for the signal.
    #[must_use]
    pub(crate) fn gated(mut self) -> Self {
        self.gate = Some(Gate::default());
        self
    }

    /// Counts nothing as lost by a pause.
    #[must_use]
    pub(crate) fn making_up(mut self) -> Self {
        self.makes_up = true;
        self
    }

    /// Sends a request, and takes note of what became of its items.
    ///
    /// # Errors
    /// Where the backend did not take it; the log has been told.
    pub(crate) async fn send(&self, request: &impl OtlpRequest) -> OTelSdkResult {
        let items = request.items();
        // Where there is a backend too, what becomes of the items is its word.
        let written = match &self.console {
            Some(console) => console.write(request).await,
            None => Ok(()),
        };
        let Some(backend) = &self.backend else {
            return match written {
                Ok(()) => {
                    self.counts.exported(items);
                    Ok(())
                }
                Err(error) => self.failed(&error, items),
            };
        };
        if self.gate.as_ref().is_some_and(|gate| !gate.is_open()) {
            self.paused(items);
            return Ok(());
        }
        match (backend.send(request).await, &self.gate) {
            (Ok(rejection), gate) => {
                if let Some(gate) = gate {
                    gate.taken(&self.health);
                }
                self.taken(items, rejection);
                Ok(())
            }
            (Err(OtlpError::NoService), Some(gate)) => {
                gate.refused(&self.health);
                self.paused(items);
                Ok(())
            }
            (Err(error), _) => self.failed(&error, items),
        }
    }

    fn taken(&self, items: u64, rejection: Option<Rejection>) {
        self.health.succeeded();
        let Some(rejection) = rejection else {
            self.counts.exported(items);
            return;
        };
        let rejected = rejection.items.min(items);
        self.counts.exported(items - rejected);
        self.counts.rejected(rejected);
        self.health.rejected(rejected, &rejection.message);
    }

    fn paused(&self, items: u64) {
        if !self.makes_up {
            self.counts.paused(items);
        }
    }

    fn failed(&self, error: &dyn std::error::Error, items: u64) -> OTelSdkResult {
        self.counts.export_failed(items);
        self.health.failed(error, items);
        Err(OTelSdkError::InternalFailure(error.to_string()))
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("signal", &self.health.signal())
            .finish_non_exhaustive()
    }
}
