//! A GraphQL service by a crate that knows nothing of Fanlight, and each thing
//! that can be said by the crate `tracing`.
//!
//! `async-graphql` is instrumented with `tracing`; [`install`] is all that it
//! takes to see its spans. The other endpoints do the same at every request, so
//! that tests can say what their traces look like.
//!
//! [`install`]: fanlight_guest::tracing::install

#![cfg(target_family = "wasm")]

use fanlight_guest::{Request, Response};

mod cost;
mod events;
mod graphql;
mod order;
mod outcome;
mod spans;

fanlight_guest::serve!(handle);

async fn handle(request: Request) -> Response {
    events::install_as_asked(&request);
    fanlight_guest::tracing::install();
    match request.path() {
        "/graphql" => graphql::answer(&request).await,
        "/fields" => spans::fields(),
        "/parents" => spans::parents(),
        "/instrumented" => spans::instrumented().await,
        "/order" => order::left_first(),
        "/joined" => order::joined().await,
        "/mixed" => order::mixed().await,
        "/dropped" => order::dropped().await,
        "/shared" => order::shared().await,
        "/outlived" => order::outlived().await,
        "/held" => order::held().await,
        "/statuses" => outcome::statuses(),
        "/own-names" => outcome::own_names(),
        "/left" => outcome::left().await,
        "/events" => events::events(),
        "/errors" => events::errors(),
        "/cost" => cost::count(),
        "/say-much" => cost::say_much(),
        _ => Response::text("no such endpoint\n").status(404),
    }
}

fn done() -> Response {
    Response::text("done\n")
}
