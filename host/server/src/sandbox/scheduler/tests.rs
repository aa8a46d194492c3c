use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);

fn scheduler(turns: usize) -> Arc<FairScheduler> {
    Arc::new(FairScheduler::with_turns(
        turns,
        Arc::new(RunningGuests::new()),
    ))
}

/// A guest that computes for `most` ticks, and counts them.
fn computing(
    scheduler: &Arc<FairScheduler>,
    most: usize,
    ticked: &Arc<AtomicUsize>,
) -> Scheduled<Way> {
    let run_handle = scheduler.run_handle();
    let mut ticks = run_handle.ticks();
    let ticked = Arc::clone(ticked);
    let guest = async move {
        for _ in 0..most {
            ticked.fetch_add(1, Ordering::Relaxed);
            ticks.tick().await;
        }
    };
    Scheduled::new(Box::pin(guest), run_handle)
}

/// Lets many compute on the one thread of the test, and counts their ticks
/// while it looks in `looks` times.
async fn ticks_between(looks: usize, turns: usize) -> usize {
    let scheduler = scheduler(turns);
    let ticked = Arc::new(AtomicUsize::new(0));
    let mut guests = tokio::task::JoinSet::new();
    for _ in 0..32 {
        guests.spawn(computing(&scheduler, usize::MAX, &ticked));
    }
    // Until all stand in the same line.
    while scheduler.long.0.lock().next < 100 {
        yield_now().await;
    }
    let before = ticked.load(Ordering::Relaxed);
    for _ in 0..looks {
        yield_now().await;
    }
    ticked.load(Ordering::Relaxed) - before
}

#[tokio::test]
async fn others_wait_for_a_tick_for_each_turn_and_not_for_one_of_each_guest() {
    for turns in [1, 3] {
        let ticked = ticks_between(500, turns).await;
        // More only where the machine was away for so long that turns are
        // taken back.
        assert!(ticked <= 500 * (turns + 1), "{ticked} of {turns}");
        assert!(ticked >= 250 * turns, "{ticked} of {turns}");
    }
}

#[tokio::test]
async fn a_guest_that_waits_for_something_else_holds_no_turn() {
    let scheduler = scheduler(1);
    let run_handle = scheduler.run_handle();
    let mut ticks = run_handle.ticks();
    let is_there = Arc::new(AtomicUsize::new(0));
    let there = Arc::clone(&is_there);
    let guest = async move {
        for _ in 0..=BRIEF_TICKS {
            ticks.tick().await;
        }
        there.store(1, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let mut waiting = Box::pin(Scheduled::new(guest, run_handle));
    while is_there.load(Ordering::Relaxed) == 0 {
        assert!(poll_once(waiting.as_mut()).await.is_pending());
    }
    assert!(scheduler.long.0.lock().called.is_empty());
}

#[tokio::test]
async fn guests_that_are_polled_no_more_hold_up_nobody_for_long() {
    let scheduler = scheduler(1);
    let ticked = Arc::default();
    // Left where they stand, as guests are whose clients do not read. Were
    // each of them called in vain, the last would be after `SOON`.
    let mut left: Vec<_> = (0..1_000)
        .map(|_| Box::pin(computing(&scheduler, 40, &ticked)))
        .collect();
    for (polls, guest) in left.iter_mut().enumerate() {
        for _ in 0..=polls % 40 {
            let _ = poll_once(guest.as_mut()).await;
        }
    }
    let going_on = timeout(SOON, computing(&scheduler, 40, &ticked)).await;
    assert!(going_on.is_ok(), "it waits for turns that nobody uses");
    // They are polled again at last.
    for guest in left {
        let came_late = timeout(SOON, guest).await;
        assert!(came_late.is_ok(), "it waits to be called again");
    }
}

#[tokio::test]
async fn a_guest_that_is_dropped_leaves_the_line_and_its_turn() {
    let scheduler = scheduler(1);
    let ticked = Arc::default();
    let mut guests: Vec<_> = (0..3)
        .map(|_| Box::pin(computing(&scheduler, 40, &ticked)))
        .collect();
    for guest in &mut guests {
        let _ = poll_once(guest.as_mut()).await;
    }
    guests.truncate(1);
    assert!(scheduler.brief.0.lock().waiting.is_empty());
    drop(guests);
    assert!(scheduler.brief.0.lock().called.is_empty());
}

/// Polls once, and lets other tasks run.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    yield_now().await;
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
