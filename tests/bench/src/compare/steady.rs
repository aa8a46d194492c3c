//! When a median may be believed: where the rounds are too far apart for their
//! number more of them are run, and in the end the benchmark says that it does
//! not know.

use std::collections::BTreeMap;

use crate::report::Check;

/// The largest spread of a median (`rounds::spread`) that a bar rests on.
pub(crate) const STEADY: f64 = 0.10;

/// A median by its name, and its spread.
pub(crate) type Spread = (String, f64);

/// What is measured again and again.
pub(crate) trait TakeIn {
    /// Adds what was measured later.
    fn take_in(&mut self, more: Self);
}

impl<T> TakeIn for Vec<T> {
    fn take_in(&mut self, more: Self) {
        self.extend(more);
    }
}

impl<K: Ord, V: TakeIn> TakeIn for BTreeMap<K, V> {
    fn take_in(&mut self, more: Self) {
        for (key, more) in more {
            if let Some(present) = self.get_mut(&key) {
                present.take_in(more);
            } else {
                self.insert(key, more);
            }
        }
    }
}

/// Measures until every spread is within [`STEADY`], and again at most so many
/// times. All that was measured counts: to keep the steadiest attempt would be
/// to choose.
///
/// Gives it, and the check that it was steady.
///
/// # Errors
/// Where it cannot be measured.
pub(crate) async fn until_steady<T: TakeIn>(
    part: &str,
    again: usize,
    mut measure: impl AsyncFnMut() -> anyhow::Result<T>,
    spreads: impl Fn(&T) -> Vec<Spread>,
) -> anyhow::Result<(T, Check)> {
    let mut measured = measure().await?;
    let mut attempt = 0;
    loop {
        let (name, widest) = widest(spreads(&measured));
        // What is not a number is not steady.
        let is_steady = widest <= STEADY;
        if is_steady || attempt == again {
            let check = Check::spread(part, STEADY, &name, widest, attempt);
            return Ok((measured, check));
        }
        eprintln!(
            "  not steady: the median of {name} is sure to {:.0}%; again",
            widest * 100.0
        );
        measured.take_in(measure().await?);
        attempt += 1;
    }
}

fn widest(spreads: Vec<Spread>) -> Spread {
    let widest = spreads.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    widest.unwrap_or_else(|| ("nothing".to_owned(), f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, TakeIn as _, until_steady, widest};

    async fn attempts(again: usize, spreads: &[f64]) -> (Vec<f64>, bool) {
        let mut attempts = spreads.iter().copied();
        let (all, check) = until_steady(
            "rounds",
            again,
            async || Ok(Vec::from_iter(attempts.next())),
            |all: &Vec<f64>| {
                let last = all.last().copied().unwrap_or_default();
                vec![("a".to_owned(), 0.01), ("b".to_owned(), last)]
            },
        )
        .await
        .unwrap();
        (all, check.passed())
    }

    #[tokio::test]
    async fn what_is_steady_is_measured_once() {
        assert_eq!(attempts(3, &[0.10, 0.0]).await, (vec![0.10], true));
    }

    #[tokio::test]
    async fn what_is_not_is_measured_again_until_it_is_and_all_of_it_counts() {
        let all = vec![0.2, 0.3, 0.05];
        assert_eq!(attempts(3, &all).await, (all, true));
    }

    #[tokio::test]
    async fn after_three_times_more_it_fails_and_says_so() {
        let spreads = [0.2, 0.3, 0.4, 0.5, 0.0];
        assert_eq!(attempts(3, &spreads).await, (spreads[..4].to_vec(), false));
        assert!(!attempts(0, &[f64::NAN]).await.1);
    }

    #[test]
    fn what_is_measured_later_goes_to_what_has_its_name() {
        let mut all = BTreeMap::from([("a", vec![1]), ("b", vec![2])]);
        all.take_in(BTreeMap::from([("b", vec![3]), ("c", vec![4])]));
        assert_eq!(
            all,
            BTreeMap::from([("a", vec![1]), ("b", vec![2, 3]), ("c", vec![4])])
        );
    }

    #[test]
    fn without_a_number_nothing_is_steady() {
        assert!(widest(Vec::new()).1.is_nan());
        let spreads = vec![("a".to_owned(), f64::NAN), ("b".to_owned(), 0.2)];
        assert_eq!(widest(spreads).0, "a");
    }
}
