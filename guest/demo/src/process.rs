//! `/api/process`: work in three steps, each a span.

use std::time::{Duration, Instant};

use fanlight_guest::{Response, random_range, sleep, span};
use serde::Serialize;

#[derive(Serialize)]
struct Processed {
    status: &'static str,
    duration_ms: u128,
}

pub(crate) async fn answer() -> Response {
    let start = Instant::now();
    process_request().await;
    Response::json(&Processed {
        status: "success",
        duration_ms: start.elapsed().as_millis(),
    })
}

/// Takes 200 to 700 ms in all.
async fn process_request() {
    let _span = span!("process_request");
    validate_data().await;
    process_data().await;
    save_results().await;
}

async fn validate_data() {
    let _span = span!("validate_data", "step" = "validation");
    work(50..=150).await;
}

async fn process_data() {
    let _span = span!("process_data", "step" = "processing");
    work(100..=350).await;
}

async fn save_results() {
    let span = span!("save_results", "step" = "saving");
    work(50..=150).await;
    span.set_attribute("records_saved", 42);
}

async fn work(milliseconds: std::ops::RangeInclusive<u64>) {
    sleep(Duration::from_millis(random_range(milliseconds))).await;
}
