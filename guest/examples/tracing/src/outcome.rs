//! How spans turned out and when they ended, by their fields and by events.

use std::time::Duration;

use fanlight_guest::{Response, sleep};
use tracing::field::Empty;
use tracing::{Instrument, error, info, info_span};

use crate::done;

/// Statuses that events and fields say one after the other.
pub(crate) fn statuses() -> Response {
    let coded_later = info_span!("coded_later", otel.status_code = Empty);
    coded_later.in_scope(|| error!("upstream timed out"));
    coded_later.record("otel.status_code", "ERROR");
    let described = info_span!(
        "described",
        otel.status_message = "refused",
        otel.status_code = Empty
    );
    described.in_scope(|| error!("of less weight"));
    described.record("otel.status_code", "ERROR");
    info_span!("fine", otel.status_code = "ok").in_scope(|| error!("and yet"));
    done()
}

/// An event whose fields have the names of what is told of every event.
pub(crate) fn own_names() -> Response {
    info_span!("eventful").in_scope(|| info!(level = 5, target = "there", "battery low"));
    done()
}

/// `caller` is left before `goes_on`, which began within it.
pub(crate) async fn left() -> Response {
    let goes_on = info_span!("caller").in_scope(|| info_span!("goes_on"));
    sleep(Duration::from_millis(50)).instrument(goes_on).await;
    done()
}
