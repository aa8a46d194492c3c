//! Answers "hello from plain", written against `wasi:http` alone.
//!
//! Fanlight serves and traces any such component, in whatever language.

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
        path: "../../../wit",
        world: "wasi:http/proxy",
        generate_all,
    });
}

struct Component;

impl Guest for Component {
    fn handle(_request: IncomingRequest, outparam: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body();
        ResponseOutparam::set(outparam, Ok(response));
        if let Ok(body) = body {
            if let Ok(stream) = body.write() {
                // An error means that the client is gone.
                stream.blocking_write_and_flush(b"hello from plain\n").ok();
            }
            OutgoingBody::finish(body, None).ok();
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
