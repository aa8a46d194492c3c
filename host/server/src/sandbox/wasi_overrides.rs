//! Imports of WASI that the host answers otherwise than `wasmtime-wasi-http` does.

pub(crate) mod http_types;
pub(crate) mod streams;
