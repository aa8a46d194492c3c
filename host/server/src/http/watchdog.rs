//! What happens on one connection: the requests that are open, the streams that
//! are under way, and when bytes last moved.
//!
//! Requests write it, the connection's watchdog reads it. A request that is
//! answered at once costs a few atomic operations and no lock.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::ServerLimits;

/// How much of a timeout may pass unnoticed: a connection that is busy is looked
/// at four times in each.
const LOOKS: u32 = 4;

/// More than hyper holds of an answer whose body it has taken to its end.
const HELD_BYTES: u64 = 2 * 1024 * 1024;
/// More than it holds of all answers: HTTP/2's streams have 64 KiB each.
const MAX_HELD_BYTES: u64 = 16 * 1024 * 1024;

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionMonitor {
    begun: Instant,
    open: AtomicUsize,
    /// When the last open request ended, in milliseconds after the beginning.
    idle_since: AtomicU64,
    /// When bytes last moved to the client.
    written_at: AtomicU64,
    /// How much of what is still to be written may belong to responses. The rest
    /// answers the client's PINGs and SETTINGS of HTTP/2.
    held: AtomicU64,
    /// Whether a write waits for the client.
    write_blocked: AtomicBool,
    is_http2: AtomicBool,
    /// Bodies of requests that were not read to their ends, and may still be.
    bodies: AtomicUsize,
    /// Whether a body was given up before its end: the client may be sending it.
    unread: AtomicBool,
    /// Whether bytes came that belong to no request yet.
    heard: AtomicBool,
    /// Whether the connection is closed to the client, and what the client still
    /// sends is discarded.
    closes: AtomicBool,
    streams: Mutex<Vec<Weak<dyn MonitoredStream>>>,
}

/// A response body that goes on for a while, as the watchdog sees it.
pub(crate) trait MonitoredStream: fmt::Debug + Send + Sync {
    /// When it last gave bytes, as the connection counts time.
    fn moved_at(&self) -> u64;

    /// Ends it where it stands, with the guest behind it; tells whether that was
    /// done before, and hyper has not let go of it since.
    fn abort(&self) -> bool;
}

/// A request from its head to the end of its answer, as the connection counts it.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    monitor: Arc<ConnectionMonitor>,
}

/// What a check at a connection finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is amiss; check again after this.
    Well(Duration),
    /// No request came for too long.
    Idle,
    /// The client does not read.
    Stuck,
}

impl ConnectionMonitor {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            open: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            written_at: AtomicU64::new(0),
            held: AtomicU64::new(0),
            write_blocked: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
            bodies: AtomicUsize::new(0),
            unread: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            closes: AtomicBool::new(false),
            streams: Mutex::default(),
        }
    }

    /// Counts a request in, until what it gives back is dropped.
    pub(crate) fn open(self: &Arc<Self>, version: http::Version) -> OpenRequest {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.heard.store(false, Ordering::Relaxed);
        if version == http::Version::HTTP_2 {
            self.is_http2.store(true, Ordering::Relaxed);
        }
        OpenRequest {
            monitor: Arc::clone(self),
        }
    }

    /// Whether a request has not had its whole answer.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// Whether requests share the connection.
    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// Records that bytes came.
    pub(crate) fn read(&self) {
        let belongs =
            self.open.load(Ordering::Relaxed) > 0 || self.bodies.load(Ordering::Relaxed) > 0;
        if !belongs {
            self.heard.store(true, Ordering::Relaxed);
        }
    }

    /// Records the end of a handshake: what came so far was no request.
    pub(crate) fn handshake_ends(&self) {
        self.heard.store(false, Ordering::Relaxed);
    }

    /// Counts a request's body in, until it ends.
    pub(crate) fn body_begins(&self) {
        self.bodies.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a body out that was read to its end, or given up.
    pub(crate) fn body_ends(&self, is_read: bool) {
        // A stream of HTTP/2 that is given up is reset: its client stops.
        if !is_read && !self.is_http2() {
            self.unread.store(true, Ordering::Relaxed);
        }
        self.idle_since.store(self.now(), Ordering::Relaxed);
        self.bodies.fetch_sub(1, Ordering::Release);
    }

    /// Has the connection closed as one whose client may be sending.
    pub(crate) fn expects_more(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether a body of HTTP/1.1 was given up, and the connection with it.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Whether the client may be sending what no request takes: the rest of a
    /// body, or what stands behind a head that cannot be read.
    pub(crate) fn may_send(&self) -> bool {
        self.is_unread() || self.heard.load(Ordering::Relaxed)
    }

    /// Records that the connection is closed to the client.
    pub(crate) fn closes(&self) {
        self.closes.store(true, Ordering::Relaxed);
    }

    /// What is left of `period` without a request, which begins with the end of
    /// the last one, and not before `announced`; none where there is a request,
    /// or a part of one.
    pub(crate) fn silence_left(&self, announced: Instant, period: Duration) -> Option<Duration> {
        let idle_since = self.idle_since.load(Ordering::Relaxed);
        // hyper itself spares a part of the first request.
        let heard = idle_since > 0 && self.heard.load(Ordering::Relaxed);
        if heard || self.is_open() || self.is_closing_or_read() {
            return None;
        }
        let since = (self.begun + Duration::from_millis(idle_since)).max(announced);
        Some((since + period).saturating_duration_since(Instant::now()))
    }

    /// Whether bytes of the client are read that belong to requests which have
    /// their answers; both have bounds of their own.
    fn is_closing_or_read(&self) -> bool {
        self.bodies.load(Ordering::Acquire) > 0 || self.closes.load(Ordering::Relaxed)
    }

    /// Records a write that moved bytes.
    pub(crate) fn wrote(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let less = |held: u64| Some(held.saturating_sub(bytes));
        // It always has a next value.
        let _ = self
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.written_at.store(self.now(), Ordering::Relaxed);
        self.write_blocked.store(false, Ordering::Relaxed);
    }

    /// Records a write that has to wait.
    pub(crate) fn write_waits(&self) {
        if !self.write_blocked.swap(true, Ordering::Relaxed) {
            self.written_at.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Has the watchdog check after a stream that was not answered at once.
    pub(crate) fn watch(&self, stream: Weak<dyn MonitoredStream>) {
        let mut streams = self.streams.lock();
        streams.retain(|stream| stream.strong_count() > 0);
        streams.push(stream);
    }

    /// Milliseconds after the beginning.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Aborts streams that made no progress, and tells how the connection is.
    pub(crate) fn check(&self, limits: &ServerLimits) -> Verdict {
        let now = self.now();
        let since = |then: &AtomicU64| {
            Duration::from_millis(now.saturating_sub(then.load(Ordering::Relaxed)))
        };
        let blocked = self.write_blocked.load(Ordering::Relaxed);
        let is_stuck = blocked && since(&self.written_at) >= limits.stream_idle_timeout;
        let is_open = self.open.load(Ordering::Acquire) > 0;
        // What was answered may still be on its way to a client that reads slowly.
        // Without such bytes a write that waits answers PINGs or SETTINGS, and these
        // keep no connection open.
        let held = self.held.load(Ordering::Relaxed) > 0;
        if !(is_open || is_stuck || blocked && held) {
            if self.is_closing_or_read() {
                return Verdict::Well(limits.shortest() / LOOKS);
            }
            let mut idle = since(&self.idle_since);
            if held {
                idle = idle.min(since(&self.written_at));
            }
            return match limits.header_timeout.checked_sub(idle) {
                // A stream may begin at any time.
                Some(left) if !left.is_zero() => Verdict::Well(left.min(limits.shortest())),
                _ => Verdict::Idle,
            };
        }
        // On HTTP/1.1 there is one stream, and what the connection writes is its.
        let shared = self.is_http2.load(Ordering::Relaxed);
        let moved = if shared || is_stuck {
            0
        } else {
            self.written_at.load(Ordering::Relaxed)
        };
        let streams: Vec<_> = self
            .streams
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let mut left_behind = 0;
        for stream in &streams {
            let still = now.saturating_sub(stream.moved_at().max(moved));
            let is_still = Duration::from_millis(still) >= limits.stream_idle_timeout;
            if (is_stuck || is_still) && stream.abort() {
                left_behind += 1;
            }
        }
        // hyper does not let go of a stream whose client opens no window. Where
        // there is no other, the connection is of no use.
        let is_stuck =
            is_stuck || (left_behind > 0 && left_behind >= self.open.load(Ordering::Acquire));
        if is_stuck {
            return Verdict::Stuck;
        }
        Verdict::Well(limits.shortest() / LOOKS)
    }
}

impl OpenRequest {
    pub(crate) fn monitor(&self) -> &ConnectionMonitor {
        &self.monitor
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let monitor = &self.monitor;
        // First, so that no check sees it idle since the last time.
        monitor.idle_since.store(monitor.now(), Ordering::Relaxed);
        let more = |held: u64| Some((held + HELD_BYTES).min(MAX_HELD_BYTES));
        // It always has a next value.
        let _ = monitor
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        monitor.open.fetch_sub(1, Ordering::Release);
    }
}
