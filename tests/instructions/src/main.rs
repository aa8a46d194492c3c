//! Runs one piece of a request under Valgrind, which counts its instructions: `cargo
//! xtask instructions`. Without an argument it lists the pieces.

use std::hint::black_box;

use anyhow::{bail, ensure};
use fanlight_server::benchmarks::{ServerSpans, SpanEncoding, TraceContext};

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
