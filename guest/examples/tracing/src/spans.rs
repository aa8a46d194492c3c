//! What a single span of `tracing` can say, and where it hangs.

use std::fmt;
use std::time::Duration;

use fanlight_guest::{Response, sleep};
use tracing::field::{Empty, debug};
use tracing::{Instrument, Span, debug_span, info, info_span};

use crate::done;

/// `GET /users` is a client's, has fields of each type, some of them told
/// later, and is an error.
pub(crate) fn fields() -> Response {
    let error = "x".parse::<u8>().err();
    let span = info_span!(
        target: "users",
        "request",
        otel.name = "GET /users",
        otel.kind = "client",
        otel.status_code = Empty,
        otel.status_description = Empty,
        text = "a",
        number = -7,
        large = u64::MAX,
        fraction = 0.5,
        truth = true,
        debugged = ?Some(1),
        error = error.as_ref().map(|it| it as &dyn std::error::Error),
        later = Empty,
    );
    span.record("later", 3);
    span.record("text", "b");
    span.record("otel.status_description", "refused");
    span.record("debugged", debug(Reentrant(&span)));
    done()
}

/// Enters a span while it is told to that span.
struct Reentrant<'a>(&'a Span);

impl fmt::Debug for Reentrant<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.in_scope(|| formatter.write_str("reentrant"))
    }
}

/// `child` hangs below `parent`, and `of_none` and `of_disabled` below `current`:
/// `tracing` says the same of them. `follower` follows two of them.
pub(crate) fn parents() -> Response {
    let parent = info_span!("parent");
    let _current = info_span!("current").entered();
    let child = info_span!(parent: &parent, "child");
    let of_none = info_span!(parent: None, "of_none");
    let disabled = debug_span!("disabled");
    drop(info_span!(parent: &disabled, "of_disabled"));
    info!(parent: &disabled, "event of disabled");
    let follower = info_span!("follower");
    follower.follows_from(&child);
    follower.follows_from(&of_none);
    done()
}

/// `load` > `query` > `decode`, by the attribute and by hand, over an `.await`.
pub(crate) async fn instrumented() -> Response {
    load(7).await;
    done()
}

#[tracing::instrument(fields(found = Empty))]
async fn load(id: u64) {
    let rows = query().instrument(info_span!("query")).await;
    Span::current().record("found", rows);
}

async fn query() -> u64 {
    sleep(Duration::from_millis(10)).await;
    info_span!("decode").in_scope(|| 3)
}
