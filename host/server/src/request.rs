//! What is known of one request: its facts, its server span, its usage, its metrics.
//!
//! Knows no component and no guest.

pub(crate) mod authority;
pub(crate) mod client_span;
pub(crate) mod context;
pub(crate) mod cookies;
pub(crate) mod expect_continue;
pub(crate) mod failure_log;
pub(crate) mod forwarded;
pub(crate) mod framing;
pub(crate) mod info;
pub(crate) mod metrics;
pub(crate) mod observer;
pub(crate) mod peer;
pub(crate) mod reserved;
pub(crate) mod server_span;
pub(crate) mod tracer;
pub(crate) mod usage;
