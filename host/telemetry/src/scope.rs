//! The names of the instrumentation scopes that the host gives.

/// The scope of the host's own spans, metrics and log records.
pub const HOST_SCOPE: &str = "fanlight";
/// The scope of a guest's, where the guest names none.
pub const GUEST_SCOPE: &str = "fanlight.guest";
