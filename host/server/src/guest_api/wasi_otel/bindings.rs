//! What `wasmtime` makes of the WIT of `wasi:otel`.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]

wasmtime::component::bindgen!({
    path: "wit",
    inline: "
        package fanlight:host;

        world otel {
            import wasi:otel/tracing@0.2.0-rc.2;
            import wasi:otel/metrics@0.2.0-rc.2;
            import wasi:otel/logs@0.2.0-rc.2;
        }
    ",
    world: "fanlight:host/otel",
    imports: { default: trappable },
    with: {
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
    },
});
