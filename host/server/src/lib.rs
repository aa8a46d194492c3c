//! Serves WebAssembly components over HTTP: hyper in front, wasmtime behind, a fresh
//! instance for each request, and telemetry that the host owns.
//!
//! The wings, from the top down. A wing uses those below it and never those above;
//! `cargo xtask wings` checks that.
//!
//! | wing | owns |
//! |---|---|
//! | `admin` | the admin port: probes, `/metrics`, what is served and its replacement |
//! | `http` | connections, requests, bodies, drain; the only one that knows hyper's server |
//! | `component` | what is served, where it comes from, how it is replaced |
//! | `sandbox` | engine, compiler, store, call; the only one that makes a `Store` |
//! | `outbound` | the calls that guests make: policy, client, spans |
//! | `guest_api` | what a guest calls for telemetry; knows no hyper and no component |
//! | `request` | facts, server span, usage and metrics of one request |
//! | `config`, `error` | bounds by name; what can end a request |

mod admin;
#[cfg(any(test, feature = "benchmarks"))]
#[doc(hidden)]
pub mod benchmarks;
mod component;
mod config;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guest_api;
mod http;
mod outbound;
mod request;
mod sandbox;
#[cfg(test)]
mod turn;

pub use admin::auth::{TokenError, UnprotectedAddress};
pub use admin::{
    Access, Admin, AdminAddress, AdminState, AdminToken, PrometheusListener, StoreObserver,
    ViewerState,
};
pub use component::ahead::compile_ahead;
pub use component::import_policy::ImportPolicy;
pub use component::outcome::{Outcome, ReloadOutcome};
pub use component::probe::Probe;
pub use component::reload::Reloader;
pub use component::slot::{ComponentSlot, LoadedComponent, SlotError, Source};
pub use component::source::{ComponentSource, read_file};
pub use component::swap_error::SwapError;
pub use component::watch::{Stamp, Watch};
pub use config::captured_headers::{CapturedHeaders, TooManyHeaders};
pub use config::outbound::{NotARule, OutboundLimits, OutboundPolicy, OutboundRule};
pub use config::trusted_proxies::{NotANetwork, ProxyHeaders, ProxyNetwork, TrustedProxies};
pub use config::{RequestLimits, ServerLimits};
pub use error::{Blame, ErrorCodeError, GuestTrap, HandleError, InstantiateError};
pub use fanlight_viewer::{Store, StoreConfig, ViewerConfig};
pub use guest_api::GuestLimits;
pub use http::server::{Readiness, Server, listen};
pub use http::tls::{Renewal, Tls, TlsError, TlsFiles};
pub use outbound::{OutboundClient, RootsError};
pub use request::observer::{EndedRequest, RequestObserver};
pub use sandbox::engine::{EngineConfig, EngineError};
pub use sandbox::imports::Denial;
pub use sandbox::inspection::changes::{Changes, FootprintChange, ToolchainChanges};
pub use sandbox::inspection::footprint::{Footprint, Memory, Table};
pub use sandbox::inspection::interfaces::{InterfaceChanges, Interfaces, VersionChange};
pub use sandbox::inspection::toolchain::Toolchain;
pub use sandbox::inspection::{AboutText, Inspection};
pub use sandbox::inspector::{
    ImportAccess, InspectedComponent, InspectedImport, Inspector, NativePart,
};
pub use sandbox::load_error::LoadError;
