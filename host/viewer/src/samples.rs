//! What the host's metrics were over the last minutes: counts become rates.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::status::{Histogram, MetricsStatus};

/// The time between two samples.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);
/// Ten minutes.
const REMEMBERED: usize = 300;

/// The host's metrics at one time.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: SystemTime,
    requests: u64,
    errors: u64,
    duration: Histogram,
    instances: u64,
    resident_bytes: u64,
}

/// What happened between two samples, and what was so at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interval {
    /// Requests a second.
    pub(crate) requests: f64,
    /// Failed requests a second.
    pub(crate) errors: f64,
    /// In seconds; `None` where there was no request.
    pub(crate) median: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) instances: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) at: Option<SystemTime>,
}

/// Samples of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<VecDeque<Sample>>);

impl Samples {
    pub(crate) fn add(&self, metrics: &MetricsStatus, at: SystemTime) {
        let mut samples = self.lock();
        samples.push_back(Sample {
            at,
            requests: metrics.requests,
            errors: metrics.errors,
            duration: metrics.duration.clone(),
            instances: metrics.instances,
            resident_bytes: metrics.resident_bytes,
        });
        if samples.len() > REMEMBERED {
            samples.pop_front();
        }
    }

    /// What happened between each two of them, the oldest first.
    pub(crate) fn intervals(&self) -> Vec<Interval> {
        let samples = self.lock();
        let pairs = samples.iter().zip(samples.iter().skip(1));
        pairs
            .map(|(before, after)| interval(before, after))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        // Nothing under the lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn interval(before: &Sample, after: &Sample) -> Interval {
    let elapsed = after.at.duration_since(before.at).unwrap_or(INTERVAL);
    let rate = |before: u64, after: u64| {
        after.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(0.001)
    };
    let duration = after.duration.since(&before.duration);
    Interval {
        requests: rate(before.requests, after.requests),
        errors: rate(before.errors, after.errors),
        median: duration.percentile(0.5),
        p95: duration.percentile(0.95),
        p99: duration.percentile(0.99),
        instances: after.instances as f64,
        resident_bytes: after.resident_bytes as f64,
        at: Some(after.at),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{REMEMBERED, Samples};
    use crate::status::{Histogram, MetricsStatus};

    #[test]
    fn counts_become_rates_and_percentiles() {
        let samples = Samples::default();
        let at = SystemTime::UNIX_EPOCH;
        let metrics = |requests, counts: [u64; 3]| MetricsStatus {
            requests,
            duration: Histogram {
                bounds: vec![0.1, 0.2],
                counts: counts.to_vec(),
                sum: 0.0,
            },
            ..MetricsStatus::default()
        };
        samples.add(&metrics(100, [100, 0, 0]), at);
        samples.add(&metrics(120, [110, 10, 0]), at + Duration::from_secs(2));
        let [only] = &samples.intervals()[..] else {
            panic!("there is one interval")
        };
        assert_eq!((only.requests, only.errors), (10.0, 0.0));
        assert_eq!(only.median, Some(0.1));
        assert!((only.p95.unwrap() - 0.19).abs() < 1e-9);
        for _ in 0..2 * REMEMBERED {
            samples.add(&metrics(120, [110, 10, 0]), at);
        }
        assert_eq!(samples.intervals().len(), REMEMBERED - 1);
        assert_eq!(samples.intervals()[0].median, None);
    }
}
