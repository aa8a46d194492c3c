//! The end-to-end tests: everything through public doors and real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not there"
)]

mod admin;
mod bodies;
mod body_limit;
mod composed;
mod concurrency;
mod contract;
mod contract_signals;
mod departures;
mod endpoints;
mod export;
mod export_trouble;
mod h2_floods;
mod hostile_clients;
mod hostile_guests;
mod many_clients;
mod opentelemetry_api;
mod outcomes;
mod program;
mod prometheus;
mod protocol;
mod shutdown;
mod smuggling;
mod streams;
mod swap;
mod tls;
mod tracing_crate;
mod watch;
