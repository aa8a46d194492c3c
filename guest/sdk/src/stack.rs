//! The spans that are entered, and what becomes of them when another future runs.
//!
//! The host knows one stack: the span entered last and not left yet is the
//! current one. Futures that are joined take turns, and each has spans of its
//! own. So a future that is polled in turns keeps its part of the stack while
//! it does not run: [`Stack::suspend`] leaves its spans on the host, and
//! [`Stack::resume`] enters the topmost of them again.
//!
//! Spans of the crates `tracing` and `opentelemetry` are left and entered again
//! by those crates, at every poll of a future, and by nobody's order. A guard
//! that was made within such a span and is still held when the span is left
//! lies in the future that waits. [`Stack::exit`] takes it along, and
//! [`Stack::enter_again`] brings it back on top of its span.
//!
//! Invariant: the topmost entry is entered on the host, and the entries that
//! are entered there were entered in the order of the stack.

#![cfg_attr(
    not(any(test, feature = "tracing", feature = "opentelemetry")),
    expect(dead_code, reason = "nobody enters a span again")
)]

/// What can be entered: a span of the host, or a fake in tests.
pub(crate) trait Enter {
    /// What leaves by being dropped.
    type Scope;

    fn enter(&self) -> Self::Scope;
}

/// The spans entered by the futures that are running.
pub(crate) struct Stack<S: Enter> {
    entries: Vec<Entry<S>>,
    /// Where the part of each running future begins, outermost first.
    bases: Vec<usize>,
    /// Entries that were left while their future did not run.
    left: Vec<EntryId>,
    last_id: u64,
}

/// Names an entry, wherever it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryId(u64);

struct Entry<S: Enter> {
    id: EntryId,
    kind: Kind,
    span: S,
    /// Absent where an entry further up makes it irrelevant to the host.
    scope: Option<S::Scope>,
}

/// Who leaves an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A guard that is dropped once.
    Guard,
    /// Another crate, which may enter the span again.
    Foreign,
}

/// The part of a future that does not run.
pub(crate) struct Suspended<S: Enter>(Vec<Entry<S>>);

impl<S: Enter> Suspended<S> {
    /// A future that has entered nothing yet.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// A future that runs within a span for all its life.
    pub(crate) fn within(span: S) -> Self {
        Self(vec![Entry {
            id: EntryId(0),
            kind: Kind::Guard,
            span,
            scope: None,
        }])
    }
}

impl<S: Enter> Stack<S> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            bases: Vec::new(),
            left: Vec::new(),
            last_id: 0,
        }
    }

    /// Makes a span the current one.
    pub(crate) fn enter(&mut self, span: S) -> EntryId {
        let id = self.push(span, Kind::Guard);
        self.enter_topmost();
        id
    }

    /// Makes a span the current one, or what was entered within it and was
    /// still held when it was left.
    pub(crate) fn enter_again(&mut self, span: S, within: &mut Suspended<S>) -> EntryId {
        let id = self.push(span, Kind::Foreign);
        self.bring_back(within);
        self.enter_topmost();
        id
    }

    /// Leaves a span, together with what was entered within it and is still held.
    pub(crate) fn exit(&mut self, id: EntryId, within: &mut Suspended<S>) {
        let Some(index) = self.position(id) else {
            self.left.push(id);
            return;
        };
        // What lies above it belongs to it up to the next span that another
        // crate entered, or to where the part of another future begins.
        let end = (index + 1..self.entries.len())
            .find(|end| self.entries[*end].kind == Kind::Foreign || self.bases.contains(end))
            .unwrap_or(self.entries.len());
        let was_on_top = end == self.entries.len();
        let mut left: Vec<_> = self.entries.drain(index..end).collect();
        for entry in left.iter_mut().rev() {
            entry.scope = None;
        }
        within.0.extend(left.into_iter().skip(1));
        for base in self.bases.iter_mut().filter(|base| **base > index) {
            *base -= end - index;
        }
        if was_on_top {
            self.enter_topmost();
        }
    }

    /// The span that is the current one, unless it is the server span.
    #[cfg(feature = "tracing")]
    pub(crate) fn topmost(&self) -> Option<&S> {
        self.entries.last().map(|entry| &entry.span)
    }

    /// Takes an entry out, wherever it stands.
    pub(crate) fn leave(&mut self, id: EntryId) {
        let Some(index) = self.position(id) else {
            // Its future does not run, so that the host does not know of it.
            self.left.push(id);
            return;
        };
        let was_on_top = index + 1 == self.entries.len();
        self.entries.remove(index);
        for base in self.bases.iter_mut().filter(|base| **base > index) {
            *base -= 1;
        }
        if was_on_top {
            self.enter_topmost();
        }
    }

    /// Puts the part of a future that is about to run on top.
    pub(crate) fn resume(&mut self, suspended: &mut Suspended<S>) {
        self.bases.push(self.entries.len());
        if !suspended.0.is_empty() {
            self.bring_back(suspended);
            self.enter_topmost();
        }
    }

    /// Takes off the part of the future that ran last, leaving its spans.
    pub(crate) fn suspend(&mut self, suspended: &mut Suspended<S>) {
        let Some(base) = self.bases.pop() else {
            return;
        };
        if base == self.entries.len() {
            return;
        }
        suspended.0.extend(self.entries.drain(base..));
        for entry in suspended.0.iter_mut().rev() {
            entry.scope = None;
        }
        self.enter_topmost();
    }

    fn push(&mut self, span: S, kind: Kind) -> EntryId {
        self.last_id += 1;
        let id = EntryId(self.last_id);
        self.entries.push(Entry {
            id,
            kind,
            span,
            scope: None,
        });
        id
    }

    fn position(&self, id: EntryId) -> Option<usize> {
        self.entries.iter().rposition(|entry| entry.id == id)
    }

    /// Puts entries on top, but for those that were left meanwhile.
    fn bring_back(&mut self, suspended: &mut Suspended<S>) {
        if !self.left.is_empty() {
            let left = &mut self.left;
            suspended.0.retain(|entry| {
                let found = left.iter().position(|id| *id == entry.id);
                found.map(|index| left.swap_remove(index)).is_none()
            });
        }
        self.entries.append(&mut suspended.0);
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
