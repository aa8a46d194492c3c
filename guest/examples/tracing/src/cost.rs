//! What a request costs whose trace is not recorded.

use std::cell::Cell;

use fanlight_guest::{Response, Span, Status, is_recording, server_span, span};
use tracing::{info, info_span};

use crate::done;

/// Answers how often a value was computed for an attribute, by way of `tracing`,
/// of the SDK, and of an event that is a log record as well.
pub(crate) fn count() -> Response {
    let [tracing, sdk, events] = [(); 3].map(|()| Cell::new(0));
    let computed = |counter: &Cell<u32>| {
        counter.set(counter.get() + 1);
        counter.get()
    };
    let span = info_span!("of_tracing", value = computed(&tracing));
    span.record("value", 7);
    let _entered = span.enter();
    let child = span!("of_the_sdk", "value" = computed(&sdk));
    if child.is_recording() {
        child.set_attribute("more", computed(&sdk));
    }
    if is_recording() {
        drop(
            Span::builder("built")
                .attribute("value", computed(&sdk))
                .start(),
        );
    }
    if server_span().is_recording() {
        server_span().set_attribute("app.value", computed(&sdk));
    }
    info!(value = computed(&events), "log records are not sampled");
    Response::text(format!(
        "tracing {} sdk {} events {}\n",
        tracing.get(),
        sdk.get(),
        events.get()
    ))
}

/// Says more to spans than the host keeps of a request whose telemetry is
/// bounded to some KiB, and logs after that.
pub(crate) fn say_much() -> Response {
    let long = "x".repeat(1_024);
    let span = span!("told");
    for _ in 0..8 {
        span.update_name(&long);
        span.set_status(Status::Error(&long));
        server_span().set_status(Status::Error(&long));
    }
    info!("there is room left");
    done()
}
