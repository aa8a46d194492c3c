//! What a guest may call. For now: nothing.

use std::future::{Future, ready};

use http::HeaderName;
use http::header;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

/// The most that a guest writes to a body at once; two of them wait at most.
/// Larger chunks are no faster, and each body that nobody reads holds them.
pub(crate) const BODY_CHUNK: usize = 64 * 1024;

/// Denies every outgoing request; the guest gets `HTTP-request-denied`.
#[derive(Debug, Default)]
pub(crate) struct Outbound;

type Sent = Result<
    (
        http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transmitted: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(ready(Err(Error::HttpRequestDenied)))
    }

    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        std::sync::Arc::new(is_forbidden)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn set_host_header(&mut self) -> bool {
        true
    }
}

/// Headers of the connection, which are the host's: a guest neither sees nor
/// sets them. `Host` reaches the guest as the request's authority.
fn is_forbidden(name: &HeaderName) -> bool {
    match *name {
        header::CONNECTION
        | header::HOST
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION
        | header::TRANSFER_ENCODING
        | header::UPGRADE => true,
        _ => matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        ),
    }
}
