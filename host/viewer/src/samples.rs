//! What the host's metrics were over the last minutes: counts become rates.
//!
//! A sample is taken where the metrics page is rendered, and never else: a host whose
//! pages are closed does not wake for them. Counts are cumulative, so that what was
//! between two samples is known as an average, however long it took.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::status::{Histogram, MetricsStatus};

/// The time after which an open page asks for the next sample.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);
/// Several pages that are open share their samples.
const LEAST: Duration = Duration::from_secs(1);
/// A longer time without a sample is one in which the page was closed.
const GAP: Duration = Duration::from_secs(10);
/// The time that plots cover.
const WINDOW: Duration = Duration::from_secs(600);
/// Those of a window at the shortest distance.
const REMEMBERED: usize = 601;

/// The host's metrics at one time.
#[derive(Clone, Debug)]
struct Sample {
    at: SystemTime,
    requests: u64,
    errors: u64,
    duration: Histogram,
    instances: u64,
    resident_bytes: u64,
}

/// What happened between two samples, and what was so at the end.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    pub(crate) from: SystemTime,
    pub(crate) to: SystemTime,
    /// Requests a second.
    pub(crate) requests: f64,
    /// Failed requests a second.
    pub(crate) errors: f64,
    /// In seconds; `None` where there was no request.
    pub(crate) median: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// `None` for a time in which the page was closed: its end says nothing of the rest.
    pub(crate) instances: Option<f64>,
    pub(crate) resident_bytes: Option<f64>,
}

/// Samples of the last minutes.
#[derive(Debug)]
pub(crate) struct Samples(Mutex<VecDeque<Sample>>);

impl Samples {
    /// Samples of a host that starts now: it has counted nothing.
    pub(crate) fn new(at: SystemTime) -> Self {
        let nothing = Sample::new(&MetricsStatus::default(), at);
        Self(Mutex::new(VecDeque::from([nothing])))
    }

    pub(crate) fn add(&self, metrics: &MetricsStatus, at: SystemTime) {
        let mut samples = self.lock();
        // A clock that was set back starts anew, as a page does that is opened.
        samples.retain(|it| it.at <= at);
        // The first look at a host has something to compare with, however young that is.
        let is_early = samples.len() > 1
            && samples
                .back()
                .and_then(|last| at.duration_since(last.at).ok())
                .is_some_and(|elapsed| elapsed < LEAST);
        if is_early {
            return;
        }
        samples.push_back(Sample::new(metrics, at));
        // The one before the window says what the first interval began with.
        let is_out = |it: &Sample| at.duration_since(it.at).is_ok_and(|it| it >= WINDOW);
        while samples.len() > REMEMBERED || samples.get(1).is_some_and(is_out) {
            samples.pop_front();
        }
    }

    /// What happened between each two samples, the oldest first, within the window.
    pub(crate) fn intervals(&self) -> Vec<Interval> {
        let samples = self.lock();
        let begin = samples.back().and_then(|it| it.at.checked_sub(WINDOW));
        let pairs = samples.iter().zip(samples.iter().skip(1));
        let mut intervals: Vec<_> = pairs
            .map(|(before, after)| Interval::between(before, after))
            .collect();
        drop(samples);
        if let (Some(first), Some(begin)) = (intervals.first_mut(), begin) {
            first.from = first.from.max(begin);
        }
        intervals
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        // Nothing under the lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sample {
    fn new(metrics: &MetricsStatus, at: SystemTime) -> Self {
        Self {
            at,
            requests: metrics.requests,
            errors: metrics.errors,
            duration: metrics.duration.clone(),
            instances: metrics.instances,
            resident_bytes: metrics.resident_bytes,
        }
    }
}

impl Interval {
    fn between(before: &Sample, after: &Sample) -> Self {
        let elapsed = after.at.duration_since(before.at).unwrap_or(INTERVAL);
        let rate = |before: u64, after: u64| {
            after.saturating_sub(before) as f64 / elapsed.as_secs_f64().max(0.001)
        };
        let level = |value: u64| (elapsed <= GAP).then_some(value as f64);
        let duration = after.duration.since(&before.duration);
        Self {
            from: before.at,
            to: after.at,
            requests: rate(before.requests, after.requests),
            errors: rate(before.errors, after.errors),
            median: duration.percentile(0.5),
            p95: duration.percentile(0.95),
            p99: duration.percentile(0.99),
            instances: level(after.instances),
            resident_bytes: level(after.resident_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{REMEMBERED, Samples, WINDOW};
    use crate::status::{Histogram, MetricsStatus};

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn after(seconds: u64) -> SystemTime {
        START + Duration::from_secs(seconds)
    }

    fn metrics(requests: u64, counts: [u64; 3]) -> MetricsStatus {
        MetricsStatus {
            requests,
            duration: Histogram {
                bounds: vec![0.1, 0.2],
                counts: counts.to_vec(),
                sum: 0.0,
            },
            instances: 3,
            ..MetricsStatus::default()
        }
    }

    #[test]
    fn counts_become_rates_and_percentiles() {
        let samples = Samples::new(START);
        samples.add(&metrics(100, [100, 0, 0]), after(2));
        samples.add(&metrics(120, [110, 10, 0]), after(4));
        let [_, last] = &samples.intervals()[..] else {
            panic!("there are two intervals")
        };
        assert_eq!((last.requests, last.errors), (10.0, 0.0));
        assert_eq!((last.from, last.to), (after(2), after(4)));
        assert_eq!(last.median, Some(0.1));
        assert!((last.p95.unwrap() - 0.19).abs() < 1e-9);
        assert_eq!(last.instances, Some(3.0));
        samples.add(&metrics(120, [110, 10, 0]), after(6));
        assert_eq!(samples.intervals()[2].median, None);
    }

    #[test]
    fn a_time_in_which_no_page_was_open_is_one_average() {
        let samples = Samples::new(START);
        samples.add(&metrics(500, [250, 250, 0]), after(50));
        let [only] = &samples.intervals()[..] else {
            panic!("there is one interval")
        };
        assert_eq!((only.requests, only.median), (10.0, Some(0.1)));
        assert_eq!((only.instances, only.resident_bytes), (None, None));
    }

    #[test]
    fn plots_cover_the_last_minutes_also_where_samples_are_older() {
        let samples = Samples::new(START);
        samples.add(&metrics(7200, [0, 0, 0]), after(3600));
        let [only] = &samples.intervals()[..] else {
            panic!("there is one interval")
        };
        assert_eq!(only.requests, 2.0);
        assert_eq!(only.from, after(3600) - WINDOW);
        for second in 3601..5000 {
            samples.add(&metrics(7200, [0, 0, 0]), after(second));
        }
        let intervals = samples.intervals();
        assert!(intervals.len() < REMEMBERED);
        assert_eq!(intervals[0].from, after(4999) - WINDOW);
    }

    #[test]
    fn samples_that_come_at_one_time_are_one_and_a_clock_may_be_set_back() {
        let samples = Samples::new(START);
        for _ in 0..3 {
            samples.add(&metrics(1, [1, 0, 0]), after(100));
        }
        assert_eq!(samples.intervals().len(), 1);
        samples.add(&metrics(2, [2, 0, 0]), after(40));
        assert_eq!(samples.intervals().len(), 1);
        assert_eq!(samples.intervals()[0].to, after(40));
    }
}
