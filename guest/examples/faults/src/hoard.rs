//! Making the host keep things: headers, requests, bodies, timers.

use fanlight_guest::Response;
use fanlight_guest::bindings::wasi::clocks::monotonic_clock::subscribe_duration;
use fanlight_guest::bindings::wasi::http::types::{
    Fields, Method, OutgoingRequest, OutgoingResponse,
};
use fanlight_guest::bindings::wasi::io::poll::poll;
use fanlight_guest::bindings::wasi::random::random::get_random_bytes;

/// Holds many sets of headers.
pub(crate) fn fields(count: u64, bytes: usize) -> Response {
    let value = vec![b'x'; bytes];
    let held: Vec<Fields> = (0..count)
        .map(|_| {
            let fields = Fields::new();
            // Refused or not, it goes on.
            fields.append("x-hoard", &value).ok();
            fields
        })
        .collect();
    Response::text(format!("{}\n", held.len()))
}

/// Holds requests that are never sent, with long methods.
pub(crate) fn requests(count: u64, bytes: usize) -> Response {
    let method = Method::Other("X".repeat(bytes));
    let held: Vec<OutgoingRequest> = (0..count)
        .map(|_| {
            let request = OutgoingRequest::new(Fields::new());
            request.set_method(&method).ok();
            request
        })
        .collect();
    Response::text(format!("{}\n", held.len()))
}

/// Writes to bodies that nobody reads.
pub(crate) fn bodies(count: u64) -> Response {
    let mut held = Vec::new();
    for _ in 0..count {
        let response = OutgoingResponse::new(Fields::new());
        let Ok(body) = response.body() else { continue };
        let Ok(stream) = body.write() else { continue };
        while let Ok(room @ 1..) = stream.check_write() {
            let chunk = vec![7; usize::try_from(room).unwrap_or(0)];
            if stream.write(&chunk).is_err() {
                break;
            }
        }
        held.push((stream, body, response));
    }
    Response::text(format!("{}\n", held.len()))
}

/// Answers with many headers, as far as the host takes them.
pub(crate) fn headers(count: u64, bytes: usize) -> Response {
    let value = "x".repeat(bytes);
    (0..count).fold(Response::text("headed\n"), |response, n| {
        response.append_header(format!("x-many-{n}"), value.clone())
    })
}

/// Waits for many timers, of which one is soon.
pub(crate) fn timers(count: u64) -> Response {
    let mut timers: Vec<_> = (1..count)
        .map(|_| subscribe_duration(u64::MAX / 2))
        .collect();
    timers.push(subscribe_duration(1_000_000));
    let list: Vec<_> = timers.iter().collect();
    let ready = poll(&list);
    Response::text(format!("{}\n", ready.len()))
}

/// Asks for random bytes.
pub(crate) fn random(bytes: u64) -> Response {
    Response::text(format!("{}\n", get_random_bytes(bytes).len()))
}
