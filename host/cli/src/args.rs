//! Groups of flags, each resolved into configuration.

pub(crate) mod auth;
pub(crate) mod component;
pub(crate) mod headers;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod outbound;
pub(crate) mod reload;
pub(crate) mod tls;
pub(crate) mod values;
pub(crate) mod viewer;
