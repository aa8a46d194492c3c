//! The signals that end the server, and the one that has it look at its
//! certificate.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::tls::Tls;

/// The signals that end the server.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Heeds SIGHUP until it is dropped. The process never ends by it.
pub(super) struct Hangups {
    task: JoinHandle<()>,
}

impl Hangups {
    /// Has the certificate read anew at each one.
    pub(super) fn heed(tls: Option<Arc<Tls>>) -> std::io::Result<Self> {
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
