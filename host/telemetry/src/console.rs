//! Writes telemetry to standard output: one request of OTLP a line, in JSON.
//!
//! The format is that of the specification's OTLP File Exporter, which the Collector's
//! `otlpjsonfile` receiver reads.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;

use crate::otlp::json;

/// The longest wait for a write, if exports have no timeout.
const LONGEST_WRITE: Duration = Duration::from_secs(10);

/// Standard output.
pub(crate) struct Console {
    timeout: Duration,
    /// A write holds it until it has ended: otherwise the number of threads that wait
    /// for the reader would grow.
    output: Arc<Mutex<dyn io::Write + Send>>,
}

/// Why lines were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsoleError {
    /// Its reader has closed it.
    #[error("{0}")]
    Broken(io::Error),
    /// Its reader does not read for now.
    #[error("its reader does not read")]
    Blocked,
}

impl Console {
    /// Waits `timeout` for each write, and ten seconds at most.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout: timeout.min(LONGEST_WRITE),
            output: Arc::new(Mutex::new(io::stdout())),
        }
    }

    /// Writes a request as a line, off the runtime's own threads: the reader of the
    /// pipe may be slow.
    ///
    /// # Errors
    /// If the reader has closed it, or did not read in time. While an earlier write
    /// waits for the reader, no other is tried.
    pub(crate) async fn write(&self, request: &impl Serialize) -> Result<(), ConsoleError> {
        let output = Arc::clone(&self.output).try_lock_owned();
        let mut output = output.map_err(|_| ConsoleError::Blocked)?;
        let encoded = json::encode(request);
        let mut text = encoded.map_err(|error| ConsoleError::Broken(error.into()))?;
        text.push(b'\n');
        // In one write, so that the lines of two signals do not mix.
        let written = tokio::task::spawn_blocking(move || {
            output.write_all(&text).and_then(|()| output.flush())
        });
        match tokio::time::timeout(self.timeout, written).await {
            Ok(Ok(written)) => written.map_err(ConsoleError::Broken),
            Ok(Err(ended)) => Err(ConsoleError::Broken(io::Error::other(ended))),
            Err(_) => Err(ConsoleError::Blocked),
        }
    }
}

#[cfg(test)]
impl Console {
    /// Writes into memory, which it returns as well.
    pub(crate) fn in_memory() -> (Self, Arc<Mutex<Vec<u8>>>) {
        let written = Arc::new(Mutex::new(Vec::new()));
        let console = Self {
            timeout: Duration::from_secs(60),
            output: Arc::clone(&written) as _,
        };
        (console, written)
    }
}
