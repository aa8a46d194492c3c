//! The signals that end the server, the one that makes it read its certificate
//! again, and those that it ignores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use fanlight_server::Tls;

/// How long a SIGTERM counts as the same as the signal before: `timeout` sends it
/// to its process group as well, and so the server gets two.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// The signals that end the server.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for a signal by which the operator does not want to wait any longer:
    /// SIGINT, or a SIGTERM that is not the one of before, which came at `first`.
    pub(crate) async fn insists(&mut self, first: Instant) -> &'static str {
        loop {
            let name = self.next().await;
            if name != "SIGTERM" || first.elapsed() >= SAME_SIGNAL {
                return name;
            }
            tracing::debug!("SIGTERM again, within a second: taken for the same signal");
        }
    }
}

/// Makes the process ignore signals that would end it by default and that have no
/// meaning here: operators' scripts send the first two to other servers, which read
/// their configuration or open their log again. SIGPIPE is ignored by Rust's own start.
///
/// # Errors
/// Where the system does not let a handler be set.
pub(crate) fn ignore_others() -> std::io::Result<()> {
    let raw = |signal: rustix::process::Signal| SignalKind::from_raw(signal.as_raw());
    for kind in [
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::alarm(),
        SignalKind::io(),
        raw(rustix::process::Signal::VTALARM),
        raw(rustix::process::Signal::PROF),
    ] {
        // The handler, which does nothing else, stays when what waits for it is gone.
        drop(signal(kind)?);
    }
    Ok(())
}

/// Handles SIGHUP until it is dropped. The signal never ends the process.
pub(crate) struct Hangups {
    task: JoinHandle<()>,
}

impl Hangups {
    /// Reads the certificate again at each signal.
    pub(crate) fn heed(tls: Option<Arc<Tls>>) -> std::io::Result<Self> {
        let mut hangups = signal(SignalKind::hangup())?;
        let task = tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                let Some(tls) = tls.clone() else {
                    tracing::info!("SIGHUP: ignored, there is no certificate to read anew");
                    continue;
                };
                tracing::info!("SIGHUP: reading the certificate anew");
                // The files may lie on a share that hangs. It does not panic.
                let _ = tokio::task::spawn_blocking(move || tls.renew()).await;
            }
        });
        Ok(Self { task })
    }
}

impl Drop for Hangups {
    fn drop(&mut self) {
        self.task.abort();
    }
}
