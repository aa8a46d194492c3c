//! What `wit-bindgen` makes of the world `fanlight:telemetry/service`: the low-level door.
//!
//! Everything else in this crate is built on it. Use it for what the rest
//! leaves out, together with [`serve_raw!`](crate::serve_raw) and
//! [`ready`](crate::ready). Types that take attributes borrow them, so that a
//! call to the host copies nothing.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "fanlight:telemetry/service",
    ownership: Borrowing { duplicate_if_necessary: false },
    generate_all,
    pub_export_macro: true,
    additional_type_attributes: {
        "fanlight:telemetry/tracing@0.1.0/span-context": [#[derive(PartialEq, Eq)]],
        "fanlight:telemetry/tracing@0.1.0/status": [#[derive(PartialEq, Eq)]],
        "wasi:http/types@0.2.12/method": [#[derive(PartialEq, Eq)]],
        "wasi:http/types@0.2.12/scheme": [#[derive(PartialEq, Eq)]],
    },
});
