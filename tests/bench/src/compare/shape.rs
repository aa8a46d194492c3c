//! How a cost goes along: the shape of a curve beside another's, and whether it
//! grows faster than what it is the cost of.

/// Pairs of what is asked for and what it costs, by rising first.
pub(crate) type Curve = Vec<(f64, f64)>;

/// How far one curve is from the shape of another: the point that is furthest
/// off, and what part it is of what it might be.
///
/// Both are held together at their last point, the busiest, where a cost is known
/// best. A server that does all that the other does and more for each request
/// costs as much more everywhere, if the rest does not depend on the load; or as
/// many times more, if the rest depends on it as the other does. What lies between
/// the two has the same shape: 1. What is above becomes dearer when there is
/// little to do, what is below when there is much.
///
/// `None` where the curves have not the same points, or none.
pub(crate) fn furthest(ours: &Curve, theirs: &Curve) -> Option<(f64, f64)> {
    let is_along = ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.0 == b.0);
    let ((_, our_last), (_, their_last)) = (ours.last()?, theirs.last()?);
    let parts = ours.iter().zip(theirs).map(|((at, ours), (_, theirs))| {
        let moved = theirs + (our_last - their_last);
        let scaled = theirs * (our_last / their_last);
        let (least, most) = (moved.min(scaled), moved.max(scaled));
        let part = match *ours {
            dear if dear > most => dear / most,
            cheap if cheap < least => cheap / least,
            _ => 1.0,
        };
        (*at, part)
    });
    // As far below as above: half is as far from 1 as double.
    let furthest = parts.max_by(|a, b| a.1.ln().abs().total_cmp(&b.1.ln().abs()));
    furthest.filter(|_| is_along)
}

/// What the second half of the way adds to a cost, for each that the first half
/// adds: 1 where it grows in proportion, 3 where it grows with the square.
///
/// Half the way is the point that is nearest to it. `None` where the whole way
/// adds less than a tenth: what is flat has no shape.
pub(crate) fn second_half(curve: &Curve) -> Option<f64> {
    let ((from, at_first), (to, at_last)) = (*curve.first()?, *curve.last()?);
    let half = f64::midpoint(from, to);
    let (middle, at_middle) = *curve
        .iter()
        .min_by(|a, b| (a.0 - half).abs().total_cmp(&(b.0 - half).abs()))?;
    if at_last - at_first < at_first.abs() / 10.0 {
        return None;
    }
    let first = (at_middle - at_first) / (middle - from);
    let second = (at_last - at_middle) / (to - middle);
    // One that is flat at first and rises then is as far from even as can be.
    Some(if first > 0.0 {
        second / first
    } else {
        f64::INFINITY
    })
}

#[cfg(test)]
mod tests {
    use super::{furthest, second_half};

    fn curve(cost: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        [0.0, 25.0, 50.0, 75.0, 100.0]
            .map(|at| (at, cost(at)))
            .to_vec()
    }

    fn hyper() -> Vec<(f64, f64)> {
        vec![(0.1, 30.0), (0.5, 22.0), (0.8, 20.0)]
    }

    #[test]
    fn a_server_that_is_dearer_throughout_has_the_same_shape() {
        let dearer = |cost: fn(f64) -> f64| {
            let points = hyper().into_iter().map(|(at, theirs)| (at, cost(theirs)));
            furthest(&points.collect(), &hyper()).unwrap().1
        };
        let costs: [fn(f64) -> f64; 3] = [|it| it * 2.5, |it| it + 30.0, |it| it * 1.5 + 10.0];
        for cost in costs {
            let part = dearer(cost);
            assert!((part - 1.0).abs() < 1e-9, "{part}");
        }
    }

    #[test]
    fn the_point_that_is_furthest_off_is_told() {
        // Between 50 and 60, and between 42 and 44.
        let dear_at_rest = vec![(0.1, 90.0), (0.5, 44.0), (0.8, 40.0)];
        assert_eq!(furthest(&dear_at_rest, &hyper()), Some((0.1, 1.5)));
        let dear_at_work = vec![(0.1, 40.0), (0.5, 21.0), (0.8, 40.0)];
        assert_eq!(furthest(&dear_at_work, &hyper()), Some((0.5, 0.5)));
    }

    #[test]
    fn curves_of_other_points_are_not_compared() {
        assert!(furthest(&vec![(0.1, 1.0)], &vec![(0.2, 1.0)]).is_none());
        assert!(furthest(&vec![], &vec![]).is_none());
    }

    #[test]
    fn a_cost_in_proportion_is_even_and_one_with_the_square_is_not() {
        assert_eq!(second_half(&curve(|n| 40.0 + 2.0 * n)), Some(1.0));
        assert_eq!(second_half(&curve(|n| 40.0 + n * n)), Some(3.0));
        assert_eq!(
            second_half(&vec![(0.0, 1.0), (1.0, 1.0), (2.0, 9.0)]),
            Some(f64::INFINITY)
        );
    }

    #[test]
    fn what_hardly_grows_has_no_shape() {
        assert_eq!(second_half(&curve(|n| 40.0 + n / 100.0)), None);
        assert_eq!(second_half(&curve(|n| 40.0 - n / 4.0)), None);
    }
}
