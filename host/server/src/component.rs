//! What is served: where it comes from, how it is replaced, and how that ended.

pub(crate) mod ahead;
pub(crate) mod history;
pub(crate) mod import_policy;
pub(crate) mod outcome;
pub(crate) mod probe;
pub(crate) mod reload;
pub(crate) mod reload_trace;
pub(crate) mod slot;
pub(crate) mod source;
pub(crate) mod swap_error;
pub(crate) mod watch;
