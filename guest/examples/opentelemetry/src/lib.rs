//! Each thing that can be said by the API of the crate `opentelemetry`.
//!
//! Nothing but the first line of the handler knows of Fanlight: the rest takes
//! the global providers, as a library does. Each endpoint does the same at every
//! request, so that tests can say what its trace looks like.

use fanlight_guest::{Request, Response};

mod current;
mod metrics;
mod spans;

fanlight_guest::serve!(handle);

async fn handle(request: Request) -> Response {
    fanlight_guest::opentelemetry::install();
    match request.path() {
        "/said" => spans::said(),
        "/errors" => spans::errors(),
        "/remote" => spans::remote(),
        "/unrecorded" => spans::unrecorded(),
        "/in-span" => current::in_span(),
        "/joined" => current::joined().await,
        "/shared" => current::shared().await,
        "/outlived" => current::outlived().await,
        "/over-limit" => current::over_limit(),
        "/parentless" => current::parentless(),
        "/order" => current::order(),
        "/metrics" => metrics::one_of_each(),
        _ => Response::text("no such endpoint\n").status(404),
    }
}

fn done() -> Response {
    Response::text("done\n")
}
