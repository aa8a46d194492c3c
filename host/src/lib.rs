//! Serves WebAssembly components over HTTP.
