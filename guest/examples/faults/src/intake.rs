//! Reading the request's body, and telling how that went.

use fanlight_guest::bindings::wasi::http::types::http_error_code;
use fanlight_guest::bindings::wasi::io::streams::StreamError;
use fanlight_guest::{Request, Response, ready};

/// Reads it all before it answers.
pub(crate) async fn read(request: Request) -> Response {
    Response::text(outcome(&request).await)
}

/// Answers its head first and reads then; the outcome is the body.
pub(crate) fn read_late(request: Request) -> Response {
    Response::stream(200, async move |body| {
        body.write("reading: ").await?;
        body.flush().await?;
        body.write(outcome(&request).await).await?;
        Ok(())
    })
}

/// How many bytes there were, or why they could not be read.
async fn outcome(request: &Request) -> String {
    let Ok(body) = request.raw().consume() else {
        return "taken\n".into();
    };
    let Ok(stream) = body.stream() else {
        return "taken\n".into();
    };
    let mut bytes = 0;
    loop {
        match stream.read(64 * 1024) {
            Ok(chunk) if chunk.is_empty() => ready(stream.subscribe()).await,
            Ok(chunk) => bytes += chunk.len(),
            Err(StreamError::Closed) => return format!("{bytes} bytes\n"),
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
