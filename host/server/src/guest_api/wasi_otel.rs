//! `wasi:otel`: the second door, for guests that carry an OpenTelemetry SDK.
//!
//! Such a guest makes ids, takes times and aggregates by itself. What it hands
//! over meets the same bounds, budget and room as what comes by the first door,
//! and both have one stack of current spans.

pub(crate) mod completed_spans;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod points;
pub(crate) mod tracing;
pub(crate) mod values;

use opentelemetry::{InstrumentationScope, KeyValue};
use wasmtime::component::Linker;

use super::{GuestTelemetry, GuestTelemetryView, MAX_SCOPE, TelemetryImports};
use crate::guest_api::attributes::{convert, cut};
pub(crate) use crate::guest_api::wasi_otel::completed_spans::CompletedSpans;
pub(crate) use crate::guest_api::wasi_otel::metrics::Exported;
use bindings::wasi::otel::types;
use fanlight_telemetry::trace::limits::AttributeLimits;
use fanlight_telemetry::{Dropped, GUEST_SCOPE, HOST_SCOPE};

pub(crate) mod bindings {
    //! What `wasmtime` makes of the WIT.
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]

    wasmtime::component::bindgen!({
        path: "../../wit",
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
}

/// The most attributes of a library: they stand at each of its instruments.
const MAX_SCOPE_ATTRIBUTES: usize = 16;

/// Adds the three interfaces to a linker.
///
/// # Errors
/// Where one of them is there already.
pub(crate) fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> GuestTelemetryView<'_>,
) -> wasmtime::Result<()> {
    use bindings::wasi::otel;
    otel::tracing::add_to_linker::<T, TelemetryImports>(linker, view)?;
    otel::metrics::add_to_linker::<T, TelemetryImports>(linker, view)?;
    otel::logs::add_to_linker::<T, TelemetryImports>(linker, view)?;
    Ok(())
}

impl types::Host for GuestTelemetryView<'_> {}

impl GuestTelemetry {
    /// The attributes that are kept, and how many are not; those are counted
    /// for the process, not yet for what they belong to.
    fn attributes_of(
        &self,
        list: Vec<types::KeyValue>,
        limits: AttributeLimits,
    ) -> (Vec<KeyValue>, u32) {
        let (list, unseen) = crate::guest_api::wasi_otel::values::attributes(list, limits);
        self.signals.dropped().attributes(u64::from(unseen));
        let (attributes, over) = self.converted_within(list, limits);
        (attributes, over.saturating_add(unseen))
    }
}

/// The scope that a guest names. The host's own is not a guest's to speak by.
fn scope(named: types::InstrumentationScope, dropped: &Dropped) -> InstrumentationScope {
    if named.name.is_empty() || named.name == HOST_SCOPE {
        return InstrumentationScope::builder(GUEST_SCOPE).build();
    }
    let mut scope = InstrumentationScope::builder(cut(named.name, MAX_SCOPE));
    if let Some(version) = named.version {
        scope = scope.with_version(cut(version, MAX_SCOPE));
    }
    if let Some(url) = named.schema_url {
        scope = scope.with_schema_url(cut(url, MAX_SCOPE));
    }
    if !named.attributes.is_empty() {
        let limits = AttributeLimits {
            count: MAX_SCOPE_ATTRIBUTES,
            value_length: MAX_SCOPE,
        };
        let (mut list, unseen) =
            crate::guest_api::wasi_otel::values::attributes(named.attributes, limits);
        dropped.attributes(u64::from(unseen));
        for attribute in &mut list {
            attribute.key = cut(std::mem::take(&mut attribute.key), MAX_SCOPE);
        }
        scope = scope.with_attributes(convert(list, limits, dropped));
    }
    scope.build()
}
