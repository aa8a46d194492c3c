//! What was measured in rounds, and how far the rounds are apart.

use std::fmt;

use serde::Serialize;

use super::steady::TakeIn;
use crate::load::median;

/// What one round of one server came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figures {
    /// Right answers a second.
    pub(crate) per_second: f64,
    /// Microseconds from a request to its answer that half of them keep to.
    pub(crate) p50_us: f64,
    /// Microseconds that 99 of 100 keep to.
    pub(crate) p99_us: f64,
    /// Microseconds of the server's processor time for each request, its
    /// telemetry on the way to the sink included.
    pub(crate) cpu_us: f64,
    /// The server's memory after the round.
    pub(crate) rss_bytes: u64,
}

/// One of the figures.
pub(crate) type Figure = fn(&Figures) -> f64;
pub(crate) const RATE: Figure = |it| it.per_second;
pub(crate) const P50: Figure = |it| it.p50_us;
pub(crate) const P99: Figure = |it| it.p99_us;
pub(crate) const CPU: Figure = |it| it.cpu_us;
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
pub(crate) const RSS: Figure = |it| it.rss_bytes as f64;

/// What makes an interquartile range a notch: see [`spread`].
const NOTCH: f64 = 1.57;

/// What a server's figure is beside another's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    /// See [`spread`].
    pub(crate) spread: f64,
}

/// All rounds of one server.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Rounds(Vec<Figures>);

impl Rounds {
    pub(crate) fn push(&mut self, figures: Figures) {
        self.0.push(figures);
    }

    pub(crate) fn median(&self, figure: Figure) -> f64 {
        median(self.of(figure))
    }

    /// How far a figure is apart: see [`spread`].
    pub(crate) fn spread(&self, figure: Figure) -> f64 {
        spread(self.of(figure))
    }

    /// What a figure is beside another server's, round by round: what a round has
    /// in common for all, as that the machine is slow for a while, is not in it.
    pub(crate) fn beside(&self, other: &Self, figure: Figure) -> Ratio {
        let pairs = self.of(figure).into_iter().zip(other.of(figure));
        let ratios: Vec<_> = pairs.map(|(ours, theirs)| ours / theirs).collect();
        Ratio {
            median: median(ratios.clone()),
            spread: spread(ratios),
        }
    }

    fn of(&self, figure: Figure) -> Vec<f64> {
        self.0.iter().map(figure).collect()
    }
}

impl TakeIn for Rounds {
    fn take_in(&mut self, more: Self) {
        self.0.take_in(more.0);
    }
}

impl FromIterator<Figures> for Rounds {
    fn from_iter<T: IntoIterator<Item = Figures>>(figures: T) -> Self {
        Self(figures.into_iter().collect())
    }
}

/// The spread of a median: how far from it the true one may be, as a part of it.
/// It is the notch of a box plot, 1.57 times the interquartile range by the root
/// of the number of values: medians whose notches do not overlap differ, at a
/// level of 95% (McGill, Tukey and Larsen, Variations of Box Plots, 1978). One
/// round that something disturbed does not count in it; a machine that is now
/// fast and now slow does, and asks for more rounds.
///
/// Quartiles lie between two values in proportion, as R and NumPy have them by
/// default. Not a number where there is no value.
#[expect(clippy::cast_precision_loss, reason = "the length of a short list")]
pub(crate) fn spread(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let range = quantile(&values, 0.75) - quantile(&values, 0.25);
    NOTCH * range / (values.len() as f64).sqrt() / quantile(&values, 0.5)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a short list"
)]
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(low), Some(high)) => low + (high - low) * place.fract(),
        _ => f64::NAN,
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            per_second,
            p50_us,
            p99_us,
            cpu_us,
            rss_bytes,
        } = self;
        let rss = rss_bytes / 1024 / 1024;
        write!(
            f,
            "{per_second:.0}/s, p50 {p50_us:.0} us, p99 {p99_us:.0} us, cpu {cpu_us:.1} us, \
             rss {rss} MiB"
        )
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let medians = Figures {
            per_second: self.median(RATE),
            p50_us: self.median(P50),
            p99_us: self.median(P99),
            cpu_us: self.median(CPU),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it was a count of bytes"
            )]
            rss_bytes: self.median(RSS) as u64,
        };
        write!(f, "{medians}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, NOTCH, P99, RATE, Rounds, TakeIn as _, spread};

    #[test]
    fn the_spread_is_that_of_the_middle_half_by_the_root_of_their_number() {
        // The quartiles of five are the second and the fourth.
        let five = spread(vec![100.0, 90.0, 110.0, 1.0, 900.0]);
        assert_eq!(five, NOTCH * 20.0 / 5_f64.sqrt() / 100.0);
        assert_eq!(spread(vec![5.0, 5.0, 5.0]), 0.0);
        // Between two of four, in proportion.
        assert_eq!(spread(vec![1.0, 2.0, 3.0, 4.0]), NOTCH * 1.5 / 2.0 / 2.5);
        assert!(spread(Vec::new()).is_nan());
    }

    #[test]
    fn one_disturbed_round_of_five_does_not_count() {
        assert!(spread(vec![100.0, 101.0, 99.0, 100.0, 10.0]) < 0.02);
    }

    #[test]
    fn more_rounds_that_are_no_further_apart_make_a_median_surer() {
        let figures = |per_second| Figures {
            per_second,
            p50_us: 0.0,
            p99_us: 0.0,
            cpu_us: 0.0,
            rss_bytes: 0,
        };
        let attempt = || -> Rounds {
            let rates = [90.0, 95.0, 100.0, 105.0, 110.0];
            rates.into_iter().map(figures).collect()
        };
        let mut rounds = attempt();
        let before = rounds.spread(RATE);
        rounds.take_in(attempt());
        rounds.take_in(attempt());
        assert!(rounds.spread(RATE) < before);
        assert_eq!(rounds.median(RATE), 100.0);
    }

    #[test]
    fn a_machine_that_is_slow_for_a_round_is_slow_for_both() {
        let rounds = |rates: [f64; 3]| -> Rounds {
            let figures = rates.map(|per_second| Figures {
                per_second,
                p50_us: 0.0,
                p99_us: 0.0,
                cpu_us: 0.0,
                rss_bytes: 0,
            });
            figures.into_iter().collect()
        };
        let (ours, theirs) = (rounds([10.0, 5.0, 20.0]), rounds([40.0, 20.0, 80.0]));
        let ratio = ours.beside(&theirs, RATE);
        assert_eq!((ratio.median, ratio.spread), (0.25, 0.0));
        assert!(ours.spread(RATE) > 0.5);
    }

    #[test]
    fn each_figure_has_a_median_of_its_own() {
        let rounds: Rounds = [(1.0, 30.0), (2.0, 10.0), (3.0, 20.0)]
            .map(|(per_second, p99_us)| Figures {
                per_second,
                p50_us: 0.0,
                p99_us,
                cpu_us: 0.0,
                rss_bytes: 0,
            })
            .into_iter()
            .collect();
        assert_eq!(rounds.median(RATE), 2.0);
        assert_eq!(rounds.median(P99), 20.0);
        assert_eq!(rounds.spread(RATE), NOTCH * 1.0 / 3_f64.sqrt() / 2.0);
    }
}
