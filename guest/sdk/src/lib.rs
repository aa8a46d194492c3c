//! What authors of components for Fanlight use: handlers, spans, metrics, logs.
//!
//! A component answers requests by one async function, and says about itself
//! what the host then exports. Built for `wasm32-wasip2` as a `cdylib`, this is
//! a whole one:
//!
//! ```
//! use std::time::Duration;
//!
//! use fanlight_guest::{
//!     InstrumentError, Method, Request, Response, attributes, counter, info, server_span, sleep,
//!     span,
//! };
//!
//! fanlight_guest::serve!(handle);
//!
//! async fn handle(request: Request) -> Result<Response, InstrumentError> {
//!     match (request.method(), request.path()) {
//!         (Method::Get, "/users") => {
//!             server_span().set_route("/users");
//!             let users = fetch_users().await;
//!             counter("users.fetched")
//!                 .add_u64(users.len() as u64, &attributes!["endpoint" = "/users"])?;
//!             Ok(Response::json(&users))
//!         }
//!         _ => Ok(Response::text("not here\n").status(404)),
//!     }
//! }
//!
//! async fn fetch_users() -> Vec<&'static str> {
//!     let span = span!(client "fetch_users", "db.system.name" = "postgresql");
//!     sleep(Duration::from_millis(30)).await;
//!     let users = vec!["Ada", "Grace"];
//!     span.set_attribute("result.count", users.len());
//!     info!("fetched {} users", users.len(); "cached" = false);
//!     users
//! }
//! # fn main() {}
//! ```
//!
//! # Spans
//!
//! [`span!`] starts a span below the current one and makes it the current one
//! until its guard is dropped. [`Span::builder`] says everything else. The span
//! of the request itself is the host's; [`server_span`] adds to it.
//!
//! # Waiting
//!
//! Everything that waits yields to the host: [`sleep`], reading and writing
//! bodies, and [`ready`] for any other pollable. [`join`], [`join_all`],
//! [`race`] and [`timeout`] run futures in turns and keep the spans of each
//! apart: a span entered in one is never the parent of a span in another.
//!
//! Combinators of other crates know nothing of spans. Give each future that
//! they poll in turns a span of its own by [`in_span`](InSpan::in_span), and
//! the same holds.
//!
//! # Code that speaks to `tracing` or `opentelemetry`
//!
//! It needs no change. With the feature `tracing` there is a layer for the
//! first, `tracing::install`, and with the feature `opentelemetry` there are
//! providers for the second, `opentelemetry::install`. Their spans and those of
//! this crate hang in one tree.
//!
//! # Cost
//!
//! What costs is the number of calls to the host, none of which waits. A
//! [`span!`] is two of them, its start and its end; one that is built and then
//! entered is four. One value for an instrument is one call. In a trace that is
//! not recorded, changes to a span do not cross to the host, and the values in
//! [`span!`] are not even computed; [`is_recording`] spares whatever
//! else is costly.

pub mod bindings;
#[cfg(feature = "opentelemetry")]
pub mod opentelemetry;
#[cfg(feature = "tracing")]
pub mod tracing;

mod body;
mod body_writer;
mod entered;
mod exception;
mod executor;
mod into_response;
mod join;
mod logs;
mod metrics;
mod query;
mod random;
mod recording;
mod request;
mod response;
mod serve;
mod server_span;
mod span;
mod span_builder;
mod span_context;
mod stack;
mod time;
mod value;

pub use bindings::fanlight::telemetry::logs::Severity;
pub use bindings::fanlight::telemetry::tracing::{SpanContext, SpanKind, Status, TraceFlags};
pub use bindings::wasi::http::types::{Method, Scheme};
pub use body::{Body, BodyError};
pub use body_writer::{BodyWriter, WriteError};
pub use exception::Exception;
pub use executor::{block_on, ready};
pub use into_response::IntoResponse;
pub use join::{First, InSpan, InSpanFuture, join, join_all, race};
pub use logs::LogRecord;
pub use metrics::{
    Counter, CounterF64, CounterU64, Gauge, GaugeF64, GaugeI64, Histogram, HistogramF64,
    Instrument, InstrumentError, UpDownCounter, UpDownCounterF64, UpDownCounterI64, counter, gauge,
    histogram, up_down_counter,
};
pub use random::{random_range, random_u64};
pub use recording::is_recording;
pub use request::Request;
pub use response::{Response, StreamResult};
#[doc(hidden)]
pub use serve::run;
pub use server_span::{ServerSpan, server_span};
pub use span::{EnteredSpan, Span, current_context};
pub use span_builder::SpanBuilder;
pub use span_context::InvalidTraceparent;
pub use time::{Elapsed, sleep, timeout};
pub use value::{Attribute, Value};
