//! Spans entered and left in turns, and mixed with those of the SDK.

use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use async_graphql::futures_util::future::join as foreign_join;
use fanlight_guest::{First, Response, join, race, sleep, span, timeout};
use tracing::{Instrument, info_span};

use crate::done;

/// `a` is left before `b`, which was entered within it.
pub(crate) fn left_first() -> Response {
    let (a, b) = (info_span!("a"), info_span!("b"));
    let in_a = a.enter();
    let in_b = b.enter();
    drop(in_a);
    drop(info_span!("under_b"));
    drop(in_b);
    drop(info_span!("under_server"));
    done()
}

/// Two branches, each with a span over an `.await` and a child after it, joined
/// by another crate within `theirs`, and by the SDK within `ours`.
pub(crate) async fn joined() -> Response {
    let theirs = foreign_join(
        branch("a", "a_child", 20).instrument(info_span!("branch_a")),
        branch("b", "b_child", 10).instrument(info_span!("branch_b")),
    );
    theirs.instrument(info_span!("theirs")).await;
    let ours = join(
        branch("c", "c_child", 20).instrument(info_span!("branch_c")),
        branch("d", "d_child", 10).instrument(info_span!("branch_d")),
    );
    ours.instrument(info_span!("ours")).await;
    done()
}

/// Two branches within one span, `shared`, and one that begins in a race and
/// goes on after it, within `lent`.
pub(crate) async fn shared() -> Response {
    let shared = info_span!("shared");
    join(
        branch("a", "a_child", 20).instrument(shared.clone()),
        branch("b", "b_child", 10).instrument(shared),
    )
    .await;
    let lent = branch("c", "c_child", 10).instrument(info_span!("lent"));
    let mut lent = pin!(lent);
    if let First::Right(()) = race(lent.as_mut(), ready(())).await {
        lent.await;
    }
    done()
}

/// `cut_off` and `left_later` end with their guards, although the span that
/// they were made in is left by then and goes on.
pub(crate) async fn outlived() -> Response {
    let goes_on = info_span!("goes_on");
    let slow = async {
        let _guard = span!("cut_off");
        sleep(Duration::from_secs(10)).await;
    };
    let slow = slow.instrument(goes_on.clone());
    timeout(Duration::from_millis(10), slow).await.ok();
    drop(span!("after_cut_off"));
    let entered = goes_on.enter();
    let guard = span!("left_later");
    drop(entered);
    drop(guard);
    drop(span!("after_left_later"));
    done()
}

/// `work` is held by a future that several races poll, and `given_back` by what a
/// future gave back.
pub(crate) async fn held() -> Response {
    let mut work = pin!(branch("work", "work_child", 20));
    while let First::Right(()) = race(work.as_mut(), sleep(Duration::from_millis(5))).await {}
    drop(span!("after_work"));
    let given_back = timeout(Duration::from_secs(10), async { span!("given_back") }).await;
    drop(span!("under_given_back"));
    drop(given_back);
    drop(span!("after"));
    done()
}

/// A span of the SDK over an `.await`, and one of `tracing` below it.
async fn branch(name: &str, child: &'static str, milliseconds: u64) {
    let _span = span!(name);
    sleep(Duration::from_millis(milliseconds)).await;
    drop(info_span!("child", otel.name = child));
}

/// Spans of `tracing` and of the SDK below each other, over an `.await`:
/// `tracing_1` > `sdk_1` > `tracing_2` > `sdk_2`, and `late` below `sdk_1`.
pub(crate) async fn mixed() -> Response {
    async {
        let _sdk_1 = span!("sdk_1");
        async {
            let _sdk_2 = span!("sdk_2");
            sleep(Duration::from_millis(10)).await;
            fanlight_guest::info!("within sdk_2");
        }
        .instrument(info_span!("tracing_2"))
        .await;
        drop(span!("late"));
    }
    .instrument(info_span!("tracing_1"))
    .await;
    drop(span!("after"));
    done()
}

/// `slow` and what it holds are dropped in the midst of its sleep, and `after`
/// does not hang below them.
pub(crate) async fn dropped() -> Response {
    let slow = async {
        let _held = span!("held");
        sleep(Duration::from_secs(10)).await;
    };
    let slow = slow.instrument(info_span!("slow"));
    race(slow, sleep(Duration::from_millis(10))).await;
    drop(info_span!("after"));
    done()
}
