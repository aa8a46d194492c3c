//! A little of everything, as a usual request has it.

use fanlight_guest::{InstrumentError, attributes, counter, histogram, info, server_span, span};

/// Two spans, one within the other, a counter, a histogram and a log record.
pub(crate) fn all() -> Result<(), InstrumentError> {
    server_span().set_route("/all-signals");
    let _outer = span!("outer", "step" = 1);
    counter("signals.requests")
        .unit("{request}")
        .u64()?
        .add(1, &attributes!["color" = "red"]);
    let _inner = span!("inner", "step" = 2);
    histogram("signals.size")
        .unit("By")
        .f64()?
        .record(42.0, &[]);
    info!("all signals");
    Ok(())
}
