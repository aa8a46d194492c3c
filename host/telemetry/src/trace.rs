//! Spans, from their start to the bytes that are exported.

pub(crate) mod batch;
pub(crate) mod encode;
pub mod limits;
pub(crate) mod queue;
pub mod span;
#[cfg(test)]
mod tests;
pub mod tracer;
