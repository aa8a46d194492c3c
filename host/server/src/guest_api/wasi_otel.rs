//! `wasi:otel`: the second door, for guests that carry an OpenTelemetry SDK.
//!
//! Such a guest makes ids, takes times and aggregates by itself. What it hands
//! over meets the same bounds, budget and room as what comes by the first door,
//! and both have one stack of current spans.

pub(crate) mod bindings;
pub(crate) mod completed_spans;
pub(crate) mod exported;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod points;
pub(crate) mod scope;
pub(crate) mod tracing;
pub(crate) mod values;

use opentelemetry::KeyValue;
use wasmtime::component::Linker;

use crate::guest_api::context::{GuestTelemetry, GuestTelemetryView, TelemetryImports};
use crate::guest_api::wasi_otel::bindings::wasi::otel::{self, types};
use crate::guest_api::wasi_otel::values::attributes;
use fanlight_telemetry::trace::limits::AttributeLimits;

/// Adds the three interfaces to a linker.
///
/// # Errors
/// Where one of them is there already.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> GuestTelemetryView<'_>,
) -> wasmtime::Result<()> {
    otel::tracing::add_to_linker::<T, TelemetryImports>(linker, view)?;
    otel::metrics::add_to_linker::<T, TelemetryImports>(linker, view)?;
    otel::logs::add_to_linker::<T, TelemetryImports>(linker, view)?;
    Ok(())
}

impl types::Host for GuestTelemetryView<'_> {}

impl GuestTelemetry {
    /// The attributes that are kept, and how many are not; those are counted
    /// for the process, not yet for what they belong to.
    pub(crate) fn attributes_of(
        &self,
        list: Vec<types::KeyValue>,
        limits: AttributeLimits,
    ) -> (Vec<KeyValue>, u32) {
        let (list, unseen) = attributes(list, limits);
        self.signals.dropped().attributes(u64::from(unseen));
        let (attributes, over) = self.converted_within(list, limits);
        (attributes, over.saturating_add(unseen))
    }
}
