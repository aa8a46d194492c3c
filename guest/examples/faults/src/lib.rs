//! Everything that a component can do wrong, one endpoint each.
//!
//! It uses the SDK's low-level door, because some of it is what the SDK keeps
//! components from doing.

use std::time::Duration;

use fanlight_guest::bindings::wasi::http::types::{ErrorCode, IncomingRequest, ResponseOutparam};
use fanlight_guest::{Request, Response, Scheme, block_on, sleep, span};

mod answers;
mod flood;
mod forgery;
mod greed;
mod handles;
mod hoard;
mod intake;
mod loss;
mod odd;
mod outside;
mod remains;
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
        "/answer" => answers::refused(&request, outparam),
        "/say" => odd::say(&request, outparam),
        "/unwritten" => answers::unwritten(outparam),
        "/none-and-on" => answers::none_and_on(&request, outparam),
        "/flood-and-on" => answers::flood_and_on(number(&request, "count", 1), outparam),
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
        "/trap-after-last-byte" => {
            let status = u16::try_from(number(&request, "code", 200)).unwrap_or(0);
            trap::after_last_byte(status, milliseconds(&request))
        }
        "/exit" => trap::exits(&request),
        "/abort-after-head" => trap::abort_after_head(),
        "/informational" => Response::new(103),
        "/status" => Response::new(u16::try_from(number(&request, "code", 200)).unwrap_or(0)),
        "/loop" => greed::spin(),
        "/memory" => greed::grow(),
        "/memory-and-sleep" => {
            greed::grow_to_the_bound();
            sleep(milliseconds(&request)).await;
            Response::text("slept\n")
        }
        "/recursion" => greed::recurse(),
        "/sleep" => {
            sleep(milliseconds(&request)).await;
            Response::text("slept\n")
        }
        "/sleep-without" => {
            let time = milliseconds(&request);
            // Its body goes with it, and nobody has read that.
            drop(request);
            sleep(time).await;
            Response::text("slept\n")
        }
        "/late" => late(milliseconds(&request)),
        "/stream" => stream(&request),
        "/trailer" => Response::stream(200, async |body| {
            body.write("of three").await?;
            body.trailer("x-sum", "3");
            Ok(())
        })
        .header("trailer", "x-sum"),
        "/overlong" => answers::overlong(),
        "/loss" => loss::lose(&request).await,
        "/forge" => {
            forgery::forge();
            trap::with_open_span()
        }
        "/forge-ok" => {
            forgery::forge();
            Response::text("forged\n")
        }
        "/clash" => forgery::clash(),
        "/counter" => forgery::count(),
        "/outbound" => outside::outbound(&request).await,
        "/env" => outside::env(),
        "/headers" => headers(&request),
        "/scheme" => scheme(&request),
        "/version" => version(&request),
        "/unfinished" => unfinished(),
        "/leave" => remains::leave(&request).await,
        "/handles/hold" => handles::hold(number(&request, "count", 1)),
        "/handles/use" => handles::use_of_others(
            &request.query_param("kind").unwrap_or_default(),
            u32::try_from(number(&request, "number", 0)).unwrap_or(0),
        ),
        "/read" => intake::read(request).await,
        "/read-late" => {
            let delay = milliseconds(&request);
            intake::read_late(request, delay)
        }
        "/take" => {
            let max = u32::try_from(number(&request, "max", 64 * 1024)).unwrap_or(u32::MAX);
            intake::take(request, max)
        }
        "/take-twice" => intake::take_twice(&request),
        "/whole" => {
            let limit = usize::try_from(number(&request, "limit", 64 * 1024)).unwrap_or(0);
            intake::whole(request, limit).await
        }
        path if path.starts_with("/flood/") => flood(&request),
        path if path.starts_with("/hoard/") => hoard(&request),
        _ => Response::text("no such fault\n").status(404),
    }
}

/// Says too much; how much is in the query.
fn flood(request: &Request) -> Response {
    let count = number(request, "count", 1);
    let bytes = usize::try_from(number(request, "bytes", 0)).unwrap_or(0);
    match request.path() {
        "/flood/spans" => flood::spans(count, bytes),
        "/flood/lists" => {
            let elements = usize::try_from(number(request, "elements", 0)).unwrap_or(0);
            flood::lists(count, elements)
        }
        "/flood/not-finite" => flood::not_finite(),
        "/flood/open-spans" => flood::open_spans(count, number(request, "events", 1), bytes),
        "/flood/handles" => flood::handles(count, bytes),
        "/flood/scopes" => flood::scopes(count),
        "/flood/exceptions" => flood::exceptions(count, number(request, "depth", 0)),
        "/flood/logs" => flood::logs(count, bytes),
        "/flood/print" => flood::print(number(request, "bytes", 0)),
        "/flood/series" => flood::series(count, bytes),
        "/flood/instruments" => flood::instruments(count),
        _ => Response::new(404),
    }
}

/// Makes the host keep things; how many and how large is in the query.
fn hoard(request: &Request) -> Response {
    let count = number(request, "count", 1);
    let bytes = number(request, "bytes", 0);
    let size = usize::try_from(bytes).unwrap_or(0);
    match request.path() {
        "/hoard/fields" => hoard::fields(count, size),
        "/hoard/requests" => hoard::requests(count, size),
        "/hoard/bodies" => hoard::bodies(count),
        "/hoard/headers" => hoard::headers(count, size),
        "/hoard/timers" => hoard::timers(count),
        "/hoard/random" => hoard::random(bytes),
        _ => Response::new(404),
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
    let status = u16::try_from(number(request, "code", 200)).unwrap_or(0);
    Response::stream(status, async move |body| {
        for chunk in 0..chunks {
            sleep(delay).await;
            body.write(format!("chunk {chunk}\n")).await?;
        }
        Ok(())
    })
}

/// Sends all that it promises, and then neither ends its body nor goes.
fn unfinished() -> Response {
    let response = Response::stream(200, async move |body| {
        body.write("whole").await?;
        sleep(Duration::from_secs(600)).await;
        Ok(())
    });
    response.header("content-length", "5")
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

/// Says by what scheme the request came, as the host tells it.
fn scheme(request: &Request) -> Response {
    Response::text(match request.scheme() {
        Some(Scheme::Http) => "http\n",
        Some(Scheme::Https) => "https\n",
        Some(Scheme::Other(_)) | None => "unknown\n",
    })
}

fn milliseconds(request: &Request) -> Duration {
    Duration::from_millis(number(request, "ms", 0))
}

/// Reads a number from the query.
fn number(request: &Request, name: &str, default: u64) -> u64 {
    let number = request.query_param(name);
    number.and_then(|n| n.parse().ok()).unwrap_or(default)
}
