//! Saying what is the host's to say, or another's, and remembering what is forgotten.

use std::sync::atomic::{AtomicU64, Ordering};

use fanlight_guest::{
    Attribute, InstrumentError, Response, Status, attributes, counter, gauge, histogram,
    server_span,
};

/// Says of the server span what only the host may, and far too much.
pub(crate) fn forge() {
    let span = server_span();
    span.set_attributes(&attributes![
        "http.response.status_code" = 299,
        "http.request.method" = "FORGED",
        "url.path" = "/forged",
        "error.type" = "forged",
        "fanlight.x" = "forged",
        "fanlight.component.version" = "forged",
    ]);
    let keys: Vec<String> = (0..500).map(|n| format!("flood.{n:03}")).collect();
    let flood: Vec<_> = keys.iter().map(|key| Attribute::new(key, "x")).collect();
    span.set_attributes(&flood);
    span.set_status(Status::Ok);
}

/// Gives instruments the names that Prometheus has for parts of others.
pub(crate) fn clash() -> Response {
    let clashes = || -> Result<(), InstrumentError> {
        let attributes = attributes!["of" = "clash"];
        histogram("clash").f64()?.record(1.0, &attributes);
        for name in ["clash.count", "clash.sum", "clash_bucket", "count_total"] {
            gauge(name).i64()?.record(7, &attributes);
        }
        counter("count").u64()?.add(1, &attributes);
        Ok(())
    };
    match clashes() {
        Ok(()) => Response::text("named\n"),
        Err(error) => Response::text(format!("{error}\n")).status(500),
    }
}

/// Counts in memory: every request has an instance of its own, so it is always 1.
pub(crate) fn count() -> Response {
    static COUNTER: AtomicU64 = AtomicU64::new(0);

    let count = COUNTER.fetch_add(1, Ordering::Relaxed) + 1;
    Response::text(format!("{count}\n"))
}
