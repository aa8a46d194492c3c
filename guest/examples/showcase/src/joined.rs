//! Spans held across `.await` while other futures run.

use std::time::Duration;

use fanlight_guest::{InSpan, Response, Span, join, join_all, race, sleep, span};

use crate::done;

/// `first` (30 ms twice) and `second` (50 ms twice) at once, each with a child
/// between its sleeps, and then `third`.
pub(crate) async fn joined() -> Response {
    join(
        branch("first", "first_child", 30),
        branch("second", "second_child", 50),
    )
    .await;
    let _third = span!("third");
    done()
}

async fn branch(name: &str, child: &str, milliseconds: u64) {
    let _span = span!(name);
    sleep(Duration::from_millis(milliseconds)).await;
    drop(span!(child));
    sleep(Duration::from_millis(milliseconds)).await;
}

/// Five branches below `outer`, the later ones the shorter.
pub(crate) async fn joined_all() -> Response {
    let _outer = span!("outer");
    let names = ["b0", "b1", "b2", "b3", "b4"].into_iter().zip(0..);
    join_all(names.map(async |(name, index)| {
        branch(name, &format!("{name}_child"), 50 - index * 10).await;
    }))
    .await;
    done()
}

/// Two futures, each within a span of its own, joined within a third.
pub(crate) async fn in_span() -> Response {
    let task = |name, child| {
        let span = Span::builder(name).start();
        async move {
            sleep(Duration::from_millis(10)).await;
            drop(span!(child));
        }
        .in_span(span)
    };
    let _outer = span!("outer");
    join(task("left", "left_child"), task("right", "right_child")).await;
    done()
}

/// `slow` is dropped in the midst of its sleep, and `after` does not hang below it.
pub(crate) async fn race_of_two() -> Response {
    let slow = async {
        let _span = span!("slow");
        sleep(Duration::from_secs(10)).await;
    };
    race(slow, sleep(Duration::from_millis(20))).await;
    let _after = span!("after");
    done()
}
