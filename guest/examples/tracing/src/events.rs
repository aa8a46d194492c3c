//! Events, which are log records and events of their spans, and errors.

use std::error::Error;
use std::fmt;

use fanlight_guest::tracing::{Events, layer_with};
use fanlight_guest::{Request, Response, span};
use tracing::{Level, debug, error, event, info, info_span, warn};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::done;

/// With `?events=spans` or `?events=logs`, events become the one and not the other.
pub(crate) fn install_as_asked(request: &Request) {
    let events = match request.query_param("events").as_deref() {
        Some("spans") => Events::OfSpans,
        Some("logs") => Events::LogRecords,
        _ => return,
    };
    // It is the first to be installed in this instance.
    tracing_subscriber::registry()
        .with(layer_with(LevelFilter::INFO, events))
        .init();
}

/// Events within `eventful`, within a span of the SDK and within none.
pub(crate) fn events() -> Response {
    info!("within none");
    let span = info_span!("eventful");
    span.in_scope(|| {
        info!(attempt = 1, cached = false, "asked");
        debug!("below the level");
        warn!(target: "library", slow = true);
    });
    let _sdk = span!("of_the_sdk");
    info!("within the sdk's");
    event!(parent: &span, Level::INFO, "by name");
    done()
}

/// An error with its source, one as `#[instrument(err)]` tells it, and one
/// within no span.
pub(crate) fn errors() -> Response {
    let error = Failure("x".parse::<u8>().err());
    let error = &error as &dyn Error;
    info_span!("failing").in_scope(|| error!(error, attempt = 2, "it failed"));
    fails().ok();
    info_span!("only_told").in_scope(|| error!("no error value"));
    error!(error, "within none");
    done()
}

#[tracing::instrument(err)]
fn fails() -> Result<(), Failure> {
    Err(Failure(None))
}

#[derive(Debug)]
struct Failure(Option<std::num::ParseIntError>);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no number")
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_ref().map(|it| it as &dyn Error)
    }
}
