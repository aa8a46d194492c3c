//! Log records: the host's own log, and the queue to the exporter.

pub(crate) mod exporter;
pub(crate) mod host_log;
pub(crate) mod queue;
