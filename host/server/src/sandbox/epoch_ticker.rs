//! The engine's clock: a thread that increments the epoch each millisecond while
//! a guest runs, and sleeps while none does.
//!
//! A guest runs from when its future is polled until that poll returns: a guest
//! that waits, for a timer or for its client, needs no ticks. [`RunningGuests`]
//! counts the guests that run; the ticker sleeps once it has found none for some
//! ticks in a row.
//!
//! # No guest is missed
//!
//! A guest that runs while the ticker sleeps would never be interrupted. Entering
//! a guest is (1) count it, (2) read `ticker_sleeps`, and wake the ticker where
//! that is set. Going to sleep is (3) set `ticker_sleeps`, (4) read the counts, and
//! go on ticking where they count a guest. All four are sequentially consistent,
//! so each interleaving has them in one order. Either (1) is before (4), and the
//! ticker sees the guest and ticks on; or (4) is before (1), then (3) is before
//! (2), and the guest sees that the ticker sleeps, or that another guest has woken
//! it since. A ticker that was woken goes through (3) and (4) again before it
//! sleeps again, and by then (1) is behind it.
//!
//! A guest pays for it with two additions to a number of its own thread and a read
//! of a flag that rarely changes, some nanoseconds each time it is polled.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use fanlight_telemetry::thread_number::thread_number;

/// How often a guest that computes is asked whether it may go on. Measured on
/// two cores with 64 guests in a loop, other requests take 1.4 ms in the median
/// and 5.5 ms at the 99th percentile; at 10 ms they take 20 ms and 340 ms.
const EPOCH_TICK: Duration = Duration::from_millis(1);
/// Ticks without a guest after which the ticker sleeps. To wake it is a call to the
/// kernel: a server with more than some fifty requests a second never makes one.
const IDLE_TICKS: u32 = 20;

/// Increments the engine's epoch while guests run, until it is dropped.
pub(crate) struct EpochTicker {
    guests: Arc<RunningGuests>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EpochTicker {
    /// Starts the thread, which calls `tick`.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub(crate) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        Self::sleeping_after(IDLE_TICKS, tick)
    }

    fn sleeping_after(idle_ticks: u32, tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let guests = Arc::new(RunningGuests::new());
        let stopped = Arc::new(AtomicBool::new(false));
        let ticking = Ticking {
            guests: Arc::clone(&guests),
            stopped: Arc::clone(&stopped),
        };
        let thread = std::thread::Builder::new()
            .name("epoch".into())
            .spawn(move || ticking.run(idle_ticks, tick))?;
        // Nothing else sets it.
        let _ = guests.ticker.set(thread.thread().clone());
        Ok(Self {
            guests,
            stopped,
            thread: Some(thread),
        })
    }

    /// The guests that it ticks for.
    pub(crate) fn guests(&self) -> &Arc<RunningGuests> {
        &self.guests
    }
}

impl Drop for EpochTicker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It ends after one tick at most, and cannot panic.
            let _ = thread.join();
        }
    }
}

/// What the thread needs.
struct Ticking {
    guests: Arc<RunningGuests>,
    stopped: Arc<AtomicBool>,
}

impl Ticking {
    fn run(&self, idle_ticks: u32, tick: impl Fn()) {
        let mut entered_before = 0;
        let mut idle = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            std::thread::sleep(EPOCH_TICK);
            tick();
            let Count { entered, inside } = self.guests.count();
            if inside || entered != entered_before {
                entered_before = entered;
                idle = 0;
                continue;
            }
            idle += 1;
            if idle >= idle_ticks {
                self.sleep();
                idle = 0;
            }
        }
    }

    /// Sleeps until a guest is entered, unless one runs.
    fn sleep(&self) {
        let sleeps = &self.guests.ticker_sleeps;
        sleeps.store(true, Ordering::SeqCst);
        if self.guests.count().inside {
            sleeps.store(false, Ordering::SeqCst);
            return;
        }
        // A thread may be unparked for no reason.
        while sleeps.load(Ordering::SeqCst) && !self.stopped.load(Ordering::SeqCst) {
            std::thread::park();
        }
    }
}

/// The guests that run at the moment, counted by the threads that run them.
#[derive(Debug)]
pub(crate) struct RunningGuests {
    /// Threads take one by their numbers. Their count is a power of two.
    shards: Box<[Shard]>,
    /// Whether the ticker is to be woken for the next guest.
    ticker_sleeps: AtomicBool,
    ticker: OnceLock<Thread>,
}

/// The guests of some threads, on a cache line that no other thread writes to:
/// above [`ENTERED`] how many were entered, below it how many run.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(AtomicU64);

/// One guest that was entered.
const ENTERED: u64 = 1 << 32;
/// One guest that runs.
const INSIDE: u64 = 1;

/// What all shards come to.
struct Count {
    /// Guests that were entered so far; it begins anew after the largest number.
    entered: u32,
    /// Whether one runs.
    inside: bool,
}

impl RunningGuests {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        // Those that serve have the lowest numbers but a few.
        let shards = (2 * threads).next_power_of_two();
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            ticker_sleeps: AtomicBool::new(false),
            ticker: OnceLock::new(),
        }
    }

    /// Counts a guest that runs on this thread until the value is dropped, and
    /// wakes the ticker for it.
    pub(crate) fn enter(&self) -> RunningGuest<'_> {
        let shard = &self.shards[thread_number() & (self.shards.len() - 1)];
        shard.0.fetch_add(ENTERED + INSIDE, Ordering::SeqCst);
        if self.ticker_sleeps.load(Ordering::SeqCst) {
            self.wake_ticker();
        }
        RunningGuest(shard)
    }

    #[cold]
    fn wake_ticker(&self) {
        // Of many guests at once, one wakes it.
        if self.ticker_sleeps.swap(false, Ordering::SeqCst)
            && let Some(ticker) = self.ticker.get()
        {
            ticker.unpark();
        }
    }

    fn count(&self) -> Count {
        let shards = self.shards.iter();
        shards.fold(
            Count {
                entered: 0,
                inside: false,
            },
            |count, shard| {
                let number = shard.0.load(Ordering::SeqCst);
                Count {
                    entered: count.entered.wrapping_add((number / ENTERED) as u32),
                    inside: count.inside || number % ENTERED != 0,
                }
            },
        )
    }
}

/// A guest that runs.
pub(crate) struct RunningGuest<'a>(&'a Shard);

impl Drop for RunningGuest<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(INSIDE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Far longer than anything here takes.
    const SOON: Duration = Duration::from_secs(20);

    fn ticker(idle_ticks: u32) -> (EpochTicker, Arc<AtomicU64>) {
        let ticks = Arc::new(AtomicU64::new(0));
        let ticked = Arc::clone(&ticks);
        let tick = move || {
            ticked.fetch_add(1, Ordering::Relaxed);
        };
        (
            EpochTicker::sleeping_after(idle_ticks, tick).unwrap(),
            ticks,
        )
    }

    fn wait(what: &str, is_there: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_there() {
            assert!(begun.elapsed() < SOON, "not in time: {what}");
            std::thread::yield_now();
        }
    }

    fn sleeps(ticker: &EpochTicker) -> bool {
        ticker.guests.ticker_sleeps.load(Ordering::SeqCst)
    }

    #[test]
    fn a_guest_that_is_entered_while_the_ticker_goes_to_sleep_is_ticked_for() {
        // It sleeps as soon as it finds no guest, so that each entry is a race.
        for threads in [1, 2] {
            let (ticker, ticks) = ticker(1);
            let slept = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let (ticker, ticks, slept) = (&ticker, &ticks, &slept);
                    scope.spawn(move || {
                        for number in 0..400_u64 {
                            // From just after a tick to well behind the next two.
                            let micros = (number * 7 + thread * 3) % 40 * 60;
                            std::thread::sleep(Duration::from_micros(micros));
                            slept.fetch_add(u64::from(sleeps(ticker)), Ordering::Relaxed);
                            let _guest = ticker.guests.enter();
                            let seen = ticks.load(Ordering::Relaxed);
                            wait("two ticks for a guest", || {
                                ticks.load(Ordering::Relaxed) >= seen + 2
                            });
                        }
                    });
                }
            });
            assert!(slept.load(Ordering::Relaxed) > 0, "it never slept");
        }
    }

    #[test]
    fn the_ticker_stands_still_until_a_guest_is_entered() {
        let (ticker, ticks) = ticker(3);
        wait("sleep", || sleeps(&ticker));
        let asleep = ticks.load(Ordering::Relaxed);
        std::thread::sleep(20 * EPOCH_TICK);
        assert_eq!(ticks.load(Ordering::Relaxed), asleep);
        let guest = ticker.guests.enter();
        // As long as the guest runs, and not for the first few ticks alone.
        wait("ticks for a guest", || {
            ticks.load(Ordering::Relaxed) >= asleep + 20
        });
        drop(guest);
        wait("sleep after the guest", || sleeps(&ticker));
    }

    #[test]
    fn a_guest_that_has_left_counts_as_entered_and_does_not_run() {
        let guests = RunningGuests::new();
        let guest = guests.enter();
        assert!(guests.count().inside);
        drop(guest);
        let Count { entered, inside } = guests.count();
        assert_eq!((entered, inside), (1, false));
    }

    #[test]
    fn a_ticker_that_sleeps_ends_with_its_owner() {
        let (ticker, ticks) = ticker(1);
        wait("sleep", || sleeps(&ticker));
        drop(ticker);
        // The thread, which owned the other reference, is gone.
        assert_eq!(Arc::strong_count(&ticks), 1);
    }
}
