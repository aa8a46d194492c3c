//! Tells pages what has changed, by server-sent events.
//!
//! An event says that something is new, not what: the page asks for the part that it
//! shows. Nothing waits for a reader. One that falls behind the events in memory is
//! dropped, and learns from the first event after its reconnect that it has missed some.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

/// Events in memory.
const REMEMBERED: usize = 256;
/// Events of one kind within this time are one.
const COALESCED: Duration = Duration::from_millis(200);
/// The time between what a reader is sent: it sees a new trace soon, and a busy host
/// makes few pages.
const PACE: Duration = Duration::from_millis(300);
/// A comment is sent after this time without an event, so that a connection that is
/// gone is found.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Traces,
    Logs,
    Component,
    Cleared,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Component => "component",
            Self::Cleared => "cleared",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Event {
    id: u64,
    kind: Kind,
    at: Instant,
}

#[derive(Debug, Default)]
struct Recent {
    events: VecDeque<Event>,
    /// The last event that had to go.
    forgotten: u64,
}

/// The events of one store.
#[derive(Debug)]
pub(crate) struct Events {
    recent: Mutex<Recent>,
    last_id: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            recent: Mutex::default(),
            last_id: watch::Sender::new(0),
        }
    }
}

/// What follows an event.
#[derive(Debug, PartialEq, Eq)]
enum Following {
    Events(String, u64),
    /// The reader has missed events.
    Missed(u64),
    Nothing,
}

impl Events {
    pub(crate) fn publish(&self, kind: Kind, now: Instant) {
        let mut recent = self.lock();
        // The new one says the same: a reader needs one of the two.
        let same = recent
            .events
            .back()
            .filter(|last| last.kind == kind && now.saturating_duration_since(last.at) < COALESCED);
        let at = match same.copied() {
            Some(last) => {
                recent.events.pop_back();
                last.at
            }
            None => now,
        };
        let id = *self.last_id.borrow() + 1;
        recent.events.push_back(Event { id, kind, at });
        if recent.events.len() > REMEMBERED {
            recent.forgotten = recent.events.pop_front().map_or(0, |it| it.id);
        }
        self.last_id.send_replace(id);
    }

    /// The stream of what follows the event with this id, or of what is new from now on.
    pub(crate) fn subscribe(self: &Arc<Self>, last_seen: Option<u64>) -> Subscription {
        let last_id = self.last_id.subscribe();
        let position = last_seen.unwrap_or_else(|| *last_id.borrow());
        Subscription {
            events: Arc::clone(self),
            last_id,
            position,
            is_first: true,
        }
    }

    fn after(&self, position: u64) -> Following {
        let recent = self.lock();
        let last = *self.last_id.borrow();
        if position == last {
            return Following::Nothing;
        }
        // A position from the future is of a host that has ended.
        if position > last || position < recent.forgotten {
            return Following::Missed(last);
        }
        let mut text = String::new();
        for event in recent.events.iter().filter(|it| it.id > position) {
            let (id, kind) = (event.id, event.kind.as_str());
            // Writing to a string cannot fail.
            let _ = write!(text, "id: {id}\nevent: {kind}\ndata: {{\"id\":{id}}}\n\n");
        }
        Following::Events(text, last)
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        // Nothing under the lock panics.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's place in the stream.
#[derive(Debug)]
pub(crate) struct Subscription {
    events: Arc<Events>,
    last_id: watch::Receiver<u64>,
    position: u64,
    is_first: bool,
}

impl Subscription {
    /// Waits for the next piece of the stream; `None` ends it.
    pub(crate) async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.is_first {
            self.is_first = false;
            let mut hello = String::from("retry: 1000\n\n");
            match self.events.after(self.position) {
                Following::Events(text, position) => {
                    hello.push_str(&text);
                    self.position = position;
                }
                Following::Missed(position) => {
                    // Writing to a string cannot fail.
                    let _ = write!(hello, "id: {position}\nevent: missed\ndata: {{}}\n\n");
                    self.position = position;
                }
                Following::Nothing => {}
            }
            return Some((hello.into(), self));
        }
        tokio::time::sleep(PACE).await;
        let position = self.position;
        let is_new = self.last_id.wait_for(|last| *last != position);
        // The sender lives as long as `self.events`.
        let _ = tokio::time::timeout(HEARTBEAT, is_new).await.map(|_| ());
        match self.events.after(self.position) {
            Following::Events(text, position) => {
                self.position = position;
                Some((text.into(), self))
            }
            Following::Missed(_) => None,
            Following::Nothing => Some((Bytes::from_static(b": still here\n\n"), self)),
        }
    }
}
