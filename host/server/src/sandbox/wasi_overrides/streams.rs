//! The end of `wasi:io` streams: at once, where the stock one is a call that may
//! wait.
//!
//! It waits for tasks behind files and sockets to be gone. No guest has any of
//! them, and they end when the stream is dropped; but each stream of a body was
//! ended by a future in a box, on the way of calls that suspend.

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use crate::sandbox::store::State;

/// The version that the stock interfaces have.
const INTERFACE: &str = "wasi:io/streams@0.2.12";

/// Puts it in the stock one's place.
///
/// # Errors
/// Where the linker does not take it.
pub(crate) fn replace_in_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut streams = linker.instance(INTERFACE)?;
    streams.resource(
        "input-stream",
        ResourceType::host::<DynInputStream>(),
        |mut store, stream| {
            let stream = Resource::<DynInputStream>::new_own(stream);
            store.data_mut().table().delete(stream)?;
            Ok(())
        },
    )?;
    streams.resource(
        "output-stream",
        ResourceType::host::<DynOutputStream>(),
        |mut store, stream| {
            let stream = Resource::<DynOutputStream>::new_own(stream);
            store.data_mut().table().delete(stream)?;
            Ok(())
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
