//! What `wasmtime` makes of the WIT of `fanlight:telemetry`.
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

        world imports {
            import fanlight:telemetry/tracing@0.1.0;
            import fanlight:telemetry/metrics@0.1.0;
            import fanlight:telemetry/logs@0.1.0;
        }
    ",
    world: "fanlight:host/imports",
    imports: {
        // These two look at the guest's stack.
        "fanlight:telemetry/tracing.[method]span.record-exception": store | trappable,
        "fanlight:telemetry/tracing.record-server-exception": store | trappable,
        default: trappable,
    },
    with: {
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "fanlight:telemetry/tracing.span": crate::guest_api::open_spans::SpanHandle,
        "fanlight:telemetry/tracing.scope": crate::guest_api::current_span::ScopeHandle,
        "fanlight:telemetry/metrics.counter-u64": crate::guest_api::instruments::handles::CounterU64,
        "fanlight:telemetry/metrics.counter-f64": crate::guest_api::instruments::handles::CounterF64,
        "fanlight:telemetry/metrics.up-down-counter-s64": crate::guest_api::instruments::handles::UpDownCounterS64,
        "fanlight:telemetry/metrics.up-down-counter-f64": crate::guest_api::instruments::handles::UpDownCounterF64,
        "fanlight:telemetry/metrics.histogram": crate::guest_api::instruments::handles::HistogramF64,
        "fanlight:telemetry/metrics.gauge-s64": crate::guest_api::instruments::handles::GaugeS64,
        "fanlight:telemetry/metrics.gauge-f64": crate::guest_api::instruments::handles::GaugeF64,
    },
});
