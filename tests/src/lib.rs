//! What the end-to-end tests stand on: a collector that decodes what it is
//! sent, a host in this process or as the real program, and the components.
//!
//! Everything here speaks over real sockets on ports of its own, waits with a
//! bound, and ends with its owner, also in a test that fails.

// A test's own code may give up where a server's may not.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "only tests use it"
)]

pub mod client;
pub mod collected;
pub mod collector;
mod daemon;
pub mod fake_viewer;
pub mod fixture;
pub mod frames;
pub mod host;
pub mod jaeger;
pub mod otelcol;
pub mod pressure;
pub mod program;
pub mod prometheus;
pub mod skipped;
pub mod tls;

use std::net::SocketAddr;
use std::time::Duration;

/// How long a test waits for what must come: far more than it takes, so that a
/// busy machine fails nothing.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An address that is free, also after a server there has ended: the system gives its port
/// to nothing that asks for any.
///
/// # Panics
/// When none is free.
pub fn lasting_address() -> SocketAddr {
    // Below the ports of Linux's `ip_local_port_range`.
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("it is below 10,000");
    let free = (first..32_000).find_map(|port| {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).ok()?;
        listener.local_addr().ok()
    });
    free.expect("a free port")
}

/// Waits until `look` finds something, and gives it back.
///
/// # Panics
/// When nothing came within [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    eventually_async(what, async || look()).await
}

/// The same where looking takes an answer.
///
/// # Panics
/// When it does not come in time.
pub async fn eventually_async<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} did not come within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
