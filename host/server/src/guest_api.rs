//! The guest's side of telemetry: `fanlight:telemetry` as the guest calls it,
//! and `wasi:otel`, the second door.
//!
//! Converts, bounds and stores. Nothing here waits for export, trusts a length, or
//! panics on a guest's input. Knows no hyper and no component.

pub(crate) mod attributes;
#[cfg(any(test, feature = "benchmarks"))]
pub(crate) mod benchmarks;
pub(crate) mod bindings;
pub(crate) mod budget;
pub(crate) mod context;
pub(crate) mod convert;
pub(crate) mod current_span;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod instruments;
pub(crate) mod limits;
pub(crate) mod log_records;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod open_spans;
pub(crate) mod scope;
pub(crate) mod signals;
pub(crate) mod stdio;
pub(crate) mod tracing;
pub(crate) mod wasi_otel;

use wasmtime::component::Linker;

use crate::guest_api::context::TelemetryImports;
pub(crate) use crate::guest_api::context::{GuestTelemetry, GuestTelemetryView, OutboundContext};
pub use crate::guest_api::limits::GuestLimits;
pub(crate) use crate::guest_api::open_spans::SpansEnded;
pub(crate) use crate::guest_api::signals::GuestSignals;
pub(crate) use crate::guest_api::stdio::Stream;

/// Adds the interfaces of both doors to a linker.
///
/// # Errors
/// Where one of them is there already.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> GuestTelemetryView<'_>,
) -> wasmtime::Result<()> {
    use crate::guest_api::bindings::fanlight::telemetry;
    telemetry::tracing::add_to_linker::<T, TelemetryImports>(linker, view)?;
    telemetry::metrics::add_to_linker::<T, TelemetryImports>(linker, view)?;
    telemetry::logs::add_to_linker::<T, TelemetryImports>(linker, view)?;
    crate::guest_api::wasi_otel::add_to_linker(linker, view)
}
