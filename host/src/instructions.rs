//! Runs one piece under Valgrind, which counts its instructions: `cargo xtask
//! instructions`. Without an argument it tells which pieces there are.
//!
//! The root of a crate of its own, `tests/instructions`: the host's ground and
//! edges without an engine, so that optimising them takes seconds and not minutes.

#![allow(
    dead_code,
    unexpected_cfgs,
    unreachable_pub,
    unused_imports,
    reason = "most of these floors serves others"
)]

mod backtrace;
mod captured_headers;
mod config;
mod error;
mod failure_log;
mod guest_usage;
mod known_methods;
mod pieces;
mod printable;
mod propagation;
mod request_clock;
mod request_facts;
mod reserved;
mod server_metrics;
mod server_span;
mod span;
mod span_limits;
mod telemetry;
mod trusted_proxies;

use std::hint::black_box;

use anyhow::{bail, ensure};

use pieces::{ServerSpans, TraceContext};
use telemetry::benchmarks::SpanEncoding;

const PIECES: [&str; 3] = ["traceparent", "server-span", "span-encoding"];
/// Counted runs of a piece. Their number is printed, as the count is of them all.
const RUNS: usize = 100;
/// The first is for what is made but once.
type Inputs<I> = [I; RUNS + 1];

fn main() -> anyhow::Result<()> {
    let Some(piece) = std::env::args().nth(1) else {
        for piece in PIECES {
            println!("{piece}");
        }
        return Ok(());
    };
    match piece.as_str() {
        "traceparent" => {
            let named = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
            let headers = TraceContext::new(named);
            ensure!(headers.extract(), "no caller was found");
            count([(); RUNS + 1], |()| black_box(&headers).extract());
        }
        "server-span" => {
            let spans = ServerSpans::new()?;
            count([(); RUNS + 1], |()| spans.start_and_end());
            ensure!(spans.discard() == RUNS + 1, "a span was lost");
        }
        "span-encoding" => {
            let encoding = SpanEncoding::new()?;
            // Thirty spans in each batch.
            let batches: Inputs<_> = [(); RUNS + 1].map(|()| encoding.batch(10));
            count(batches, |batch| encoding.encode(batch));
        }
        other => bail!("there is no piece called {other:?}"),
    }
    println!("{RUNS}");
    Ok(())
}

/// Runs a piece once for itself, and then to be counted.
fn count<I, O>(inputs: Inputs<I>, mut run: impl FnMut(I) -> O) {
    let mut inputs = inputs.into_iter();
    if let Some(first) = inputs.next() {
        black_box(run(first));
    }
    measured(&mut || {
        for input in inputs.by_ref() {
            black_box(run(black_box(input)));
        }
    });
}

/// Valgrind knows it by this name, and looks at nothing else.
#[inline(never)]
fn measured(run: &mut dyn FnMut()) {
    run();
}
