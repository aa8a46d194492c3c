//! `/api/users`: a query to a database that is not there.

use std::time::Duration;

use fanlight_guest::{Response, random_range, sleep, span};
use serde::Serialize;

#[derive(Serialize)]
struct User {
    id: u32,
    name: &'static str,
}

pub(crate) async fn answer() -> Response {
    Response::json(&fetch_users().await)
}

async fn fetch_users() -> [User; 3] {
    // Jaeger's users search by the older names as well.
    let span = span!(
        client "fetch_users",
        "db.system.name" = "postgresql",
        "db.system" = "postgresql",
        "db.operation.name" = "select",
        "db.operation" = "select",
    );
    sleep(Duration::from_millis(random_range(100..=300))).await;
    let users = [(1, "Alice"), (2, "Bob"), (3, "Charlie")].map(|(id, name)| User { id, name });
    span.set_attribute("result.count", users.len());
    users
}
