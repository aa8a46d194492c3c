//! A layer for code that speaks to the crate [`tracing`].
//!
//! Its spans become spans of the host and its events log records and events of
//! those spans, in one tree with what this crate's own [`span!`](crate::span!)
//! makes. A library that is instrumented with `tracing` needs no change: one
//! line at the beginning of the handler is all.
//!
//! ```
//! use fanlight_guest::{Request, Response};
//!
//! fanlight_guest::serve!(handle);
//!
//! async fn handle(request: Request) -> Response {
//!     fanlight_guest::tracing::install();
//!     let user = load(7).await;
//!     Response::text(user)
//! }
//!
//! async fn load(id: i64) -> &'static str {
//!     use tracing::Instrument;
//!
//!     let span = tracing::info_span!("load", otel.kind = "client", user.id = id);
//!     async {
//!         tracing::info!(cached = false, "asking the database");
//!         "Ada"
//!     }
//!     .instrument(span)
//!     .await
//! }
//! # fn main() {}
//! ```
//!
//! # Spans
//!
//! A span hangs below the span that it names as its parent, or else below the
//! current one, which may be one of this crate's. A parent that is disabled is
//! none, and so is `parent: None`, which `tracing` does not tell from it: in an
//! instance that answers one request, nothing is a root. For one there is
//! [`SpanBuilder::root`](crate::SpanBuilder::root).
//!
//! A span is the current one while it is entered. `Instrument` enters it at
//! each poll, so that it stands over an `.await` and in futures that are joined
//! by any crate. Guards of this crate that a future holds meanwhile are kept
//! for it, as with [`join`](crate::join()). Where another crate joins futures,
//! give each a span of its own if it holds guards: nothing else says whose poll
//! it is.
//!
//! `follows_from` becomes a link. A span's target is the scope; its place in the
//! source becomes `code.file.path` and `code.line.number`.
//!
//! Fields become attributes of their types. These are not attributes:
//!
//! | field | what it says |
//! |---|---|
//! | `otel.name` | the span's name |
//! | `otel.kind` | `server`, `client`, `producer`, `consumer` or `internal`; at the start only |
//! | `otel.status_code` | `ok` or `error` |
//! | `otel.status_description`, or `otel.status_message` | why it is an error |
//!
//! `tracing` closes a span when its last handle is dropped and all spans below it
//! are closed. The layer then ends the span at the host, with the time when it was
//! left last. Give work that outlives its caller a span with another parent, and
//! `follows_from`.
//!
//! # Events
//!
//! An event becomes an event of the current span, named by its message, and a
//! log record: see [`Events`]. Outside of all spans it is a log record alone.
//! At the level of errors it makes the span one of status Error, unless its fields
//! set its outcome, and the event's field `error`, or any field that is an
//! error, becomes an `exception` event with the error's sources. The request's own
//! span takes exceptions alone: the host sets its status.
//!
//! # Cost
//!
//! Where the request's trace is not recorded, the layer disables each place in the
//! source once: its spans are disabled, and their fields are not
//! computed. Log records are not subject to sampling.

mod fields;
mod host_layer;

use ::tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, LevelFilter};
use tracing_subscriber::layer::{Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::recording;
use host_layer::{HostLayer, Recorded};

/// Sends spans and events of `tracing`, at INFO and above, to the host.
///
/// An instance answers one request, so that the handler begins with this. Where
/// a subscriber was set before, nothing happens. For other levels, or beside
/// other layers, there are [`layer`] and [`layer_with`].
pub fn install() {
    let subscriber = Registry::default().with(layer());
    // Whoever was first may have put this layer into a subscriber of its own.
    let _ = ::tracing::subscriber::set_global_default(subscriber);
}

/// Makes the layer that [`install`] puts into a subscriber of its own.
pub fn layer<S>() -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    layer_with(LevelFilter::INFO, Events::default())
}

/// Makes the layer, with a filter and a choice of what events become.
///
/// A filter that is put around the layer by `with_filter` works as well, but
/// then fields are computed also where the trace is not recorded.
///
/// ```no_run
/// use fanlight_guest::tracing::{Events, layer_with};
/// use tracing_subscriber::filter::LevelFilter;
/// use tracing_subscriber::prelude::*;
///
/// # fn example() -> Result<(), tracing_subscriber::util::TryInitError> {
/// tracing_subscriber::registry()
///     .with(layer_with(LevelFilter::DEBUG, Events::LogRecords))
///     .try_init()
/// # }
/// ```
pub fn layer_with<S, F>(filter: F, events: Events) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    F: Filter<S> + Send + Sync + 'static,
{
    // One filter of both: of two around each other, each would have to disable
    // a span for its fields not to be computed.
    let filter = Recorded::new(recording::may_record(), events).and(filter);
    HostLayer::new(events).with_filter(filter)
}

/// What the events of `tracing` become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Events {
    /// Events of the span they happen in: what Jaeger shows. Those outside of
    /// all spans are log records; in a trace that is not recorded there are none.
    OfSpans,
    /// Log records with the identity of that span.
    LogRecords,
    /// Both.
    #[default]
    Both,
}
