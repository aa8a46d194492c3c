//! The demo service: five endpoints, and what failure looks like.
//!
//! Each request is counted before it is answered, so that also one that panics
//! is seen in the metrics.

use std::time::Instant;

use fanlight_guest::{InstrumentError, Method, Request, Response, server_span};
use serde::Serialize;

mod failures;
mod metrics;
mod process;
mod users;

fanlight_guest::serve!(handle);

/// What can be asked for, in the order in which `/` lists it.
#[derive(Clone, Copy)]
enum Endpoint {
    Index,
    Health,
    Users,
    Process,
    Error,
    Panic,
}

impl Endpoint {
    const ALL: [Self; 6] = [
        Self::Index,
        Self::Health,
        Self::Users,
        Self::Process,
        Self::Error,
        Self::Panic,
    ];

    const fn route(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::Health => "/health",
            Self::Users => "/api/users",
            Self::Process => "/api/process",
            Self::Error => "/api/error",
            Self::Panic => "/api/panic",
        }
    }

    fn at(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.route() == path)
    }
}

async fn handle(request: Request) -> Result<Response, InstrumentError> {
    let start = Instant::now();
    let endpoint = Endpoint::at(request.path());
    let route = endpoint.map(Endpoint::route);
    if let Some(route) = route {
        server_span().set_route(route);
    }
    metrics::count_request(route)?;
    let response = match (endpoint, request.method()) {
        (None, _) => error(404, "not found"),
        (Some(endpoint), Method::Get | Method::Head) => answer(endpoint).await,
        (Some(_), _) => error(405, "method not allowed").header("allow", "GET, HEAD"),
    };
    metrics::record_duration(route, start.elapsed())?;
    Ok(response)
}

async fn answer(endpoint: Endpoint) -> Response {
    match endpoint {
        Endpoint::Index => index(),
        Endpoint::Health => Response::json(&Health { status: "healthy" }),
        Endpoint::Users => users::answer().await,
        Endpoint::Process => process::answer().await,
        Endpoint::Error => failures::simulate_error(),
        Endpoint::Panic => failures::panic_in_span(),
    }
}

fn index() -> Response {
    #[derive(Serialize)]
    struct Index {
        message: &'static str,
        endpoints: [&'static str; Endpoint::ALL.len()],
    }

    Response::json(&Index {
        message: "Fanlight demo: a WebAssembly component that you can see inside",
        endpoints: Endpoint::ALL.map(Endpoint::route),
    })
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// Answers with a status and the reason as JSON.
fn error(status: u16, reason: &str) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a str,
    }

    Response::json(&Body { error: reason }).status(status)
}
