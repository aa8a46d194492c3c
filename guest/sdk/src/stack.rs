//! The spans that are entered, and their state while another future runs.
//!
//! The host knows one stack: the span entered last and not left yet is the
//! current one. Futures that are joined take turns, and each has spans of its
//! own. So a future that is polled in turns keeps its part of the stack while
//! it does not run: [`Stack::suspend`] leaves its spans on the host, and
//! [`Stack::resume`] enters the topmost of them again.
//!
//! Spans of the crates `tracing` and `opentelemetry` are left and entered again
//! by those crates, at every poll of a future, in no fixed order. A guard
//! that was made within such a span and is still held when the span is left
//! lies in the future that waits. [`Stack::exit`] takes it off and keeps it for
//! that future, and [`Stack::enter_again`] brings it back on top of its span.
//!
//! Invariant: the topmost entry is entered on the host, and the entries that
//! are entered there were entered in the order of the stack. An entry that is
//! left lies nowhere, so that nothing but its guard keeps the span from ending.

#![cfg_attr(
    not(any(test, feature = "tracing", feature = "opentelemetry")),
    expect(dead_code, reason = "nobody enters a span again")
)]

use std::collections::BTreeMap;

/// What can be entered: a span of the host, or a fake in tests.
pub(crate) trait Enter {
    /// What leaves by being dropped.
    type Scope;

    fn enter(&self) -> Self::Scope;
}

/// The spans entered by the futures that are running, and by those that wait.
pub(crate) struct Stack<S: Enter> {
    entries: Vec<Entry<S>>,
    /// The futures that are running, outermost first.
    running: Vec<Running>,
    /// The parts of the futures that do not run.
    suspended: BTreeMap<FutureId, Vec<Entry<S>>>,
    /// Guards that were made within a span of another crate and are held while
    /// that is left.
    parked: BTreeMap<(ForeignId, Holder), Vec<Entry<S>>>,
    last_id: u64,
}

/// Names an entry, wherever it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId(u64);

/// Names a future that is polled in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FutureId(u64);

/// Names a span of another crate, which may enter it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ForeignId(u64);

struct Entry<S: Enter> {
    id: EntryId,
    leaver: Leaver,
    span: S,
    /// Absent where an entry further up makes it irrelevant to the host.
    scope: Option<S::Scope>,
}

/// Who leaves an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaver {
    /// A guard.
    Guard,
    /// Another crate.
    Foreign(ForeignId),
    /// The future that runs within it, by its end.
    Future,
}

struct Running {
    future: FutureId,
    /// Where its part of the stack begins.
    base: usize,
}

/// Who holds a guard that is parked: several futures may share a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    /// Code that runs outside of joined futures.
    Root,
    Future(FutureId),
    /// A future that took turns and does not any more, such as one that was
    /// lent to a race: the next future that enters the span is taken for it.
    Released,
}

impl<S: Enter> Entry<S> {
    fn foreign(&self) -> Option<ForeignId> {
        match self.leaver {
            Leaver::Foreign(foreign) => Some(foreign),
            Leaver::Guard | Leaver::Future => None,
        }
    }
}

impl<S: Enter> Stack<S> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            running: Vec::new(),
            suspended: BTreeMap::new(),
            parked: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// Makes a span the current one.
    pub(crate) fn enter(&mut self, span: S) -> EntryId {
        let id = self.push(span, Leaver::Guard);
        self.enter_topmost();
        id
    }

    /// Adds a span that is the current one already.
    pub(crate) fn entered(&mut self, span: S, scope: S::Scope) -> EntryId {
        let mut entry = self.entry(span, Leaver::Guard);
        entry.scope = Some(scope);
        let id = entry.id;
        self.entries.push(entry);
        id
    }

    /// Makes a span the current one, or what was entered within it by the same
    /// future and was still held when it was left.
    pub(crate) fn enter_again(&mut self, span: S, foreign: ForeignId) -> EntryId {
        let id = self.push(span, Leaver::Foreign(foreign));
        let holder = self.holder(self.entries.len());
        let mut held = self.parked.remove(&(foreign, holder)).unwrap_or_default();
        let released = self.parked.remove(&(foreign, Holder::Released));
        held.extend(released.into_iter().flatten());
        held.sort_by_key(|entry| entry.id);
        self.entries.append(&mut held);
        self.enter_topmost();
        id
    }

    /// Leaves a span of another crate, together with what was entered within it
    /// and is still held.
    pub(crate) fn exit(&mut self, id: EntryId) {
        let Some(index) = self.position(id) else {
            self.remove_waiting(id);
            return;
        };
        // What lies above it belongs to it up to the next span that another
        // crate entered, or to where the part of another future begins.
        let end = (index + 1..self.entries.len())
            .find(|end| self.entries[*end].foreign().is_some() || self.is_base(*end))
            .unwrap_or(self.entries.len());
        let was_on_top = end == self.entries.len();
        let holder = self.holder(index);
        let mut left: Vec<_> = self.entries.drain(index..end).collect();
        for entry in left.iter_mut().rev() {
            entry.scope = None;
        }
        for running in self.running.iter_mut().filter(|it| it.base > index) {
            running.base -= end - index;
        }
        let held = left.split_off(1);
        if let Some(foreign) = left[0].foreign().filter(|_| !held.is_empty()) {
            let parked = self.parked.entry((foreign, holder));
            parked.or_default().extend(held);
        }
        if was_on_top {
            self.enter_topmost();
        }
    }

    /// Takes a guard's entry out, wherever it lies.
    pub(crate) fn leave(&mut self, id: EntryId) {
        let Some(index) = self.position(id) else {
            self.remove_waiting(id);
            return;
        };
        let was_on_top = index + 1 == self.entries.len();
        self.entries.remove(index);
        for running in self.running.iter_mut().filter(|it| it.base > index) {
            running.base -= 1;
        }
        if was_on_top {
            self.enter_topmost();
        }
    }

    /// The span that is the current one, unless it is the server span.
    #[cfg_attr(
        not(any(feature = "tracing", feature = "opentelemetry")),
        expect(dead_code, reason = "the other crates' spans and events ask")
    )]
    pub(crate) fn topmost(&self) -> Option<(EntryId, &S)> {
        self.entries.last().map(|entry| (entry.id, &entry.span))
    }

    /// Names a future that has entered nothing yet.
    pub(crate) fn new_future(&mut self) -> FutureId {
        FutureId(self.next_id())
    }

    /// Names a future that runs within a span for all its life.
    pub(crate) fn new_future_within(&mut self, span: S) -> FutureId {
        let entry = self.entry(span, Leaver::Future);
        let future = self.new_future();
        self.suspended.insert(future, vec![entry]);
        future
    }

    /// Names a span of another crate.
    pub(crate) fn new_foreign(&mut self) -> ForeignId {
        ForeignId(self.next_id())
    }

    /// Puts the part of a future that is about to run on top.
    pub(crate) fn resume(&mut self, future: FutureId) {
        let base = self.entries.len();
        self.running.push(Running { future, base });
        if let Some(mut part) = self.suspended.remove(&future) {
            self.entries.append(&mut part);
            self.enter_topmost();
        }
    }

    /// Takes off the part of the future that was resumed last, leaving its spans.
    pub(crate) fn suspend(&mut self) {
        let Some(Running { future, base }) = self.running.pop() else {
            return;
        };
        if base == self.entries.len() {
            return;
        }
        let mut part: Vec<_> = self.entries.drain(base..).collect();
        for entry in part.iter_mut().rev() {
            entry.scope = None;
        }
        self.suspended.insert(future, part);
        self.enter_topmost();
    }

    /// Forgets a future that takes no more turns. Guards that it has made and that
    /// are still held, by whom it was lent or by what it gave back, are from now on
    /// those of the future that runs.
    pub(crate) fn forget_future(&mut self, future: FutureId) {
        let mut left = self.suspended.remove(&future).unwrap_or_default();
        left.retain(|entry| entry.leaver != Leaver::Future);
        if !left.is_empty() {
            self.entries.append(&mut left);
            self.enter_topmost();
        }
        let holder = Holder::Future(future);
        let spans = self.parked.keys().filter(|(_, of)| *of == holder);
        let spans: Vec<_> = spans.map(|(span, _)| *span).collect();
        for span in spans {
            let held = self.parked.remove(&(span, holder)).unwrap_or_default();
            let released = self.parked.entry((span, Holder::Released));
            released.or_default().extend(held);
        }
    }

    /// Drops what waits for a span that will not be entered again.
    pub(crate) fn forget_foreign(&mut self, foreign: ForeignId) {
        let holders = self.parked.range((foreign, Holder::Root)..);
        let holders = holders.take_while(|((of, _), _)| *of == foreign);
        let keys: Vec<_> = holders.map(|(key, _)| *key).collect();
        for key in keys {
            self.parked.remove(&key);
        }
    }

    fn push(&mut self, span: S, leaver: Leaver) -> EntryId {
        let entry = self.entry(span, leaver);
        let id = entry.id;
        self.entries.push(entry);
        id
    }

    fn entry(&mut self, span: S, leaver: Leaver) -> Entry<S> {
        Entry {
            id: EntryId(self.next_id()),
            leaver,
            span,
            scope: None,
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn position(&self, id: EntryId) -> Option<usize> {
        self.entries.iter().rposition(|entry| entry.id == id)
    }

    fn is_base(&self, index: usize) -> bool {
        self.running.iter().any(|running| running.base == index)
    }

    /// Whose part of the stack an index lies in.
    fn holder(&self, index: usize) -> Holder {
        let mut inwards = self.running.iter().rev();
        let part = inwards.find(|running| running.base <= index);
        part.map_or(Holder::Root, |running| Holder::Future(running.future))
    }

    /// Takes out an entry of which the host does not know, since its future
    /// does not run.
    fn remove_waiting(&mut self, id: EntryId) {
        let waiting = self.suspended.values_mut().chain(self.parked.values_mut());
        for entries in waiting {
            if let Some(index) = entries.iter().position(|entry| entry.id == id) {
                entries.remove(index);
                return;
            }
        }
    }

    fn enter_topmost(&mut self) {
        if let Some(entry) = self.entries.last_mut()
            && entry.scope.is_none()
        {
            entry.scope = Some(entry.span.enter());
        }
    }
}

#[cfg(test)]
mod tests;
