//! One guest in its sandbox: the engine, the compiled component, the store, the call.
//!
//! Only [`call`] makes a `Store`.

pub(crate) mod call;
pub(crate) mod compile_cache;
pub(crate) mod compiled_file;
pub(crate) mod compiler;
pub(crate) mod engine;
pub(crate) mod epoch_ticker;
pub(crate) mod fanlight_http;
pub(crate) mod handle_memory;
pub(crate) mod imports;
pub(crate) mod inspection;
pub(crate) mod inspector;
pub(crate) mod linked_component;
pub(crate) mod linker;
pub(crate) mod load_checks;
pub(crate) mod load_error;
pub(crate) mod memory_limit;
pub(crate) mod metadata;
pub(crate) mod missing_imports;
pub(crate) mod native_code;
pub(crate) mod outgoing;
pub(crate) mod scheduler;
pub(crate) mod store;
pub(crate) mod trial;
pub(crate) mod wasi_overrides;
pub(crate) mod wasm_features;
