//! Many requests by several workers. Never more under way than there are workers.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinSet;

use crate::base_url::BaseUrl;
use crate::client::{Answer, Client};
use crate::expected::Endpoint;

/// A load to put on a service.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many requests in all.
    pub requests: NonZeroU32,
    /// How many at once.
    pub workers: NonZeroUsize,
}

impl Load {
    /// Sends the requests to the endpoints in turn; calls `answered` after each.
    ///
    /// # Errors
    /// When a worker panics; what goes wrong with a request is in its result.
    pub async fn put(
        self,
        url: &BaseUrl,
        endpoints: &[Endpoint],
        answered: impl Fn() + Clone + Send + 'static,
    ) -> anyhow::Result<LoadResult> {
        let endpoints: Arc<[Endpoint]> = endpoints.into();
        let next = Arc::new(AtomicUsize::new(0));
        let requests = self.requests.get() as usize;
        let client = Client::new();
        let begun = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..self.workers.get().min(requests) {
            let (client, url) = (client.clone(), url.clone());
            let (next, endpoints) = (Arc::clone(&next), Arc::clone(&endpoints));
            let answered = answered.clone();
            workers.spawn(async move {
                let mut results = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= requests {
                        return results;
                    }
                    let endpoint = at % endpoints.len();
                    results.push(RequestResult {
                        endpoint,
                        answer: endpoints[endpoint].ask(&client, &url).await,
                    });
                    answered();
                }
            });
        }
        let mut results = Vec::with_capacity(requests);
        while let Some(worker) = workers.join_next().await {
            results.extend(worker.context("a worker broke down")?);
        }
        Ok(LoadResult {
            requests: results,
            took: begun.elapsed(),
        })
    }
}

/// What came of a load.
#[derive(Debug)]
pub struct LoadResult {
    /// One for each request, in no order.
    pub requests: Vec<RequestResult>,
    /// From the first request to the last answer.
    pub took: Duration,
}

/// What came of one request.
#[derive(Debug)]
pub struct RequestResult {
    /// The endpoint's place in the list that was given.
    pub endpoint: usize,
    /// The answer, or why there is none.
    pub answer: anyhow::Result<Answer>,
}

/// Latencies in order.
#[derive(Debug)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Takes the latency that `percent` of all do not exceed (nearest rank);
    /// `None` when there are none.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<Duration> {
        let rank = (self.0.len() * usize::from(percent.min(100))).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied()
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        let mut latencies: Vec<Duration> = latencies.into_iter().collect();
        latencies.sort_unstable();
        Self(latencies)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Latencies;

    fn percentiles(latencies: impl IntoIterator<Item = u64>) -> [Option<u64>; 5] {
        let latencies: Latencies = latencies.into_iter().map(Duration::from_millis).collect();
        [0, 50, 90, 99, 100].map(|percent| {
            latencies
                .percentile(percent)
                .map(|it| it.as_millis() as u64)
        })
    }

    #[test]
    fn a_percentile_is_a_latency_that_occurred() {
        assert_eq!(percentiles((1..=100).rev()), [1, 50, 90, 99, 100].map(Some));
        assert_eq!(percentiles(1..=30), [1, 15, 27, 30, 30].map(Some));
        assert_eq!(percentiles([7, 3]), [3, 3, 7, 7, 7].map(Some));
        assert_eq!(percentiles([5]), [5; 5].map(Some));
    }

    #[test]
    fn of_nothing_there_is_no_percentile() {
        assert_eq!(percentiles([]), [None; 5]);
    }
}
