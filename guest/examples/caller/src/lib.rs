//! Calls another service over HTTP, as `?url=` says.
//!
//! `GET /fetch` tells the status and body of `times` calls, within a span of its own;
//! `/forward` passes the request and the response on as they come; `/leave` calls and
//! does not read the response; `/abandon` traps in the midst of an upload.

mod call;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fanlight_guest::bindings::wasi::http::types::ErrorCode;
use fanlight_guest::{Method, Request, Response, join, join_all, server_span, sleep, span};

use crate::call::{Call, Timeouts};

fanlight_guest::serve!(handle);

async fn handle(request: Request) -> Response {
    match request.path() {
        "/fetch" => fetch(&request).await,
        "/together" => together(&request).await,
        "/forward" => forward(&request).await,
        "/leave" => leave(&request).await,
        "/abandon" => abandon(&request).await,
        _ => Response::text("try /fetch?url=, /together?url=, /forward?url= or /leave?url=\n")
            .status(404),
    }
}

/// One call after another, each line with a status or an error code, and the body.
async fn fetch(request: &Request) -> Response {
    server_span().set_route("/fetch");
    let _span = span!("fetch");
    let mut lines = String::new();
    for _ in 0..number(request, "times").unwrap_or(1) {
        lines.push_str(&line(one(request).await));
    }
    Response::text(lines)
}

/// As many calls at once.
async fn together(request: &Request) -> Response {
    server_span().set_route("/together");
    let times = number(request, "times").unwrap_or(1);
    let answers = join_all((0..times).map(|_| one(request))).await;
    Response::text(answers.into_iter().map(line).collect::<String>())
}

async fn one(request: &Request) -> Result<(u16, String), ErrorCode> {
    let url = request.query_param("url").unwrap_or_default();
    let method = match request.query_param("method").as_deref() {
        None => Method::Get,
        Some(name) => Method::Other(name.to_owned()),
    };
    let call = Call::new(
        &method,
        &url,
        &[("x-caller", "fetch"), ("traceparent", "forged")],
    )?;
    let response = call.finish()?.send(timeouts(request)).await?;
    let status = response.status();
    let bytes = response.bytes().await?;
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

fn line(answer: Result<(u16, String), ErrorCode>) -> String {
    match answer {
        Ok((status, body)) => format!("{status} {}\n", body.trim_end()),
        Err(code) => format!("{code:?}\n"),
    }
}

/// The request's body goes there, and the response's comes back, each as it comes.
async fn forward(request: &Request) -> Response {
    server_span().set_route("/forward");
    match forwarded(request).await {
        Ok(response) => response,
        Err(code) => Response::text(format!("{code:?}\n")).status(502),
    }
}

async fn forwarded(request: &Request) -> Result<Response, ErrorCode> {
    let internal =
        |error: &dyn std::fmt::Display| ErrorCode::InternalError(Some(error.to_string()));
    let url = request.query_param("url").unwrap_or_default();
    let mut call = Call::new(request.method(), &url, &[])?;
    let mut writer = call.body()?;
    let waiting = call.send(timeouts(request));
    let mut body = request.body().map_err(|error| internal(&error))?;
    let mut sending = Box::pin(async move {
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| internal(&error))?;
            writer
                .write(&chunk)
                .await
                .map_err(|error| internal(&error))?;
        }
        writer.finish().map_err(|error| internal(&error))
    });
    let mut waiting = pin!(waiting);
    let mut sent = None;
    // The response may come before the body's end.
    let response = poll_fn(|context| {
        if sent.is_none()
            && let Poll::Ready(result) = sending.as_mut().poll(context)
        {
            sent = Some(result);
        }
        waiting.as_mut().poll(context)
    })
    .await?;
    let status = response.status();
    Ok(Response::stream(status, async move |writer| {
        let failed = |code: ErrorCode| std::io::Error::other(format!("{code:?}"));
        let rest = async {
            match sent {
                Some(sent) => sent,
                None => sending.await,
            }
        };
        let back = async {
            let mut body = response.body().map_err(failed)?;
            while let Some(chunk) = body.next().await {
                let chunk = chunk.map_err(failed)?;
                writer.write(chunk).await.map_err(std::io::Error::other)?;
            }
            Ok::<_, std::io::Error>(())
        };
        let (rest, back) = join(rest, back).await;
        back?;
        rest.map_err(failed)?;
        Ok(())
    }))
}

/// Calls and goes on without the response, for `ms`.
async fn leave(request: &Request) -> Response {
    server_span().set_route("/leave");
    let url = request.query_param("url").unwrap_or_default();
    let call = Call::new(&Method::Get, &url, &[]).and_then(Call::finish);
    let waiting = match call {
        Ok(call) => call.send(timeouts(request)),
        Err(code) => return Response::text(format!("{code:?}\n")),
    };
    let wait = number(request, "ms").unwrap_or(0);
    let waited = sleep(Duration::from_millis(wait));
    fanlight_guest::race(
        async {
            let _ = waiting.await;
        },
        waited,
    )
    .await;
    Response::text("left\n")
}

/// Traps in the midst of an upload, after the response.
async fn abandon(request: &Request) -> Response {
    server_span().set_route("/abandon");
    let url = request.query_param("url").unwrap_or_default();
    let begun = Call::new(&Method::Post, &url, &[]).and_then(|mut call| Ok((call.body()?, call)));
    let (mut writer, call) = match begun {
        Ok(begun) => begun,
        Err(code) => return Response::text(format!("{code:?}\n")),
    };
    let waiting = call.send(timeouts(request));
    // What comes of them does not matter: the guest ends here.
    let _ = join(writer.write("half"), waiting).await;
    std::process::abort()
}

fn timeouts(request: &Request) -> Timeouts {
    let of = |name| number(request, name).map(Duration::from_millis);
    Timeouts {
        connect: of("connect_ms"),
        first_byte: of("first_byte_ms"),
        between_bytes: of("between_bytes_ms"),
    }
}

fn number(request: &Request, name: &str) -> Option<u64> {
    request.query_param(name)?.parse().ok()
}
