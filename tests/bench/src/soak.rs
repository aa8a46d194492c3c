//! Everything at once for a while: load, swaps, a collector that comes and goes,
//! hostile guests and hostile clients. At the end nothing may be missing.

mod enemies;
mod ledger;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::collector::Collector;
use crate::component::Guests;
use crate::connection::{Connection, Protocol};
use crate::load::{Load, LoadResult};
use crate::program::{Server, Serving};
use crate::report::{Check, Report};
use crate::request::Good;
use ledger::Ledger;

/// What the second half may hold more than the first.
const GROWTH: u64 = 16 * 1024 * 1024;
const PROGRESS: Duration = Duration::from_secs(10);
/// Longer than every bound that the server is told: whatever a half has begun
/// has ended.
const REST: Duration = Duration::from_secs(12);

/// Runs it for this long, what is left to chance being made of the seed.
pub async fn run(duration: Duration, seed: u64, server: &Server, guests: &Guests) -> Report {
    let mut report = Report::default();
    report.add("soak", soak(duration, seed, server.clone(), guests).await);
    report
}

async fn soak(
    duration: Duration,
    seed: u64,
    server: Server,
    guests: &Guests,
) -> anyhow::Result<Vec<Check>> {
    let ledger = Arc::new(Ledger::new());
    let seen = Arc::clone(&ledger);
    let collector = Collector::start(Box::new(move |span| seen.collected(span))).await?;
    let serving = server
        .flags([
            "--request-timeout=2s",
            "--header-timeout=2s",
            "--linger=1s",
            "--queue-timeout=2s",
            "--max-instances=64",
            "--max-memory=16MiB",
        ])
        .exporting_to(collector.address())
        .serve(guests.path())
        .await?;
    let mut soak = Soak {
        ledger,
        collector,
        serving,
        chance: Rng::with_seed(seed),
        begun: Instant::now(),
        swaps: 0,
        result: LoadResult::default(),
    };
    soak.warm_up(guests).await?;
    soak.rest().await;
    let descriptors = soak.serving.descriptors()?;
    let open = soak.serving.open_files()?;

    soak.half(duration / 2, guests, seed).await?;
    let first_rss = soak.serving.rss_bytes()?;
    soak.half(duration / 2, guests, seed.wrapping_add(1))
        .await?;
    let second_rss = soak.serving.rss_bytes()?;
    let descriptors_after = soak.serving.descriptors()?;
    let in_flight = Admin::at(soak.serving.admin).in_flight().await?;

    let mut checks = vec![
        Check::bytes_at_most(
            "memory after the second half, since the first",
            GROWTH,
            second_rss.cast_signed() - first_rss.cast_signed(),
        ),
        Check::count("descriptors", descriptors as u64, descriptors_after as u64),
        Check::count("requests in flight at the end", 0, in_flight),
    ];
    if descriptors_after != descriptors {
        let open_after = soak.serving.open_files()?;
        eprintln!("open at first: {open:?}\nopen at the end: {open_after:?}");
    }
    checks.extend(soak.finish().await?);
    Ok(checks)
}

/// A soak that is on.
struct Soak {
    ledger: Arc<Ledger>,
    collector: Collector,
    serving: Serving,
    chance: Rng,
    begun: Instant,
    swaps: u64,
    result: LoadResult,
}

impl Soak {
    /// Has as many guests at once as there are slots, each with all its memory:
    /// what a slot keeps it keeps from then on. One that panics has the server
    /// open its connection for logs, and from the first swap on it holds two
    /// components and, once they were asked, their memory's images.
    async fn warm_up(&self, guests: &Guests) -> anyhow::Result<()> {
        let admin = Admin::at(self.serving.admin);
        let address = self.serving.address;
        let mut connection = Connection::open(address, Protocol::Http1).await?;
        for component in [guests.two(), guests.one()] {
            admin.swap(component).await?;
            connection.get(Good::COUNTER.target).await?;
        }
        connection.get("/panic").await?;
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..64 {
            all.spawn(async move {
                let mut connection = Connection::open(address, Protocol::Http1).await?;
                connection.get("/memory").await
            });
        }
        while let Some(answer) = all.join_next().await {
            answer.context("a client broke down")??;
        }
        Ok(())
    }

    /// Runs everything for this long, and waits until it has ended.
    async fn half(&mut self, duration: Duration, guests: &Guests, seed: u64) -> anyhow::Result<()> {
        let ledger = Arc::clone(&self.ledger);
        let load = Load {
            // As fast as it gets would leave no room for the others.
            pause: Duration::from_millis(5),
            requests: Arc::new(Good::KINDS),
            on_answer: Some(Arc::new(move |answer| ledger.answered(answer))),
            http2: 8,
            ..Load::full_speed(self.serving.address)
        };
        let stop = CancellationToken::new();
        let enemies = enemies::start(self.serving.address, seed, &stop);
        let load = load.start();
        let mischief = self.mischief(Instant::now() + duration, guests).await;
        stop.cancel();
        self.result.add(load.stop().await?);
        enemies.join_all().await;
        mischief?;
        self.rest().await;
        Ok(())
    }

    /// Swaps every second or so, kills the collector now and then, and says how
    /// it goes.
    async fn mischief(&mut self, until: Instant, guests: &Guests) -> anyhow::Result<()> {
        let admin = Admin::at(self.serving.admin);
        let bad = guests.bad()?;
        let mut next_progress = Instant::now() + PROGRESS;
        let mut next_outage = Instant::now() + Duration::from_secs(self.chance.u64(5..15));
        let mut outage: Option<(Instant, Instant)> = None;
        while Instant::now() < until {
            let now = Instant::now();
            match outage {
                None if now >= next_outage => {
                    self.collector.kill().await;
                    outage = Some((
                        now,
                        now + Duration::from_millis(self.chance.u64(200..4_000)),
                    ));
                }
                Some((from, end)) if now >= end => {
                    self.collector.restart().await?;
                    self.ledger.outage(from, Instant::now());
                    outage = None;
                    next_outage = now + Duration::from_secs(self.chance.u64(20..40));
                }
                _ => {}
            }
            match self.chance.u8(0..8) {
                0 => {
                    let file = bad[self.chance.usize(..bad.len())].clone();
                    let (status, said) = admin.put(file).await?;
                    anyhow::ensure!(status == 422, "not refused: {status} {said}");
                }
                one if one % 2 == 1 => admin.swap(guests.one()).await?,
                _ => admin.swap(guests.two()).await?,
            }
            self.swaps += 1;
            if now >= next_progress {
                next_progress += PROGRESS;
                self.say()?;
            }
            tokio::time::sleep(Duration::from_millis(self.chance.u64(500..1_500))).await;
        }
        if let Some((from, _)) = outage {
            self.collector.restart().await?;
            self.ledger.outage(from, Instant::now());
        }
        Ok(())
    }

    fn say(&self) -> anyhow::Result<()> {
        eprintln!(
            "{:>5} s: {} answers, {} spans owed, {} swaps, {:.1} MiB, {} descriptors",
            self.begun.elapsed().as_secs(),
            self.ledger.balance().answers,
            self.ledger.owed(),
            self.swaps,
            self.serving.rss_bytes()? as f64 / 1024.0 / 1024.0,
            self.serving.descriptors()?,
        );
        Ok(())
    }

    async fn rest(&self) {
        tokio::time::sleep(REST).await;
    }

    /// Ends the server, which flushes its telemetry, and compares.
    async fn finish(self) -> anyhow::Result<Vec<Check>> {
        self.serving.stop().await?;
        let balance = self.ledger.balance();
        let lost = self.collector.lost_spans();
        let good = format!("good requests lost, of {}", balance.answers);
        let mut checks = vec![
            Check::count(&good, 0, self.result.failures),
            Check::count("answers that name no span", 0, balance.nameless),
            Check::count(
                "spans missing while the collector was up",
                0,
                balance.elsewhere,
            ),
            Check::holds(
                "spans missing around outages",
                "the server counted them as lost",
                match balance.around_outages <= lost {
                    true => Ok(format!("{} of {lost}", balance.around_outages)),
                    false => Err(anyhow::anyhow!("{} of {lost}", balance.around_outages)),
                },
            ),
        ];
        let reasons = self.result.reasons.into_iter();
        let reasons = reasons.chain(
            balance
                .first_elsewhere
                .map(|at| format!("the first span that is missing is of an answer at {at:?}")),
        );
        checks.extend(reasons.map(|reason| {
            Check::holds(
                "what went wrong",
                "nothing",
                Err(anyhow::Error::msg(reason)),
            )
        }));
        Ok(checks)
    }
}
