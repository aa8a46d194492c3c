//! The end-to-end tests: everything through public doors and real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not there"
)]

mod admin;
mod answers;
mod bodies;
mod bodiless;
mod body_limit;
mod captured_headers;
mod compile_cache;
mod composed;
mod concurrency;
mod contract;
mod contract_futures;
mod contract_signals;
mod departures;
mod direct_imports;
mod documented_metrics;
mod endpoints;
mod environment;
mod environment_limits;
mod environment_program;
mod environment_table;
mod environment_timing;
mod environment_tls;
mod exits;
mod expectations;
mod export;
mod export_end;
mod export_size;
mod export_trouble;
mod h2_floods;
mod host_calls;
mod host_log;
mod hostile_clients;
mod hostile_guests;
mod http1_0;
mod idle;
mod isolation;
mod isolation_host;
mod isolation_http;
mod isolation_pressure;
mod load_refusals;
mod many_clients;
mod names;
mod new_project;
mod nothing_lost;
mod odd_responses;
mod opentelemetry_api;
mod outcomes;
mod program;
mod prometheus;
mod propagation;
mod protocol;
mod real_collector;
mod request_body;
mod request_rules;
mod resource;
mod self_observation;
mod server_span;
mod shutdown;
mod smuggling;
mod streams;
mod swap;
mod tls;
mod tracing_crate;
mod tracing_outcomes;
mod unread_bodies;
mod viewer;
mod wasi_otel_logs;
mod wasi_otel_metrics;
mod wasi_otel_older;
mod wasi_otel_tracing;
