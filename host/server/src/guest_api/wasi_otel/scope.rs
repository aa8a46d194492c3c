//! The instrumentation scopes that guests with an SDK name.

use opentelemetry::InstrumentationScope;

use crate::guest_api::attributes::{convert, cut};
use crate::guest_api::scope::MAX_SCOPE;
use crate::guest_api::wasi_otel::bindings::wasi::otel::types;
use crate::guest_api::wasi_otel::values::attributes;
use fanlight_telemetry::trace::limits::AttributeLimits;
use fanlight_telemetry::{Dropped, GUEST_SCOPE, HOST_SCOPE};

/// The most attributes of a library: they stand at each of its instruments.
const MAX_SCOPE_ATTRIBUTES: usize = 16;

/// The scope that a guest names. The host's own is not a guest's to speak by.
pub(crate) fn scope(named: types::InstrumentationScope, dropped: &Dropped) -> InstrumentationScope {
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
        let (mut list, unseen) = attributes(named.attributes, limits);
        dropped.attributes(u64::from(unseen));
        for attribute in &mut list {
            attribute.key = cut(std::mem::take(&mut attribute.key), MAX_SCOPE);
        }
        scope = scope.with_attributes(convert(list, limits, dropped));
    }
    scope.build()
}
