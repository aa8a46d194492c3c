//! The spans that are entered, and what becomes of them when another future runs.
//!
//! The host knows one stack: the span entered last and not left yet is the
//! current one. Futures that are joined take turns, and each has spans of its
//! own. So a future that is polled in turns keeps its part of the stack while
//! it does not run: [`Stack::suspend`] leaves its spans on the host, and
//! [`Stack::resume`] enters the topmost of them again.
//!
//! Invariant: the topmost entry is entered on the host, and the entries that
//! are entered there were entered in the order of the stack.

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
    span: S,
    /// Absent where an entry further up makes it irrelevant to the host.
    scope: Option<S::Scope>,
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
        self.last_id += 1;
        let id = EntryId(self.last_id);
        let scope = Some(span.enter());
        self.entries.push(Entry { id, span, scope });
        id
    }

    /// Takes an entry out, wherever it stands.
    pub(crate) fn leave(&mut self, id: EntryId) {
        let Some(index) = self.entries.iter().rposition(|entry| entry.id == id) else {
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
        if suspended.0.is_empty() {
            return;
        }
        if !self.left.is_empty() {
            let left = &mut self.left;
            suspended.0.retain(|entry| {
                let found = left.iter().position(|id| *id == entry.id);
                found.map(|index| left.swap_remove(index)).is_none()
            });
        }
        self.entries.append(&mut suspended.0);
        self.enter_topmost();
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

    fn enter_topmost(&mut self) {
        if let Some(entry) = self.entries.last_mut()
            && entry.scope.is_none()
        {
            entry.scope = Some(entry.span.enter());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Host(Rc<RefCell<HostState>>);

    #[derive(Default)]
    struct HostState {
        /// The scopes that are entered, by number, and their spans' names.
        entered: Vec<(u64, &'static str)>,
        calls: u64,
    }

    impl Host {
        fn span(&self, name: &'static str) -> FakeSpan {
            FakeSpan(self.clone(), name)
        }

        fn current(&self) -> &'static str {
            let state = self.0.borrow();
            state.entered.last().map_or("server", |(_, name)| name)
        }

        fn calls(&self) -> u64 {
            self.0.borrow().calls
        }
    }

    struct FakeSpan(Host, &'static str);

    struct FakeScope(Host, u64);

    impl Enter for FakeSpan {
        type Scope = FakeScope;

        fn enter(&self) -> FakeScope {
            let mut state = self.0.0.borrow_mut();
            state.calls += 1;
            let number = state.calls;
            state.entered.push((number, self.1));
            FakeScope(self.0.clone(), number)
        }
    }

    impl Drop for FakeScope {
        fn drop(&mut self) {
            let mut state = self.0.0.borrow_mut();
            state.calls += 1;
            state.entered.retain(|(number, _)| *number != self.1);
        }
    }

    fn setup() -> (Host, Stack<FakeSpan>) {
        (Host::default(), Stack::new())
    }

    #[test]
    fn entering_and_leaving_is_one_call_each() {
        let (host, mut stack) = setup();
        let a = stack.enter(host.span("a"));
        let b = stack.enter(host.span("b"));
        assert_eq!(host.current(), "b");
        stack.leave(b);
        assert_eq!(host.current(), "a");
        stack.leave(a);
        assert_eq!(host.current(), "server");
        assert_eq!(host.calls(), 4);
    }

    #[test]
    fn leaving_in_another_order_keeps_the_last_one_entered() {
        let (host, mut stack) = setup();
        let a = stack.enter(host.span("a"));
        let b = stack.enter(host.span("b"));
        let c = stack.enter(host.span("c"));
        stack.leave(b);
        assert_eq!(host.current(), "c");
        stack.leave(c);
        assert_eq!(host.current(), "a");
        stack.leave(a);
        assert_eq!(host.current(), "server");
    }

    #[test]
    fn joined_futures_do_not_see_each_others_spans() {
        let (host, mut stack) = setup();
        let (mut one, mut two) = (Suspended::new(), Suspended::new());
        let outer = stack.enter(host.span("outer"));

        stack.resume(&mut one);
        let a = stack.enter(host.span("a"));
        let inner = stack.enter(host.span("inner"));
        stack.suspend(&mut one);
        assert_eq!(host.current(), "outer");

        stack.resume(&mut two);
        assert_eq!(host.current(), "outer");
        let b = stack.enter(host.span("b"));
        stack.suspend(&mut two);

        stack.resume(&mut one);
        assert_eq!(host.current(), "inner");
        stack.leave(inner);
        assert_eq!(host.current(), "a");
        stack.leave(a);
        assert_eq!(host.current(), "outer");
        stack.suspend(&mut one);

        stack.resume(&mut two);
        assert_eq!(host.current(), "b");
        stack.leave(b);
        stack.suspend(&mut two);

        stack.leave(outer);
        assert_eq!(host.current(), "server");
    }

    #[test]
    fn a_future_that_enters_nothing_costs_no_calls() {
        let (host, mut stack) = setup();
        let mut future = Suspended::new();
        for _ in 0..3 {
            stack.resume(&mut future);
            stack.suspend(&mut future);
        }
        assert_eq!(host.calls(), 0);
    }

    #[test]
    fn only_the_topmost_span_is_entered_again() {
        let (host, mut stack) = setup();
        let mut future = Suspended::within(host.span("task"));
        stack.resume(&mut future);
        let a = stack.enter(host.span("a"));
        stack.suspend(&mut future);
        let calls = host.calls();
        stack.resume(&mut future);
        assert_eq!(host.current(), "a");
        assert_eq!(host.calls(), calls + 1);
        stack.leave(a);
        assert_eq!(host.current(), "task");
        stack.suspend(&mut future);
        assert_eq!(host.current(), "server");
    }

    #[test]
    fn an_outer_span_left_from_within_a_future_is_gone_at_once() {
        let (host, mut stack) = setup();
        let mut future = Suspended::new();
        let outer = stack.enter(host.span("outer"));
        let middle = stack.enter(host.span("middle"));
        stack.resume(&mut future);
        let a = stack.enter(host.span("a"));
        stack.leave(middle);
        stack.leave(outer);
        assert_eq!(host.current(), "a");
        stack.suspend(&mut future);
        assert_eq!(host.current(), "server");
        stack.resume(&mut future);
        assert_eq!(host.current(), "a");
        stack.leave(a);
        stack.suspend(&mut future);
        assert_eq!(host.current(), "server");
    }

    #[test]
    fn a_span_left_while_its_future_does_not_run_is_not_entered_again() {
        let (host, mut stack) = setup();
        let mut future = Suspended::new();
        stack.resume(&mut future);
        let a = stack.enter(host.span("a"));
        let b = stack.enter(host.span("b"));
        stack.suspend(&mut future);
        stack.leave(b);
        stack.resume(&mut future);
        assert_eq!(host.current(), "a");
        stack.leave(a);
        assert_eq!(host.current(), "server");
        stack.suspend(&mut future);
        assert!(stack.left.is_empty());
    }

    #[test]
    fn futures_joined_within_futures_nest() {
        let (host, mut stack) = setup();
        let (mut outer, mut inner) = (Suspended::new(), Suspended::new());
        stack.resume(&mut outer);
        let a = stack.enter(host.span("a"));
        stack.resume(&mut inner);
        let b = stack.enter(host.span("b"));
        stack.suspend(&mut inner);
        stack.suspend(&mut outer);
        assert_eq!(host.current(), "server");
        stack.resume(&mut outer);
        assert_eq!(host.current(), "a");
        stack.resume(&mut inner);
        assert_eq!(host.current(), "b");
        stack.leave(b);
        stack.suspend(&mut inner);
        stack.leave(a);
        stack.suspend(&mut outer);
        assert_eq!(host.current(), "server");
    }
}
