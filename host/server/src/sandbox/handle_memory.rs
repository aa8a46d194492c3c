//! What a guest's handles hold of the host's memory.
//!
//! A guest has a bound on its own memory and one on the number of its handles,
//! but a handle may stand for much: headers, an outgoing request's texts, chunks
//! of a body that is not read. Each has a bound; their product with the number
//! of handles is gigabytes. So all that is live is added up now and then, while
//! the guest runs.

use std::any::Any;

use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::bindings::http::types::{Method, Scheme};
use wasmtime_wasi_http::p2::types::{HostOutgoingRequest, HostOutgoingResponse};

use crate::sandbox::outgoing::BODY_CHUNK;

/// What all handles of a request may hold. Small ones never come near it, as
/// many as there may be.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// What a handle takes by itself.
const HANDLE_BYTES: usize = 160;
/// A header's name and value in a map, besides their texts.
const FIELD_BYTES: usize = 128;
/// What an outgoing body may hold that is not read: the two chunks of its
/// channel, which go with the request or response that they are for.
const BODY_BYTES: usize = 2 * BODY_CHUNK;

/// Adds up what the table's resources hold.
///
/// # Errors
/// Where it is too much.
pub(crate) fn check(table: &mut ResourceTable) -> wasmtime::Result<()> {
    let bytes: usize = table.iter_mut().map(|resource| bytes_of(resource)).sum();
    if bytes > MAX_BYTES {
        return Err(wasmtime::format_err!(
            "the guest's handles hold more than {} MiB of the host's memory",
            MAX_BYTES / (1024 * 1024)
        ));
    }
    Ok(())
}

fn bytes_of(resource: &(dyn Any + Send)) -> usize {
    let held = if let Some(fields) = resource.downcast_ref::<FieldMap>() {
        of_fields(fields)
    } else if let Some(request) = resource.downcast_ref::<HostOutgoingRequest>() {
        of_request(request)
    } else if let Some(response) = resource.downcast_ref::<HostOutgoingResponse>() {
        of_fields(&response.headers) + response.body.as_ref().map_or(0, |_| BODY_BYTES)
    } else {
        0
    };
    HANDLE_BYTES + held
}

fn of_fields(fields: &FieldMap) -> usize {
    let texts = fields
        .iter()
        .map(|(name, value)| FIELD_BYTES + name.as_str().len() + value.len());
    texts.sum()
}

fn of_request(request: &HostOutgoingRequest) -> usize {
    let method = match &request.method {
        Method::Other(method) => method.len(),
        _ => 0,
    };
    let scheme = match &request.scheme {
        Some(Scheme::Other(scheme)) => scheme.len(),
        _ => 0,
    };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    method
        + scheme
        + text(&request.authority)
        + text(&request.path_with_query)
        + of_fields(&request.headers)
        + request.body.as_ref().map_or(0, |_| BODY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_small_handles_are_within_the_bound() {
        let mut table = ResourceTable::new();
        for n in 0..100_000_u32 {
            table.push(n).unwrap();
        }
        assert!(check(&mut table).is_ok());
    }

    #[test]
    fn a_few_handles_that_hold_much_are_not() {
        let mut table = ResourceTable::new();
        for _ in 0..8 {
            table
                .push(HostOutgoingRequest {
                    method: Method::Other("X".repeat(MAX_BYTES / 8)),
                    scheme: None,
                    authority: None,
                    path_with_query: None,
                    headers: FieldMap::new_mutable(0),
                    body: None,
                })
                .unwrap();
        }
        let error = check(&mut table).unwrap_err();
        assert!(error.to_string().contains("32 MiB"), "{error}");
    }
}
