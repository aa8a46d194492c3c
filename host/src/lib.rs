//! Serves WebAssembly components over HTTP and lets you see inside them.
//!
//! The map of the house; a module uses only its own floor and those below.
//!
//! | floor | modules |
//! |---|---|
//! | roof | [`Cli`] |
//! | http | `server` accepts and drains, `tls` makes handshakes, `connection` serves one connection, with `activity`, `watched_io` and `stream_body` for its watchdog, `handler` is the envelope of a request, `request_rules` says what none can be, `admin` answers probes |
//! | component | `watch`, `offer`, `reload` and `probe` replace what is served, `swapped`, `swap_trace`, `swap_error` and `load_error` tell of it, `request_body`, `read_on`, `span_body` and `guest_body` carry what is read and answered, `response_rules` mends answers, `invocation` runs a guest, `cookies` joins those of HTTP/2, `component` holds what is served, `compiler` makes it, with `direct_imports`, `identity` is what it is known by |
//! | store | `state` is the `T` of `Store<T>`, `memory_limit` and `holdings` bound it, `http_error_code` and `stream_drop` mend imports, `answer` and `taken_body` are our own, `outbound` says what a guest may call |
//! | edges | `imports` is the guest's side of telemetry, `server_span` the host's, with `server_metrics`, `request_facts` and `reserved`; `instances` has the places |
//! | ground | `engine`, `pacer`, `telemetry`, `span`, `span_limits`, `guest_usage`, `request_clock`, `propagation`, `config`, `authority`, `body_length`, `known_methods`, `leave`, `trusted_proxies`, `captured_headers`, `failure_log`, `printable`, `error` |

mod activity;
mod admin;
mod answer;
mod authority;
mod backtrace;
#[cfg(any(test, feature = "benchmarks"))]
#[doc(hidden)]
pub mod benchmarks;
mod body_length;
mod captured_headers;
mod cli;
mod compile_cache;
mod compiler;
mod component;
mod config;
mod connection;
mod cookies;
mod date;
mod direct_imports;
mod engine;
mod epoch_ticker;
mod error;
mod failure_log;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guest_body;
mod guest_usage;
mod handler;
mod holdings;
mod http_error_code;
mod identity;
mod imports;
mod instances;
mod invocation;
mod known_methods;
mod leave;
mod load_error;
mod memory_limit;
mod offer;
mod outbound;
mod pacer;
#[cfg(any(test, feature = "benchmarks"))]
mod pieces;
mod printable;
mod probe;
mod propagation;
mod read_on;
mod reload;
mod request_body;
mod request_clock;
mod request_facts;
mod request_rules;
mod reserved;
mod response_rules;
mod server;
mod server_metrics;
mod server_span;
mod span;
mod span_body;
mod span_limits;
mod state;
mod stream_body;
mod stream_drop;
mod swap_error;
mod swap_trace;
mod swapped;
mod taken_body;
mod telemetry;
mod thread_number;
mod tls;
mod trial;
mod trusted_proxies;
#[cfg(test)]
mod turn;
mod wasm_features;
mod watch;
mod watched_body;
mod watched_io;

pub use admin::{
    Access, Admin, AdminAddress, AdminClient, AdminState, AdminToken, PrometheusListener,
};
pub use captured_headers::{CapturedHeaders, TooManyHeaders};
pub use cli::Cli;
pub use component::{ComponentSlot, LoadedComponent, Source};
pub use config::{RequestLimits, ServerLimits};
pub use engine::EngineConfig;
pub use error::{Blame, ErrorCodeError, GuestTrap, HandleError, InstantiateError};
pub use imports::GuestLimits;
pub use known_methods::KnownMethods;
pub use load_error::LoadError;
pub use offer::Offer;
pub use probe::Probe;
pub use propagation::Propagators;
pub use reload::Reloader;
pub use server::{Readiness, Server};
pub use span::Tracer;
pub use span_limits::{AttributeLimits, SpanLimits};
pub use swap_error::SwapError;
pub use swapped::{Outcome, Swapped};
pub use telemetry::{
    BatchConfig, ClientTls, Compression, PrometheusText, Protocol, ServiceIdentity, SignalConfig,
    Telemetry, TelemetryConfig,
};
pub use tls::{Renewal, Tls, TlsError, TlsFiles};
pub use trusted_proxies::{NotANetwork, ProxyHeaders, ProxyNetwork, TrustedProxies};
pub use watch::{Stamp, Watch};
