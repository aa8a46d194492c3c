//! The instrumentation scopes that guests name.

use opentelemetry::InstrumentationScope;

use crate::guest_api::attributes::cut;
use crate::guest_api::bindings::fanlight::telemetry::types;
use fanlight_telemetry::{GUEST_SCOPE, HOST_SCOPE};

/// The longest name or version of a library, in bytes.
pub(crate) const MAX_SCOPE: usize = 255;

/// The scope that a guest names, or the guest's own.
pub(crate) fn scope(named: Option<types::InstrumentationScope>) -> InstrumentationScope {
    // The host's own name is not a guest's to speak by: it would add to the
    // host's own instruments.
    let Some(named) = named.filter(|named| named.name != HOST_SCOPE) else {
        return InstrumentationScope::builder(GUEST_SCOPE).build();
    };
    let scope = InstrumentationScope::builder(cut(named.name, MAX_SCOPE));
    match named.version {
        Some(version) => scope.with_version(cut(version, MAX_SCOPE)).build(),
        None => scope.build(),
    }
}
