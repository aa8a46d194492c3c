//! When a median may be believed: where the rounds are too far apart they are
//! run again, and in the end the benchmark says that it does not know.

use crate::report::Check;

/// The largest spread of a median (`rounds::spread`) that a bar rests on.
pub(crate) const STEADY: f64 = 0.10;

/// A median by its name, and its spread.
pub(crate) type Spread = (String, f64);

/// Measures until every spread is within [`STEADY`], and again at most so many
/// times. What an unsteady attempt has measured is thrown away whole: to keep
/// its better half would be to choose.
///
/// Gives the last attempt, and the check that it was steady.
///
/// # Errors
/// Where it cannot be measured.
pub(crate) async fn until_steady<T>(
    part: &str,
    again: usize,
    mut measure: impl AsyncFnMut() -> anyhow::Result<T>,
    spreads: impl Fn(&T) -> Vec<Spread>,
) -> anyhow::Result<(T, Check)> {
    let mut attempt = 0;
    loop {
        let measured = measure().await?;
        let (name, widest) = widest(spreads(&measured));
        // What is not a number is not steady.
        let is_steady = widest <= STEADY;
        if is_steady || attempt == again {
            let check = Check::spread(part, STEADY, &name, widest, attempt);
            return Ok((measured, check));
        }
        eprintln!(
            "  not steady: the rounds of {name} are {:.0}% apart; again",
            widest * 100.0
        );
        attempt += 1;
    }
}

fn widest(spreads: Vec<Spread>) -> Spread {
    let widest = spreads.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    widest.unwrap_or_else(|| ("nothing".to_owned(), f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::{until_steady, widest};

    async fn attempts(again: usize, spreads: &[f64]) -> (usize, f64, bool) {
        let mut attempts = spreads.iter().copied();
        let mut made = 0;
        let (last, check) = until_steady(
            "rounds",
            again,
            async || {
                made += 1;
                attempts.next().ok_or_else(|| anyhow::anyhow!("no more"))
            },
            |spread| vec![("a".to_owned(), 0.01), ("b".to_owned(), *spread)],
        )
        .await
        .unwrap();
        (made, last, check.passed())
    }

    #[tokio::test]
    async fn what_is_steady_is_measured_once() {
        assert_eq!(attempts(3, &[0.10, 0.0]).await, (1, 0.10, true));
    }

    #[tokio::test]
    async fn what_is_not_is_measured_again_until_it_is() {
        assert_eq!(attempts(3, &[0.2, 0.3, 0.05]).await, (3, 0.05, true));
    }

    #[tokio::test]
    async fn after_three_times_more_it_fails_and_says_so() {
        assert_eq!(
            attempts(3, &[0.2, 0.3, 0.4, 0.5, 0.0]).await,
            (4, 0.5, false)
        );
        assert!(!attempts(0, &[f64::NAN]).await.2);
    }

    #[test]
    fn without_a_number_nothing_is_steady() {
        assert!(widest(Vec::new()).1.is_nan());
        let spreads = vec![("a".to_owned(), f64::NAN), ("b".to_owned(), 0.2)];
        assert_eq!(widest(spreads).0, "a");
    }
}
