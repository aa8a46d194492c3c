//! Knows prices: the inner one of two components that are joined into one.
//!
//! It exports an interface of its own rather than a handler of requests, and
//! speaks of its work as any other component does: its spans hang below the
//! span that is the current one where it is called.

use bindings::exports::example::prices::prices::Guest;
use fanlight_guest::{info, span};

mod bindings {
    #![allow(
        missing_docs,
        unreachable_pub,
        unsafe_code,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]

    wit_bindgen::generate!({ path: "wit", world: "inner" });
}

struct Prices;

impl Guest for Prices {
    fn price(item: String) -> Option<u32> {
        let span = span!("find_price", "item" = &item);
        let price = read(&item);
        span.set_attribute("found", price.is_some());
        info!("looked for {item}");
        price
    }
}

#[expect(clippy::panic, reason = "the fault is asked for")]
fn read(item: &str) -> Option<u32> {
    let _span = span!(client "read_list");
    match item {
        "book" => Some(1250),
        "pen" => Some(320),
        // For tests: what a fault in here looks like from outside.
        "curse" => panic!("the list of prices is cursed"),
        _ => None,
    }
}

// An exported function does not link into a native library.
#[cfg(target_family = "wasm")]
mod export {
    #![allow(unsafe_code, reason = "generated code")]

    use super::{Prices, bindings};

    bindings::export!(Prices with_types_in bindings);
}
