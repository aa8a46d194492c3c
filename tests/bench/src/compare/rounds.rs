//! What was measured in rounds, and how far the rounds are apart.

use std::fmt;
use std::time::Duration;

use crate::load::median;

/// What one round of one server came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Processor time of the server for each request.
    pub(crate) cpu_a_request: Duration,
    pub(crate) rss_bytes: u64,
}

/// All rounds of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<Figures>);

impl Rounds {
    pub(crate) fn push(&mut self, figures: Figures) {
        self.0.push(figures);
    }

    /// The median rate.
    pub(crate) fn per_second(&self) -> f64 {
        median(self.of(|figures| figures.per_second))
    }

    /// The median of the rounds' p99.
    pub(crate) fn p99(&self) -> Duration {
        Duration::from_secs_f64(median(self.of(|figures| figures.p99.as_secs_f64())))
    }

    /// The median cost.
    pub(crate) fn cpu_a_request(&self) -> Duration {
        let costs = self.of(|figures| figures.cpu_a_request.as_secs_f64());
        Duration::from_secs_f64(median(costs))
    }

    /// How far the middle half of the rates is apart, as a part of the median.
    pub(crate) fn spread(&self) -> f64 {
        let mut rates = self.of(|figures| figures.per_second);
        rates.sort_by(f64::total_cmp);
        let quarter = rates.len() / 4;
        match (rates.get(quarter), rates.get(rates.len() - 1 - quarter)) {
            (Some(low), Some(high)) => (high - low) / median(rates.clone()),
            _ => f64::NAN,
        }
    }

    fn of(&self, figure: impl Fn(&Figures) -> f64) -> Vec<f64> {
        self.0.iter().map(figure).collect()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:7.0}/s  p50 {:6.0} us  p99 {:6.0} us  cpu {:5.1} us  rss {:4} MiB",
            self.per_second,
            self.p50.as_secs_f64() * 1e6,
            self.p99.as_secs_f64() * 1e6,
            self.cpu_a_request.as_secs_f64() * 1e6,
            self.rss_bytes / 1024 / 1024
        )
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:7.0}/s (spread {:.1}%)  p99 {:6.0} us  cpu {:5.1} us",
            self.per_second(),
            self.spread() * 100.0,
            self.p99().as_secs_f64() * 1e6,
            self.cpu_a_request().as_secs_f64() * 1e6
        )
    }
}
