//! Compiling a large component while requests run.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::admin::Admin;
use crate::component::Guests;
use crate::load::{Load, median};
use crate::program::Server;
use crate::report::Check;

const WINDOWS: u32 = 5;
/// The 99th percentile with a compilation, to that without.
const BAR: f64 = 2.0;

pub(super) async fn run(server: Server, guests: &Guests) -> anyhow::Result<Vec<Check>> {
    let components = guests.large(WINDOWS)?;
    let bytes = components.first().map_or(0, Bytes::len);
    let server = server
        .without_cache()
        .flags(["--max-instances", "200"])
        .serve(guests.path())
        .await?;
    let load = Load::full_speed(server.address);
    let admin = Admin::at(server.admin);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut compiling = Duration::ZERO;
    load.clone().put_for(Duration::from_secs(1)).await?;
    for component in components {
        let begun = Instant::now();
        let running = load.clone().start();
        admin.swap(component).await?;
        let result = running.stop().await?;
        result.demand_no_failure()?;
        with.push(result.p99()?.as_secs_f64());
        let took = begun.elapsed();
        compiling += took;
        // As long again, without.
        let result = load
            .clone()
            .put_for(took.min(Duration::from_secs(5)))
            .await?;
        result.demand_no_failure()?;
        without.push(result.p99()?.as_secs_f64());
    }
    let (with, without) = (median(with), median(without));
    let of = format!(
        "{:.2} ms to {:.2} ms; {:.1} MB in {:.1} s",
        with * 1000.0,
        without * 1000.0,
        bytes as f64 / 1e6,
        (compiling / WINDOWS).as_secs_f64(),
    );
    let checks = vec![Check::ratio_at_most(
        "compiling: p99 of running requests",
        BAR,
        with / without,
        &of,
    )];
    server.stop().await?;
    Ok(checks)
}
