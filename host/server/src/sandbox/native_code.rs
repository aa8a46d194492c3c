//! Loads native code that was compiled before: the one `unsafe` of this crate.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::sandbox::compiled_file::CompiledFile;

/// Loads the code of a file that the operator trusts.
///
/// # Errors
/// Where another version of the engine made it, with other settings, or for another
/// processor.
pub(crate) fn load(engine: &Engine, file: &CompiledFile<'_>) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "no engine can check what native code does")]
    // SAFETY: the code has to be what `Component::serialize` gave. `CompiledFile` has
    // the bytes that `fanlight compile` wrote: its digest finds what was damaged since. That
    // no one has forged the whole file is what the operator vouches for by naming it: the
    // compiler comes here with `NativeCode::Trusted` alone, which only files that the
    // operator has named are (`ComponentSource::native_code`). The engine itself compares
    // its version, its settings and what the processor has, and copies the bytes.
    unsafe {
        Component::deserialize(engine, file.code)
    }
}
