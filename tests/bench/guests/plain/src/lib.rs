//! Answers as `bench-usual` does, and says nothing about itself: it imports
//! `wasi:http` alone, so that any server can serve it.

use fanlight_guest::{Method, Request, Response};

fanlight_guest::serve!(handle);

/// The largest body that is sent back.
const MAX_BODY: usize = 1024 * 1024;

async fn handle(request: Request) -> Response {
    match request.method() {
        Method::Post => match request.bytes(MAX_BODY).await {
            Ok(body) => Response::new(200)
                .header("content-type", "application/json")
                .body(body),
            Err(error) => Response::text(format!("{error}\n")).status(400),
        },
        _ => Response::text("hello\n"),
    }
}
