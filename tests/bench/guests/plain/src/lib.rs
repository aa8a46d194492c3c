//! Answers `hello` as `bench-usual` does, and says nothing about itself: it
//! imports `wasi:http` alone, so that any server can serve it, and has nothing
//! in it that would take time.

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    reason = "generated code"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../../wit",
        world: "wasi:http/proxy",
        generate_all,
    });
}

const BODY: &[u8] = b"hello\n";
/// With its length, so that a server need not send it in chunks.
const HEADERS: [(&str, &str); 2] = [
    ("content-type", "text/plain; charset=utf-8"),
    ("content-length", "6"),
];

struct Component;

impl Guest for Component {
    fn handle(_request: IncomingRequest, outparam: ResponseOutparam) {
        let headers = Fields::new();
        for (name, value) in HEADERS {
            // Both are well formed.
            let _ = headers.append(name, value.as_bytes());
        }
        let response = OutgoingResponse::new(headers);
        let body = response.body();
        ResponseOutparam::set(outparam, Ok(response));
        if let Ok(body) = body {
            if let Ok(stream) = body.write() {
                // An error means that the client is gone.
                let _ = stream.blocking_write_and_flush(BODY);
            }
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

// An exported function does not link into a native library.
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "generated code")]
mod export {
    use super::{Component, bindings};

    bindings::export!(Component with_types_in bindings);
}
