//! `fanlight:http/outgoing-response`: a complete response in one call.
//!
//! What is checked is what `wasi:http` checks, by its own code but for the body's
//! length: that is known here before anything is sent. The body needs no channel
//! between guest and connection: it is all there.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi_http::p2::types::HostResponseOutparam;
use wasmtime_wasi_http::{FieldMap, FieldMapError, WasiHttpCtxView, WasiHttpView};

use crate::request::framing::{BodyLength, RequestFraming};
use crate::sandbox::store::State;
use bindings::fanlight::http::outgoing_response::{self, SendError};

/// The largest body: it waits in the host for a client that reads slowly.
const MAX_BODY: usize = 64 * 1024;
/// The most bytes of an answer's headers: the bound of `wasi:http`'s own.
const MAX_FIELDS: usize = 128 * 1024;

mod bindings {
    //! What `wasmtime` makes of the WIT.
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]

    wasmtime::component::bindgen!({
        path: "wit",
        inline: "
            package fanlight:host;

            world imports {
                import fanlight:http/outgoing-response@0.1.0;
            }
        ",
        world: "fanlight:host/imports",
        require_store_data_send: true,
        imports: { default: trappable },
        with: {
            "wasi:http": wasmtime_wasi_http::p2::bindings::http,
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        },
    });
}

/// Adds it to a linker.
///
/// # Errors
/// Where it is there already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    outgoing_response::add_to_linker::<State, Answers>(linker, |state| AnswerView {
        request: state.telemetry.request().framing(),
        http: state.http(),
    })
}

/// Marks the view in the linker.
struct Answers;

impl HasData for Answers {
    type Data<'a> = AnswerView<'a>;
}

/// A request's HTTP, borrowed for a call.
struct AnswerView<'a> {
    request: RequestFraming,
    http: WasiHttpCtxView<'a>,
}

impl outgoing_response::Host for AnswerView<'_> {
    fn send(
        &mut self,
        out: Resource<HostResponseOutparam>,
        status: u16,
        headers: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
    ) -> Result<Result<(), SendError>> {
        if body.len() > MAX_BODY {
            return Ok(Err(SendError::TooLarge));
        }
        let Ok(status) = StatusCode::from_u16(status) else {
            return Ok(Err(SendError::Status));
        };
        let mut fields = FieldMap::new_mutable(MAX_FIELDS);
        for (name, value) in headers {
            match fields.append(self.http.hooks, name, value) {
                Ok(_) => {}
                // Too many and too large ones trap there as well.
                Err(error @ (FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig)) => {
                    return Err(wasmtime::Error::new(error));
                }
                Err(_) => return Ok(Err(SendError::Header)),
            }
        }
        let bytes = body.len() as u64;
        let body = Full::new(Bytes::from(body));
        let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = status;
        *response.headers_mut() = fields.into();
        // An answer that has no body may well tell the length of one that has.
        let is_as_long_as_said = match BodyLength::of(&response, self.request) {
            Some(BodyLength::Bytes(said)) => said == bytes,
            Some(BodyLength::Absent | BodyLength::Open) => true,
            None => false,
        };
        if !is_as_long_as_said {
            return Ok(Err(SendError::Header));
        }
        let out = self.http.table.get_mut(&out)?;
        // A second response has no receiver, as a second `set` cannot be.
        let send = std::mem::replace(&mut out.send, Box::new(|_| {}));
        send(Ok(response));
        Ok(Ok(()))
    }
}
