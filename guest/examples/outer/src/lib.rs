//! `GET /price?item=book`: the outer one of two components that are joined.
//!
//! It answers requests and asks another component for prices, which knows
//! nothing of requests. `wac plug` joins the two into one that is served:
//!
//! ```sh
//! wac plug example_outer.wasm --plug example_inner.wasm -o shop.wasm
//! ```

use bindings::example::prices::prices;
use fanlight_guest::{Request, Response, Span, server_span, span};

mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        unsafe_code,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]

    wit_bindgen::generate!({ path: "../inner/wit", world: "outer" });
}

fanlight_guest::serve!(handle);

async fn handle(request: Request) -> Response {
    if request.path() != "/price" {
        return Response::text("try GET /price?item=book\n").status(404);
    }
    server_span().set_route("/price");
    let item = request.query_param("item").unwrap_or("book".into());
    let _waiting = Span::builder("not_entered").start();
    let price = {
        let _span = span!("ask_price");
        prices::price(&item)
    };
    drop(span!("print"));
    match price {
        Some(cents) => Response::text(format!("{item}: {cents} cents\n")),
        None => Response::text(format!("no {item} here\n")).status(404),
    }
}
