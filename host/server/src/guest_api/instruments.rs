//! Instruments that all instances share, and the bounds on their series.

pub(crate) mod cardinality;
pub(crate) mod handles;
pub(crate) mod kinds;
pub(crate) mod registry;
pub(crate) mod validate;
