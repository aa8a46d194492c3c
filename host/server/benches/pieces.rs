//! Times the hot pieces of a request, one by one: `cargo xtask pieces`.
//!
//! xtask builds the components and names them in variables. Without them the
//! benchmark skips what needs a guest, and says so.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use fanlight_server::benchmarks::{
    AttributeConversion, Requests, SPANS_A_ROUND, ServerSpans, SpanEncoding, TraceContext,
};
use http::{StatusCode, Uri};
use tokio::runtime::Runtime;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    trace_context(&mut criterion);
    attributes(&mut criterion);
    server_span(&mut criterion)?;
    span_encoding(&mut criterion)?;
    match (component("USUAL"), component("FAULTS")) {
        (Some(usual), Some(faults)) => {
            request(&mut criterion, usual)?;
            guest_spans(&mut criterion, faults)?;
        }
        _ => eprintln!("SKIPPED: requests and guests' spans: cargo xtask pieces builds guests"),
    }
    criterion.final_summary();
    Ok(())
}

fn component(name: &str) -> Option<PathBuf> {
    std::env::var_os(format!("FANLIGHT_BENCH_{name}")).map(PathBuf::from)
}

fn trace_context(criterion: &mut Criterion) {
    let named = TraceContext::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    criterion.bench_function("traceparent", |bencher| {
        bencher.iter(|| black_box(&named).extract());
    });
}

fn attributes(criterion: &mut Criterion) {
    let conversion = AttributeConversion::default();
    let mut group = criterion.benchmark_group("attributes");
    for count in [1_usize, 10, 100] {
        group.throughput(Throughput::Elements(count as u64));
        let sent = conversion.sent(count);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let convert = |sent| conversion.convert(black_box(sent));
            bencher.iter_batched(|| sent.clone(), convert, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn server_span(criterion: &mut Criterion) -> anyhow::Result<()> {
    let spans = ServerSpans::new()?;
    criterion.bench_function("server span", |bencher| {
        bencher.iter_custom(|count| {
            in_rounds(count, SPANS_A_ROUND, |round| {
                let begun = Instant::now();
                for _ in 0..round {
                    spans.start_and_end();
                }
                let elapsed = begun.elapsed();
                assert_eq!(spans.discard(), round, "a span was lost");
                elapsed
            })
        });
    });
    Ok(())
}

fn span_encoding(criterion: &mut Criterion) -> anyhow::Result<()> {
    /// As many as there are in a batch, about: three for each.
    const REQUESTS: u64 = 170;
    let encoding = SpanEncoding::new()?;
    let batch = encoding.batch(REQUESTS);
    let mut group = criterion.benchmark_group("span encoding");
    group.throughput(Throughput::Elements(REQUESTS * 3));
    group.bench_function("batch", |bencher| {
        let encode = |batch| encoding.encode(black_box(batch));
        bencher.iter_batched(|| batch.clone(), encode, BatchSize::LargeInput);
    });
    group.finish();
    Ok(())
}

/// Instantiates, runs, drops: a whole request but for its connection.
fn request(criterion: &mut Criterion, component: PathBuf) -> anyhow::Result<()> {
    let asked = Asked::new(component, "/")?;
    ensure!(asked.spans_each == 3, "{} spans", asked.spans_each);
    criterion.bench_function("request", |bencher| {
        bencher.iter_custom(|count| asked.measure(count));
    });
    Ok(())
}

/// The same with a guest that makes spans: what one costs is the slope.
fn guest_spans(criterion: &mut Criterion, component: PathBuf) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("guest spans");
    for count in [0_usize, 10, 100] {
        let target = format!("/flood/spans?count={count}&bytes=16");
        let asked = Asked::new(component.clone(), &target)?;
        ensure!(asked.spans_each == count + 1, "{} spans", asked.spans_each);
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_custom(|count| asked.measure(count));
        });
    }
    group.finish();
    Ok(())
}

/// A component that is asked the same all the time, on this thread alone.
struct Asked {
    requests: Requests,
    target: Uri,
    runtime: Runtime,
    spans_each: usize,
}

impl Asked {
    fn new(component: PathBuf, target: &str) -> anyhow::Result<Self> {
        let requests = Requests::serving(&component)
            .with_context(|| format!("cannot serve {}", component.display()))?;
        let target = target.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (status, _) = runtime.block_on(requests.get(&target))?;
        ensure!(status == StatusCode::OK, "{target}: {status}");
        Ok(Self {
            spans_each: requests.discard_spans(),
            requests,
            target,
            runtime,
        })
    }

    fn measure(&self, count: u64) -> Duration {
        in_rounds(count, SPANS_A_ROUND / self.spans_each, |round| {
            let begun = Instant::now();
            let answered = self.runtime.block_on(async {
                let mut answered = 0;
                for _ in 0..round {
                    let answer = self.requests.get(&self.target).await;
                    answered += usize::from(answer.is_ok_and(|(status, _)| status.is_success()));
                }
                answered
            });
            let elapsed = begun.elapsed();
            assert_eq!(answered, round, "a request failed");
            let spans = self.requests.discard_spans();
            assert_eq!(spans, round * self.spans_each, "a span was lost");
            elapsed
        })
    }
}

/// Adds up what rounds of at most `longest` runs take; they clean up behind them
/// out of the measured time.
fn in_rounds(count: u64, longest: usize, mut run: impl FnMut(usize) -> Duration) -> Duration {
    let mut left = count;
    let mut elapsed = Duration::ZERO;
    while left > 0 {
        let round = left.min(longest as u64);
        elapsed += run(usize::try_from(round).unwrap_or(longest));
        left -= round;
    }
    elapsed
}
