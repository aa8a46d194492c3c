//! Tries a running demo service and its traces.
//!
//! | file | what it owns |
//! |---|---|
//! | `trial.rs` | the course of a trial: health, endpoints, load, traces |
//! | `report.rs` | what people read while it runs |
//! | `expected.rs` | the demo's endpoints: what they answer, which spans they leave |
//! | `tree.rs` | an expected tree of spans, compared with the real one |
//! | `load.rs` | many requests by several workers, and their percentiles |
//! | `jaeger.rs` | questions to Jaeger's query API, version 3 |
//! | `span.rs` | a span as tests look at it, wherever it came from |
//! | `matcher.rs` | what a JSON value must be |
//! | `client.rs` | plain HTTP, every request bounded |
//! | `traceresponse.rs` | the header by which an answer names its trace |
//! | `base_url.rs` | the address of a service |
//!
//! The end-to-end tests compare with the same table and the same trees. Nothing
//! here knows how the server or the demo is built.

pub mod base_url;
pub mod client;
pub mod expected;
pub mod jaeger;
pub mod load;
pub mod matcher;
pub mod report;
pub mod span;
pub mod traceresponse;
pub mod tree;
pub mod trial;
