//! Providers for code that speaks to the API of [`opentelemetry`].
//!
//! Its spans become spans of the host and its instruments those of the host, in
//! one tree with what this crate's own [`span!`](crate::span!) makes. A library
//! that is instrumented with the API needs no change: one line at the beginning
//! of the handler is all, and no SDK is linked.
//!
//! ```
//! use fanlight_guest::{Request, Response};
//! use opentelemetry::KeyValue;
//! use opentelemetry::global;
//! use opentelemetry::trace::{TraceContextExt, Tracer};
//!
//! fanlight_guest::serve!(handle);
//!
//! async fn handle(request: Request) -> Response {
//!     fanlight_guest::opentelemetry::install();
//!     global::tracer("library").in_span("load", |context| {
//!         context.span().set_attribute(KeyValue::new("user.id", 7));
//!         Response::text("Ada")
//!     })
//! }
//! # fn main() {}
//! ```
//!
//! # Which span is the current one
//!
//! There is one answer for both. A `Context` that is attached makes its span
//! the current one of the host until it is detached, so that spans of this
//! crate, log records, printed lines and other components hang below it. And a
//! span is started below the active span of its parent `Context`, or, where
//! nothing else was attached since, below a span of this crate that was entered
//! above it. Where the `Context` has no active span the parent is the current
//! span of the host: in an instance that answers one request, nothing is a root.
//! A remote span, as `with_remote_span_context` attaches, is the parent of this
//! API's spans alone; the host has no such span.
//!
//! A `Context` is kept over an `.await` by `FutureExt::with_context`, which
//! attaches it at each poll, as with any other implementation. Guards of this
//! crate that a future holds meanwhile are kept for it, as with
//! [`join`](crate::join()). Where another crate joins futures, give each a
//! context with a span of its own if it holds guards: nothing else says whose
//! poll it is.
//!
//! # What differs
//!
//! - Identities are the host's. In a trace that is not recorded a span has the
//!   identity of its parent, and nothing crosses to the host. Without a parent
//!   it has that of the current span, which the host is asked for once, and
//!   again when another span of this crate is entered or left.
//! - Events named `exception` get the component's own stack where they bring
//!   none, as [`Span::record_exception`](crate::Span::record_exception) does.
//! - Observable instruments are not observed: an instance lives for one request,
//!   and no reader collects within it. An instrument that cannot be had measures
//!   nothing, and a log record says why.

mod attached;
mod meter;
mod span;
mod tracer;
mod values;

use ::opentelemetry::global;

pub use meter::MeterProvider;
pub use span::Span;
pub use tracer::{Tracer, TracerProvider};

/// Makes these the global providers of tracers and meters.
///
/// An instance answers one request, so that the handler begins with this.
pub fn install() {
    global::set_tracer_provider(TracerProvider::new());
    global::set_meter_provider(MeterProvider::new());
}
