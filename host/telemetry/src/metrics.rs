//! Metrics: the readers, the host's metrics about telemetry itself, and the points of guests.

pub(crate) mod exporter;
pub mod guest;
pub(crate) mod internal;
pub(crate) mod prometheus;
pub(crate) mod snapshot;
