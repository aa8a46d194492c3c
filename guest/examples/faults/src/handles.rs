//! Using handles that were never given to this request.

use std::mem;

use fanlight_guest::Response;
use fanlight_guest::SpanKind;
use fanlight_guest::bindings::fanlight::telemetry::metrics::{CounterU64, InstrumentOptions};
use fanlight_guest::bindings::fanlight::telemetry::tracing::{
    Scope, Span, SpanOptions, SpanParent,
};
use fanlight_guest::bindings::wasi::cli::stdout::get_stdout;
use fanlight_guest::bindings::wasi::clocks::monotonic_clock::subscribe_duration;
use fanlight_guest::bindings::wasi::http::types::{Fields, OutgoingResponse};
use fanlight_guest::bindings::wasi::io::poll::Pollable;
use fanlight_guest::bindings::wasi::io::streams::OutputStream;

/// Makes so many handles of each kind and keeps them; tells the last of each,
/// by kind.
pub(crate) fn hold(count: u64) -> Response {
    let mut lines = String::new();
    for _ in 0..count.max(1) {
        lines.clear();
        for (kind, number) in one_of_each() {
            lines.push_str(&format!("{kind} {number}\n"));
        }
    }
    Response::text(lines)
}

fn one_of_each() -> Vec<(&'static str, u32)> {
    let options = SpanOptions {
        kind: SpanKind::Internal,
        attributes: &[],
        links: &[],
        parent: SpanParent::Current,
        start_time: None,
        scope: None,
    };
    let span = Span::start("held", options);
    let scope = span.enter();
    let fields = Fields::new();
    let response = OutgoingResponse::new(Fields::new());
    let timer = subscribe_duration(u64::MAX / 2);
    let stream = get_stdout();
    let mut held = vec![
        ("span", span.handle()),
        ("scope", scope.handle()),
        ("fields", fields.handle()),
        ("response", response.handle()),
        ("pollable", timer.handle()),
        ("stream", stream.handle()),
    ];
    let options = InstrumentOptions {
        description: None,
        unit: "1",
        scope: None,
    };
    if let Ok(counter) = CounterU64::open("held.counter", options) {
        held.push(("counter", counter.handle()));
        mem::forget(counter);
    }
    mem::forget((scope, span, fields, response, timer, stream));
    held
}

/// Asks something of a handle by its number. The host ends whoever does, unless
/// the number is of one of its own, of that kind.
#[expect(unsafe_code, reason = "that is the fault")]
pub(crate) fn use_of_others(kind: &str, number: u32) -> Response {
    // SAFETY: a number that stands for nothing is the host's to refuse, and what
    // it stands for is forgotten below rather than dropped twice.
    let said = unsafe {
        match kind {
            "span" => forgotten(Span::from_handle(number), |it| it.context().span_id),
            "scope" => {
                drop(Scope::from_handle(number));
                "dropped".into()
            }
            "fields" => forgotten(Fields::from_handle(number), |it| {
                format!("{:?}", it.entries())
            }),
            "response" => forgotten(OutgoingResponse::from_handle(number), |it| {
                it.status_code().to_string()
            }),
            "pollable" => forgotten(Pollable::from_handle(number), |it| it.ready().to_string()),
            "stream" => forgotten(OutputStream::from_handle(number), |it| {
                format!("{:?}", it.write(b"forged\n"))
            }),
            "counter" => forgotten(CounterU64::from_handle(number), |it| {
                it.add(1_000_000, &[]);
                "added".into()
            }),
            _ => return Response::text("no such kind\n").status(404),
        }
    };
    Response::text(format!("{said}\n"))
}

fn forgotten<T>(handle: T, ask: impl FnOnce(&T) -> String) -> String {
    let said = ask(&handle);
    mem::forget(handle);
    said
}
