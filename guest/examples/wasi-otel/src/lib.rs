//! Speaks `wasi:otel` by hand, as an OpenTelemetry SDK does underneath.
//!
//! Answers come by the SDK of this repository, whose spans mix with the others.
//! Ids, times and values are fixed, so that tests can say what is exported.

use std::time::Duration;

use fanlight_guest::{Request, Response, sleep};

mod logs;
mod metrics;
mod misuse;
mod otel;
mod points;
mod spans;

fanlight_guest::serve!(handle);

async fn handle(request: Request) -> Response {
    match request.path() {
        "/nested" => spans::nested(),
        "/mixed" => spans::mixed(),
        "/everything" => spans::everything(),
        "/attributes" => spans::attributes(),
        "/contexts" => spans::contexts(),
        "/end-only" => spans::end_only(),
        "/not-sampled" => spans::not_sampled(),
        "/own-trace" => spans::own_trace(),
        "/out-of-order" => spans::out_of_order(),
        "/twice" => misuse::twice(),
        "/forged" => misuse::forged(),
        "/unfinished" => {
            misuse::leave_open();
            done()
        }
        "/unfinished-trap" => {
            misuse::leave_open();
            std::process::abort()
        }
        "/unfinished-sleep" => {
            misuse::leave_open();
            sleep(Duration::from_secs(600)).await;
            done()
        }
        "/many" => misuse::many(number(&request, "n", 1)),
        "/long" => misuse::long(number(&request, "bytes", 1)),
        "/logs" => logs::records(),
        "/deep-log" => logs::deep(number(&request, "depth", 1)),
        "/delta" => metrics::delta(number(&request, "gauge", 0)),
        "/cumulative" => metrics::cumulative(number(&request, "gauge", 0)),
        "/refused" => metrics::refused(),
        "/clash" => metrics::clash(),
        "/units" => metrics::units(),
        "/series" => metrics::series(number(&request, "count", 1)),
        "/same-series" => metrics::same_series(number(&request, "count", 1)),
        "/scales" => metrics::scales(),
        _ => Response::text("no such endpoint\n").status(404),
    }
}

fn done() -> Response {
    Response::text("done\n")
}

/// Reads a number from the query.
fn number(request: &Request, name: &str, default: u32) -> u32 {
    let number = request.query_param(name);
    number.and_then(|n| n.parse().ok()).unwrap_or(default)
}
