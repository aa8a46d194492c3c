//! Saying what is the host's to say, and remembering what is forgotten.

use std::sync::atomic::{AtomicU64, Ordering};

use fanlight_guest::{Attribute, Response, Status, attributes, server_span};

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

/// Counts in memory: every request has an instance of its own, so it is always 1.
pub(crate) fn count() -> Response {
    static COUNTER: AtomicU64 = AtomicU64::new(0);

    let count = COUNTER.fetch_add(1, Ordering::Relaxed) + 1;
    Response::text(format!("{count}\n"))
}
