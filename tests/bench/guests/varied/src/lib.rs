//! Does as much as it is asked to: `?spans=N&bytes=N` makes so many spans, each
//! with an attribute of so many bytes; `?sleep_ms=N` sleeps so long within a
//! span of its own. Answers with the version that it was built as, or that the
//! benchmark has made of it.

use std::time::Duration;

use fanlight_guest::{Request, Response, server_span, sleep, span};

fanlight_guest::serve!(handle);

/// What the benchmark replaces in the built component, to have another version.
static VERSION: &str = "version-of-varied-0000";

async fn handle(request: Request) -> Response {
    server_span().set_route("/");
    let number = |name| -> usize {
        let value = request.query_param(name);
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    let text = "x".repeat(number("bytes"));
    for _ in 0..number("spans") {
        let _step = span!("step", "text" = text.as_str());
    }
    if let milliseconds @ 1.. = number("sleep_ms") {
        let _asleep = span!("asleep");
        sleep(Duration::from_millis(milliseconds as u64)).await;
    }
    // Not known when it is built, so that its text stands in one place.
    Response::text(std::hint::black_box(VERSION))
}
