//! One small endpoint for every function of the contract.
//!
//! Each does the same at every request, so that tests can say what its trace,
//! metrics and logs look like. The path is the name of the endpoint.

use fanlight_guest::{Request, Response, server_span};

mod context;
mod joined;
mod logs;
mod metrics;
mod order;
mod signals;
mod spans;

fanlight_guest::serve!(handle);

async fn handle(request: Request) -> Response {
    match request.path() {
        "/nested" => spans::nested(),
        "/explicit-parent" => spans::explicit_parent(),
        "/root-span" => spans::root_span(),
        "/links" => spans::links(),
        "/events" => spans::events(),
        "/exception" => spans::exception(&request),
        "/status-ok" => spans::status_ok(),
        "/status-error" => spans::status_error(),
        "/rename" => spans::rename(),
        "/attributes" => spans::attributes(),
        "/kinds" => spans::kinds(),
        "/times" => spans::times(),
        "/scope" => spans::scope(),
        "/joined" => joined::joined().await,
        "/joined-all" => joined::joined_all().await,
        "/in-span" => joined::in_span().await,
        "/race" => joined::race_of_two().await,
        "/out-of-order" => order::out_of_order(),
        "/use-after-end" => order::use_after_end(),
        "/dropped-scope-order" => order::dropped_scope_order(),
        "/dropped-guard-order" => order::dropped_guard_order(),
        "/many-spans" => order::many_spans(&request),
        "/open-spans" => order::open_spans(&request),
        "/metrics" => metrics::one_of_each().map_or_else(metrics::refused, |()| done()),
        "/metrics-once" => metrics::one_value_each().map_or_else(metrics::refused, |()| done()),
        "/metric-clash" => metrics::clash(),
        "/metric-units" => metrics::units().map_or_else(metrics::refused, |()| done()),
        "/all-signals" => signals::all().map_or_else(metrics::refused, |()| done()),
        "/logs" => logs::records(),
        "/stdout" => logs::printed(),
        "/current-context" => context::current(),
        "/is-recording" => context::is_recording(),
        "/route" => {
            server_span().set_route("/route/{id}");
            done()
        }
        "/server-span" => context::server(),
        _ => Response::text("no such endpoint\n").status(404),
    }
}

fn done() -> Response {
    Response::text("done\n")
}

/// Reads a number from the query.
fn number(request: &Request, name: &str, default: u64) -> u64 {
    let number = request.query_param(name);
    number.and_then(|n| n.parse().ok()).unwrap_or(default)
}
