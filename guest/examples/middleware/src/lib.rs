//! Lets through requests that bring a key, to whatever handler it is joined with.
//!
//! It exports `wasi:http/incoming-handler` and imports it as well: `wac plug`
//! puts it before any component that answers requests, which needs no change.
//!
//! ```sh
//! wac plug example_middleware.wasm --plug example_hello.wasm -o guarded.wasm
//! ```

use bindings::wasi::http::incoming_handler;
use fanlight_guest::bindings::wasi::http::types::{IncomingRequest, ResponseOutparam};
use fanlight_guest::{Request, Response, block_on, span};

mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        unsafe_code,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]

    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package example:middleware;

            world middleware {
                import wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "example:middleware/middleware",
        with: { "wasi:http/types@0.2.12": fanlight_guest::bindings::wasi::http::types },
        generate_all,
    });
}

fanlight_guest::serve_raw!(handle);

fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
    let span = span!("authorize");
    let request = Request::from_raw(request);
    let key = request.header("x-key").is_some();
    span.set_attribute("app.key", key);
    if key {
        // The whole of the other component's work hangs below the span.
        incoming_handler::handle(request.into_raw(), outparam);
    } else {
        block_on(Response::text("no key\n").status(401).send(outparam));
    }
}
