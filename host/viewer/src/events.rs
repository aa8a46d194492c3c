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
/// The least time between what a reader is sent. What comes after a pause is sent at once;
/// a busy host renders few pages.
const PACE: Duration = Duration::from_secs(1);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Events, Following, Kind, REMEMBERED};

    /// Text of the stream's next piece.
    async fn first(events: &Arc<Events>, last_seen: Option<u64>) -> String {
        let (bytes, _) = events.subscribe(last_seen).next().await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn publish(events: &Events, count: u64) {
        let began = Instant::now();
        for at in 0..count {
            events.publish(Kind::Traces, began + Duration::from_secs(at));
        }
    }

    #[tokio::test]
    async fn a_reader_resumes_after_the_last_event_that_it_has() {
        let events = Arc::<Events>::default();
        publish(&events, 3);
        let text = first(&events, Some(1)).await;
        assert!(text.contains("id: 2\nevent: traces\n"), "{text}");
        assert!(text.contains("id: 3\n") && !text.contains("id: 1\n"));
        assert_eq!(first(&events, None).await, "retry: 1000\n\n");
        assert_eq!(first(&events, Some(3)).await, "retry: 1000\n\n");
    }

    #[tokio::test]
    async fn a_reader_learns_that_it_has_missed_events() {
        let events = Arc::<Events>::default();
        publish(&events, REMEMBERED as u64 + 10);
        assert!(first(&events, Some(5)).await.contains("event: missed"));
        assert!(!first(&events, Some(10)).await.contains("event: missed"));
        // Its position is of a host that has ended.
        assert!(first(&events, Some(9999)).await.contains("event: missed"));
    }

    #[tokio::test]
    async fn a_slow_reader_is_dropped() {
        let events = Arc::<Events>::default();
        publish(&events, 1);
        let (_, reader) = events.subscribe(None).next().await.unwrap();
        publish(&events, REMEMBERED as u64 + 10);
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn a_reader_that_waits_receives_what_comes() {
        let events = Arc::<Events>::default();
        let (_, reader) = events.subscribe(None).next().await.unwrap();
        let next = tokio::spawn(reader.next());
        publish(&events, 1);
        let (bytes, _) = next.await.unwrap().unwrap();
        assert!(bytes.starts_with(b"id: 1\nevent: traces\n"));
    }

    #[test]
    fn events_of_one_kind_in_a_short_time_are_one() {
        let events = Events::default();
        let began = Instant::now();
        for _ in 0..5 {
            events.publish(Kind::Traces, began);
        }
        events.publish(Kind::Logs, began);
        let Following::Events(text, last) = events.after(0) else {
            panic!("nothing follows")
        };
        assert_eq!(last, 6);
        assert_eq!(text.matches("event: traces").count(), 1);
        assert_eq!(text.matches("event: logs").count(), 1);
        // A reader of one that was replaced has missed nothing.
        assert!(matches!(events.after(3), Following::Events(_, 6)));
    }
}
