//! The way of every signal to its backend: pipelines, back-off, counts of what was lost.

pub(crate) mod backoff;
pub(crate) mod counters;
pub(crate) mod destination;
pub(crate) mod log;
pub(crate) mod pipeline;
pub(crate) mod startup_log;
