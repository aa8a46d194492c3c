//! Reading the request's body, and telling how that went.

use std::time::Duration;

use fanlight_guest::bindings::fanlight::http::request_body;
use fanlight_guest::bindings::wasi::http::types::{IncomingBody, http_error_code};
use fanlight_guest::bindings::wasi::io::streams::StreamError;
use fanlight_guest::{Request, Response, ready, sleep};

/// Reads it all before it answers.
pub(crate) async fn read(request: Request) -> Response {
    Response::text(outcome(&request).await)
}

/// Answers its head first and reads after a delay; the outcome is the body.
pub(crate) fn read_late(request: Request, delay: Duration) -> Response {
    Response::stream(200, async move |body| {
        body.write("reading: ").await?;
        body.flush().await?;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        body.write(outcome(&request).await).await?;
        Ok(())
    })
}

/// Takes what is here of it, tells how much that is, and reads the rest.
pub(crate) fn take(request: Request, max: u32) -> Response {
    let taken = request_body::take(request.raw(), max);
    Response::stream(200, async move |body| {
        let Ok(partial) = taken else {
            body.write("taken\n").await?;
            return Ok(());
        };
        body.write(format!("here: {} bytes\n", partial.bytes.len()))
            .await?;
        body.flush().await?;
        let rest = match partial.rest {
            Some(rest) => streamed(rest).await,
            None => "none\n".into(),
        };
        body.write(format!("rest: {rest}")).await?;
        Ok(())
    })
}

/// Takes it by both ways, in the order that the query says.
pub(crate) fn take_twice(request: &Request) -> Response {
    let consume = || request.raw().consume().map(drop);
    let take = || request_body::take(request.raw(), 64 * 1024).map(drop);
    let (first, second) = match request.query() {
        Some("consume") => (consume(), take()),
        Some("take") => (take(), take()),
        _ => (take(), consume()),
    };
    Response::text(format!("{first:?}, {second:?}\n"))
}

/// Reads it as most components do.
pub(crate) async fn whole(request: Request, limit: usize) -> Response {
    match request.bytes(limit).await {
        Ok(bytes) => Response::text(format!("{} bytes\n", bytes.len())),
        Err(error) => Response::text(format!("{error}\n")).status(error.status()),
    }
}

/// How many bytes there were, or why they could not be read.
async fn outcome(request: &Request) -> String {
    match request.raw().consume() {
        Ok(body) => streamed(body).await,
        Err(()) => "taken\n".into(),
    }
}

async fn streamed(body: IncomingBody) -> String {
    let Ok(stream) = body.stream() else {
        return "taken\n".into();
    };
    let mut bytes = 0;
    loop {
        match stream.read(64 * 1024) {
            Ok(chunk) if chunk.is_empty() => ready(stream.subscribe()).await,
            Ok(chunk) => bytes += chunk.len(),
            Err(StreamError::Closed) => {
                drop(stream);
                return format!("{bytes} bytes{}\n", trailers(body).await);
            }
            Err(StreamError::LastOperationFailed(error)) => {
                return format!(
                    "{:?} {}\n",
                    http_error_code(&error),
                    error.to_debug_string()
                );
            }
        }
    }
}

/// What came after the bytes, if anything did.
async fn trailers(body: IncomingBody) -> String {
    let trailers = IncomingBody::finish(body);
    ready(trailers.subscribe()).await;
    let Some(Ok(Ok(Some(fields)))) = trailers.get() else {
        return String::new();
    };
    let named = fields.entries().into_iter();
    named
        .map(|(name, value)| format!(", {name}: {}", String::from_utf8_lossy(&value)))
        .collect()
}
