//! Load: connections that ask in a closed loop and check each answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use fanlight_runner::load::Latencies;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connection::{Answer, Connection, Protocol};
use crate::request::Good;

/// How many failures are kept with their words; the others are counted.
const KEPT_FAILURES: usize = 8;

/// Whether a connection is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    KeptAlive,
    NewEachTime,
}

/// What is done with each answer that was right.
pub(crate) type OnAnswer = Arc<dyn Fn(&Answer) + Send + Sync>;

/// A load to put on a server.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) reuse: Reuse,
    /// How long each connection waits between two requests.
    pub(crate) pause: Duration,
    /// Each connection asks for them in turn.
    pub(crate) requests: Arc<[Good]>,
    pub(crate) on_answer: Option<OnAnswer>,
    /// How many of the connections speak HTTP/2.
    pub(crate) http2: usize,
}

impl Load {
    /// As fast as 32 connections can, the shortest request.
    pub(crate) fn full_speed(address: SocketAddr) -> Self {
        Self {
            address,
            connections: 32,
            reuse: Reuse::KeptAlive,
            pause: Duration::ZERO,
            requests: Arc::new([Good::COUNTER]),
            on_answer: None,
            http2: 0,
        }
    }

    /// Puts it on the server for this long.
    pub(crate) async fn put_for(self, duration: Duration) -> anyhow::Result<LoadResult> {
        let running = self.start();
        tokio::time::sleep(duration).await;
        running.stop().await
    }

    /// Puts it on the server until it is told to stop.
    pub(crate) fn start(self) -> RunningLoad {
        let stop = CancellationToken::new();
        let mut connections = JoinSet::new();
        for at in 0..self.connections {
            let (load, stop) = (self.clone(), stop.clone());
            connections.spawn(async move { load.ask_until(&stop, at).await });
        }
        RunningLoad {
            stop,
            connections,
            begun: Instant::now(),
        }
    }

    async fn ask_until(&self, stop: &CancellationToken, at: usize) -> LoadResult {
        let protocol = match at < self.http2 {
            true => Protocol::Http2,
            false => Protocol::Http1,
        };
        let mut result = LoadResult::default();
        let mut connection = None;
        // Each begins with another request, so that the kinds are mixed.
        for request in self.requests.iter().cycle().skip(at) {
            if stop.is_cancelled() {
                break;
            }
            let begun = Instant::now();
            match self.ask(&mut connection, protocol, request).await {
                Ok(answer) => {
                    result.answered.push(begun.elapsed());
                    if let Some(on_answer) = &self.on_answer {
                        on_answer(&answer);
                    }
                }
                Err(error) => {
                    connection = None;
                    result.failed(format!("{error:#}"));
                    // A server that is gone is not asked in a tight loop.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            if self.reuse == Reuse::NewEachTime {
                connection = None;
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
        result
    }

    async fn ask(
        &self,
        connection: &mut Option<Connection>,
        protocol: Protocol,
        request: &Good,
    ) -> anyhow::Result<Answer> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(Connection::open(self.address, protocol).await?),
        };
        let answer = connection.get(request.target).await?;
        request.check(&answer)?;
        Ok(answer)
    }
}

/// A load that is on.
pub(crate) struct RunningLoad {
    stop: CancellationToken,
    connections: JoinSet<LoadResult>,
    begun: Instant,
}

impl RunningLoad {
    /// Lets each connection finish its request, and tells what came of all.
    pub(crate) async fn stop(mut self) -> anyhow::Result<LoadResult> {
        self.stop.cancel();
        let took = self.begun.elapsed();
        let mut all = LoadResult {
            took,
            ..LoadResult::default()
        };
        while let Some(one) = self.connections.join_next().await {
            all.add(one.context("a connection of the load broke down")?);
        }
        Ok(all)
    }
}

/// What came of a load.
#[derive(Debug, Default)]
pub(crate) struct LoadResult {
    /// From before a request was sent (where it had to be: before connecting)
    /// until the last byte of its right answer.
    pub(crate) answered: Vec<Duration>,
    /// Requests without a right answer.
    pub(crate) failures: u64,
    /// What went wrong with the first of them.
    pub(crate) reasons: Vec<String>,
    /// Until it was told to stop.
    pub(crate) took: Duration,
}

impl LoadResult {
    fn failed(&mut self, reason: String) {
        self.failures += 1;
        if self.reasons.len() < KEPT_FAILURES {
            self.reasons.push(reason);
        }
    }

    /// Takes another one in.
    pub(crate) fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.failures += other.failures;
        let room = KEPT_FAILURES - self.reasons.len().min(KEPT_FAILURES);
        self.reasons.extend(other.reasons.into_iter().take(room));
    }

    /// The latency that 99 of 100 do not exceed.
    ///
    /// # Errors
    /// Where nothing was answered.
    pub(crate) fn p99(&self) -> anyhow::Result<Duration> {
        let latencies: Latencies = self.answered.iter().copied().collect();
        latencies
            .percentile(99)
            .with_context(|| format!("no request was answered: {:?}", self.reasons))
    }

    /// Right answers a second.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
    pub(crate) fn per_second(&self) -> f64 {
        self.answered.len() as f64 / self.took.as_secs_f64()
    }

    /// # Errors
    /// Where a request failed.
    pub(crate) fn demand_no_failure(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.failures == 0,
            "{} requests failed, as {:?}",
            self.failures,
            self.reasons
        );
        Ok(())
    }
}

/// The middle one, or the mean of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
