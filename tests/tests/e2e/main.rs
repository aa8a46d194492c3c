//! The end-to-end tests: everything through public doors and real sockets.

mod bodies;
mod concurrency;
mod contract;
mod contract_signals;
mod endpoints;
mod export;
mod outcomes;
mod program;
mod protocol;
