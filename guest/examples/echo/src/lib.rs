//! Streams bodies: back, down and up, each with a few chunks in memory at most.
//!
//! `POST /count` tells a body's size, `GET /bytes?n=` sends n bytes, of which `HEAD` tells the length, and any
//! other `POST` sends the body back as it comes.

use fanlight_guest::{BodyError, Method, Request, Response, server_span};

fanlight_guest::serve!(handle);

/// What is sent at once: as much as the host takes in one go.
const CHUNK_BYTES: usize = 64 * 1024;

async fn handle(request: Request) -> Result<Response, BodyError> {
    match (request.method(), request.path()) {
        (Method::Post, "/count") => count(request).await,
        (Method::Get | Method::Head, "/bytes") => Ok(bytes(request)),
        (Method::Post, _) => echo(request),
        _ => Ok(Response::text("try POST /, POST /count or GET /bytes?n=\n").status(404)),
    }
}

fn echo(request: Request) -> Result<Response, BodyError> {
    let content_type = request
        .header("content-type")
        .unwrap_or("application/octet-stream")
        .to_owned();
    let mut body = request.body()?;
    let response = Response::stream(200, async move |writer| {
        while let Some(chunk) = body.next().await {
            // Waits until the client has taken what was written before.
            writer.write(chunk?).await?;
        }
        Ok(())
    });
    Ok(response.header("content-type", content_type))
}

async fn count(request: Request) -> Result<Response, BodyError> {
    server_span().set_route("/count");
    let mut body = request.body()?;
    let mut size = 0;
    while let Some(chunk) = body.next().await {
        size += chunk?.len();
    }
    Ok(Response::text(format!("{size}\n")))
}

fn bytes(request: Request) -> Response {
    server_span().set_route("/bytes");
    let n = request
        .query_param("n")
        .and_then(|n| n.parse::<usize>().ok());
    let Some(mut left) = n else {
        return Response::text("n is how many bytes to send\n").status(400);
    };
    if matches!(request.method(), Method::Head) {
        // What GET would send.
        return Response::new(200).header("content-length", left.to_string());
    }
    let response = Response::stream(200, async move |writer| {
        let chunk = vec![b'x'; left.min(CHUNK_BYTES)];
        while left > 0 {
            let now = left.min(chunk.len());
            writer.write(&chunk[..now]).await?;
            left -= now;
        }
        Ok(())
    });
    response.header("content-type", "application/octet-stream")
}
