//! `GET /graphql?query={user(id:1){name friends{name}}}`: users and their friends.
//!
//! Nothing here speaks of spans: `async-graphql` does, by its extension
//! `Tracing`, and they stay open while the resolvers wait.

use std::time::Duration;

use async_graphql::extensions::Tracing;
use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};
use fanlight_guest::{Request, Response, server_span, sleep};

/// Who is a friend of whom: the next one, and the one after that.
const NAMES: [&str; 3] = ["Ada", "Grace", "Barbara"];

/// Answers a query.
pub(crate) async fn answer(request: &Request) -> Response {
    server_span().set_route("/graphql");
    let Some(query) = request.query_param("query") else {
        return Response::text("GET /graphql?query={user(id:1){name}}\n").status(400);
    };
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .extension(Tracing)
        .finish();
    Response::json(&schema.execute(query.as_ref()).await)
}

struct Query;

#[Object]
impl Query {
    async fn user(&self, id: usize) -> async_graphql::Result<User> {
        query_database().await;
        if id < NAMES.len() {
            Ok(User { id })
        } else {
            Err("no such user".into())
        }
    }
}

struct User {
    id: usize,
}

#[Object]
impl User {
    async fn name(&self) -> &'static str {
        NAMES[self.id]
    }

    async fn friends(&self) -> Vec<User> {
        query_database().await;
        (1..NAMES.len())
            .map(|step| User {
                id: (self.id + step) % NAMES.len(),
            })
            .collect()
    }
}

/// Stands for a database, which takes its time.
async fn query_database() {
    sleep(Duration::from_millis(20)).await;
}
