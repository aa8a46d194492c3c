//! Decides which traces are kept when more arrive than a person can look at.
//!
//! The decision depends on the trace's id, so that all spans of a trace share it. The
//! work of one second is bounded, whatever arrives: what is passed over is counted.

use std::time::{Duration, Instant};

use crate::store::ids::mixed;

const WINDOW: Duration = Duration::from_secs(1);
/// Parts of the budget that failed and slow traces may take beside it.
const INTERESTING_SHARE: u64 = 2;
/// The share of admitted traces at least halves or doubles from one window to the next.
const STEP: u64 = 2;

/// What one window has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    seen: u64,
    admitted: u64,
    interesting: u64,
}

/// Admits traces, up to a number of spans a second.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Spans a second.
    budget: u64,
    /// One in this number of traces is admitted.
    one_in: u64,
    window_began: Option<Instant>,
    window: Counts,
}

impl Admission {
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            budget: budget.max(1),
            one_in: 1,
            window_began: None,
            window: Counts::default(),
        }
    }

    /// Counts spans that have arrived, and sets the share of traces that is admitted.
    pub(crate) fn arrived(&mut self, spans: u64, now: Instant) {
        let began = *self.window_began.get_or_insert(now);
        let elapsed = now.saturating_duration_since(began);
        if elapsed >= WINDOW {
            // A window without spans between the two means that the load is gone.
            let needed = match elapsed < 2 * WINDOW {
                true => self.window.seen.div_ceil(self.budget).max(1),
                false => 1,
            };
            self.one_in = needed.max(self.one_in / STEP).max(1);
            self.window = Counts::default();
            self.window_began = Some(now);
        }
        self.window.seen += spans;
        let needed = self.window.seen.div_ceil(self.budget).max(1);
        self.one_in = self.one_in.max(needed);
    }

    /// One in this number of traces is admitted now.
    pub(crate) fn one_in(&self) -> u64 {
        self.one_in
    }

    /// Whether a trace belongs to the share that is admitted.
    pub(crate) fn is_sampled(&self, trace_id: u128) -> bool {
        self.one_in == 1 || mixed(trace_id, 0) <= u64::MAX / self.one_in
    }

    /// Takes room for a span of a trace in the share, or of one that is stored.
    pub(crate) fn take(&mut self) -> bool {
        let fits = self.window.admitted < self.budget.saturating_mul(2);
        self.window.admitted += u64::from(fits);
        fits
    }

    /// Takes room for a span of a failed or slow trace.
    pub(crate) fn take_interesting(&mut self) -> bool {
        let fits = self.window.interesting < self.budget.div_ceil(INTERESTING_SHARE);
        self.window.interesting += u64::from(fits);
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Admission;

    #[test]
    fn a_light_load_is_admitted_whole() {
        let mut admission = Admission::new(100);
        let now = Instant::now();
        for second in 0..5 {
            admission.arrived(100, now + Duration::from_secs(second));
            assert_eq!(admission.one_in(), 1);
            assert!((0..1000).all(|id| admission.is_sampled(id)));
        }
    }

    #[test]
    fn a_heavy_load_is_admitted_in_part_and_a_light_one_whole_again() {
        let mut admission = Admission::new(100);
        let now = Instant::now();
        for second in 0..3 {
            admission.arrived(2000, now + Duration::from_secs(second));
        }
        assert_eq!(admission.one_in(), 20);
        let sampled = (0..20_000).filter(|id| admission.is_sampled(*id)).count();
        assert!((800..1200).contains(&sampled), "{sampled}");
        for second in 3..12 {
            admission.arrived(1, now + Duration::from_secs(second));
        }
        assert_eq!(admission.one_in(), 1);
    }

    #[test]
    fn the_work_of_a_second_is_bounded() {
        let mut admission = Admission::new(100);
        admission.arrived(100_000, Instant::now());
        let admitted = (0..100_000).filter(|_| admission.take()).count();
        let interesting = (0..100_000)
            .filter(|_| admission.take_interesting())
            .count();
        assert_eq!((admitted, interesting), (200, 50));
    }
}
