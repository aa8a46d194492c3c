//! `wasi:http/types.http-error-code`: why a guest's read of a body failed.
//!
//! The stock function of wasmtime 48 looks for the WIT's own type, while bodies
//! fail with the crate's: it answers none for every body. This one knows both.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, IoError};

use crate::sandbox::store::State;

/// The version that the stock interfaces have.
const INTERFACE: &str = "wasi:http/types@0.2.12";

/// Puts it in the stock one's place.
///
/// # Errors
/// Where the linker does not take it.
pub(crate) fn replace_in_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(INTERFACE)?.func_wrap(
        "http-error-code",
        |mut store: StoreContextMut<'_, State>, (error,): (Resource<IoError>,)| {
            let error = store.data_mut().table().get(&error)?;
            Ok((code_of(error),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn code_of(error: &IoError) -> Option<ErrorCode> {
    if let Some(code) = error.downcast_ref::<ErrorCode>() {
        return Some(code.clone());
    }
    Some(match error.downcast_ref::<Error>()? {
        Error::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(*size),
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        // The client broke off, or the rules.
        _ => ErrorCode::HttpProtocolError,
    })
}
