//! Serves WebAssembly components over HTTP and lets you see inside them.
//!
//! The map of the house; a module uses only what stands below it here.
//!
//! | floor | modules |
//! |---|---|
//! | roof | [`Cli`] |
//! | http | `server` accepts and drains, `handler` is the envelope of a request, `admin` answers probes |
//! | component | `span_body` and `guest_body` carry the answer, `invocation` runs a guest, `component` holds what is served |
//! | store | `state` is the `T` of `Store<T>`, `outbound` says what a guest may call |
//! | edges | `imports` is the guest's side of telemetry, `server_span` the host's, with `server_metrics` and `request_facts` |
//! | ground | `engine`, `telemetry`, `span`, `propagation`, `config`, `error` |

mod admin;
mod cli;
mod component;
mod config;
mod engine;
mod error;
mod guest_body;
mod handler;
mod imports;
mod invocation;
mod outbound;
mod propagation;
mod request_facts;
mod server;
mod server_metrics;
mod server_span;
mod span;
mod span_body;
mod state;
mod telemetry;

pub use admin::{Admin, AdminAddress, health};
pub use cli::Cli;
pub use component::{ComponentSlot, LoadError, LoadedComponent};
pub use config::{RequestLimits, ServerLimits};
pub use engine::EngineConfig;
pub use error::{Blame, ErrorCodeError, GuestTrap, HandleError, InstantiateError};
pub use imports::GuestLimits;
pub use server::{Readiness, Server};
pub use span::{SpanLimits, Tracer};
pub use telemetry::{BatchConfig, Protocol, SignalConfig, Telemetry, TelemetryConfig};
