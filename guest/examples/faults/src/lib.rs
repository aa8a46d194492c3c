//! Everything that a component can do wrong, one endpoint each.
//!
//! It uses the SDK's low-level door, because some of it is what the SDK keeps
//! components from doing.

use std::time::Duration;

use fanlight_guest::bindings::wasi::http::types::{ErrorCode, IncomingRequest, ResponseOutparam};
use fanlight_guest::{Request, Response, block_on, sleep, span};

mod forgery;
mod greed;
mod outside;
mod trap;

fanlight_guest::serve_raw!(handle);

fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
    let request = Request::from_raw(request);
    match request.path() {
        "/no-response" => {
            // Some go on for a while without the means to answer.
            drop(outparam);
            block_on(sleep(milliseconds(&request)));
        }
        "/error-code" => {
            let code = error_code(&request.query_param("code").unwrap_or_default());
            ResponseOutparam::set(outparam, Err(code));
        }
        _ => block_on(async { answer(request).await.send(outparam).await }),
    }
}

async fn answer(request: Request) -> Response {
    match request.path() {
        "/trap" => trap::with_open_span(),
        "/panic" => trap::panic_with_message(),
        "/trap-after-head" => trap::after_head(),
        "/trap-after-last-byte" => trap::after_last_byte(milliseconds(&request)),
        "/abort-after-head" => trap::abort_after_head(),
        "/informational" => Response::new(103),
        "/status" => Response::new(u16::try_from(number(&request, "code", 200)).unwrap_or(0)),
        "/loop" => greed::spin(),
        "/memory" => greed::grow(),
        "/recursion" => greed::recurse(),
        "/sleep" => {
            sleep(milliseconds(&request)).await;
            Response::text("slept\n")
        }
        "/late" => late(milliseconds(&request)),
        "/stream" => stream(&request),
        "/forge" => {
            forgery::forge();
            trap::with_open_span()
        }
        "/forge-ok" => {
            forgery::forge();
            Response::text("forged\n")
        }
        "/counter" => forgery::count(),
        "/outbound" => outside::outbound(&request).await,
        "/env" => outside::env(),
        "/headers" => headers(&request),
        "/version" => version(&request),
        _ => Response::text("no such fault\n").status(404),
    }
}

fn error_code(name: &str) -> ErrorCode {
    use fanlight_guest::bindings::wasi::http::types::DnsErrorPayload;

    match name {
        "connection-refused" => ErrorCode::ConnectionRefused,
        "connection-timeout" => ErrorCode::ConnectionTimeout,
        "dns-error" => ErrorCode::DnsError(DnsErrorPayload {
            rcode: Some("NXDOMAIN".into()),
            info_code: None,
        }),
        "configuration-error" => ErrorCode::ConfigurationError,
        _ => ErrorCode::InternalError(Some("said by the guest".into())),
    }
}

/// Answers completely, and then goes on working.
fn late(duration: Duration) -> Response {
    Response::text("answered\n").after(async move {
        let _span = span!("late_work");
        sleep(duration).await;
    })
}

/// Sends a chunk after every delay.
fn stream(request: &Request) -> Response {
    let chunks = number(request, "chunks", 3);
    let delay = Duration::from_millis(number(request, "delay_ms", 100));
    Response::stream(200, async move |body| {
        for chunk in 0..chunks {
            sleep(delay).await;
            body.write(format!("chunk {chunk}\n")).await?;
        }
        Ok(())
    })
}

/// What a test replaces in the built component, to have another version of it.
const VERSION: &str = "version-of-faults-0000";

/// Says the version of this component over and over, and takes its time.
fn version(request: &Request) -> Response {
    let chunks = number(request, "chunks", 1);
    let delay = Duration::from_millis(number(request, "delay_ms", 0));
    Response::stream(200, async move |body| {
        for _ in 0..chunks {
            body.write(format!("{VERSION}\n")).await?;
            sleep(delay).await;
        }
        Ok(())
    })
}

/// Answers the request's headers, one a line.
fn headers(request: &Request) -> Response {
    let lines = request
        .headers()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
    Response::text(lines.collect::<String>())
}

fn milliseconds(request: &Request) -> Duration {
    Duration::from_millis(number(request, "ms", 0))
}

/// Reads a number from the query.
fn number(request: &Request, name: &str, default: u64) -> u64 {
    let number = request.query_param(name);
    number.and_then(|n| n.parse().ok()).unwrap_or(default)
}
