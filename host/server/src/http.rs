//! Connections and requests: accepts, reads, bounds, answers, drains.
//!
//! The only wing that knows hyper's server.

pub(crate) mod admission;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod date;
pub(crate) mod handler;
pub(crate) mod io;
pub(crate) mod linger;
pub(crate) mod response_rules;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod validate;
pub(crate) mod watchdog;
