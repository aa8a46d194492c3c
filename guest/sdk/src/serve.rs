//! The way into a component: its one export.

use crate::Method;
use crate::bindings::wasi::http::types::{IncomingRequest, ResponseOutparam};
use crate::executor::block_on;
use crate::into_response::IntoResponse;
use crate::request::Request;

/// Makes an async function the component's handler.
///
/// The function takes a [`Request`](crate::Request) and returns anything that
/// is [`IntoResponse`](crate::IntoResponse).
///
/// ```
/// use fanlight_guest::{Request, Response};
///
/// fanlight_guest::serve!(handle);
///
/// async fn handle(_request: Request) -> Response {
///     Response::text("hello\n")
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! serve {
    ($handle:path) => {
        $crate::serve_raw!(@ |request, outparam| $crate::run(request, outparam, $handle));
    };
}

/// Makes a function the component's handler that answers by itself.
///
/// It takes an `IncomingRequest` and a `ResponseOutparam` of the
/// [`bindings`](crate::bindings). [`block_on`](crate::block_on),
/// [`Request::from_raw`](crate::Request::from_raw) and
/// [`Response::send`](crate::Response::send) are there for it.
#[macro_export]
macro_rules! serve_raw {
    ($handle:path) => {
        $crate::serve_raw!(@ |request, outparam| $handle(request, outparam));
    };
    (@ |$request:ident, $outparam:ident| $answer:expr) => {
        // An exported function does not link into a native library, so that
        // elsewhere the handler is only checked.
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::bindings::exports::wasi::http::incoming_handler::Guest for Component {
                fn handle(
                    $request: $crate::bindings::wasi::http::types::IncomingRequest,
                    $outparam: $crate::bindings::wasi::http::types::ResponseOutparam,
                ) {
                    $answer
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        };

        #[cfg(not(target_family = "wasm"))]
        const _: fn(
            $crate::bindings::wasi::http::types::IncomingRequest,
            $crate::bindings::wasi::http::types::ResponseOutparam,
        ) = |$request, $outparam| $answer;
    };
}

/// What [`serve!`](crate::serve!) does.
#[doc(hidden)]
pub fn run<R: IntoResponse>(
    request: IncomingRequest,
    outparam: ResponseOutparam,
    handle: impl AsyncFnOnce(Request) -> R,
) {
    block_on(async {
        let request = Request::from_raw(request);
        let is_head = matches!(request.method(), Method::Head);
        let mut response = handle(request).await.into_response();
        response.is_to_head = is_head;
        response.send(outparam).await;
    });
}
