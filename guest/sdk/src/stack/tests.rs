//! The stack over a host that is a list of names.

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
    /// How many spans are held.
    spans: usize,
}

impl Host {
    fn span(&self, name: &'static str) -> FakeSpan {
        self.0.borrow_mut().spans += 1;
        FakeSpan(self.clone(), name)
    }

    fn spans(&self) -> usize {
        self.0.borrow().spans
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

impl Drop for FakeSpan {
    fn drop(&mut self) {
        self.0.0.borrow_mut().spans -= 1;
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
    let (one, two) = (stack.new_future(), stack.new_future());
    let outer = stack.enter(host.span("outer"));

    stack.resume(one);
    let a = stack.enter(host.span("a"));
    let inner = stack.enter(host.span("inner"));
    stack.suspend();
    assert_eq!(host.current(), "outer");

    stack.resume(two);
    assert_eq!(host.current(), "outer");
    let b = stack.enter(host.span("b"));
    stack.suspend();

    stack.resume(one);
    assert_eq!(host.current(), "inner");
    stack.leave(inner);
    assert_eq!(host.current(), "a");
    stack.leave(a);
    assert_eq!(host.current(), "outer");
    stack.suspend();

    stack.resume(two);
    assert_eq!(host.current(), "b");
    stack.leave(b);
    stack.suspend();

    stack.leave(outer);
    assert_eq!(host.current(), "server");
}

#[test]
fn a_future_that_enters_nothing_costs_no_calls() {
    let (host, mut stack) = setup();
    let future = stack.new_future();
    for _ in 0..3 {
        stack.resume(future);
        stack.suspend();
    }
    assert_eq!(host.calls(), 0);
}

#[test]
fn only_the_topmost_span_is_entered_again() {
    let (host, mut stack) = setup();
    let future = stack.new_future_within(host.span("task"));
    stack.resume(future);
    let a = stack.enter(host.span("a"));
    stack.suspend();
    let calls = host.calls();
    stack.resume(future);
    assert_eq!(host.current(), "a");
    assert_eq!(host.calls(), calls + 1);
    stack.leave(a);
    assert_eq!(host.current(), "task");
    stack.suspend();
    assert_eq!(host.current(), "server");
}

#[test]
fn an_outer_span_left_from_within_a_future_is_gone_at_once() {
    let (host, mut stack) = setup();
    let future = stack.new_future();
    let outer = stack.enter(host.span("outer"));
    let middle = stack.enter(host.span("middle"));
    stack.resume(future);
    let a = stack.enter(host.span("a"));
    stack.leave(middle);
    stack.leave(outer);
    assert_eq!(host.current(), "a");
    stack.suspend();
    assert_eq!(host.current(), "server");
    stack.resume(future);
    assert_eq!(host.current(), "a");
    stack.leave(a);
    stack.suspend();
    assert_eq!(host.current(), "server");
}

#[test]
fn a_span_left_while_its_future_does_not_run_is_not_entered_again() {
    let (host, mut stack) = setup();
    let future = stack.new_future();
    stack.resume(future);
    let a = stack.enter(host.span("a"));
    let b = stack.enter(host.span("b"));
    stack.suspend();
    stack.leave(b);
    stack.resume(future);
    assert_eq!(host.current(), "a");
    stack.leave(a);
    assert_eq!(host.current(), "server");
    stack.suspend();
    assert_eq!(host.spans(), 0);
}

#[test]
fn futures_joined_within_futures_nest() {
    let (host, mut stack) = setup();
    let (outer, inner) = (stack.new_future(), stack.new_future());
    stack.resume(outer);
    let a = stack.enter(host.span("a"));
    stack.resume(inner);
    let b = stack.enter(host.span("b"));
    stack.suspend();
    stack.suspend();
    assert_eq!(host.current(), "server");
    stack.resume(outer);
    assert_eq!(host.current(), "a");
    stack.resume(inner);
    assert_eq!(host.current(), "b");
    stack.leave(b);
    stack.suspend();
    stack.leave(a);
    stack.suspend();
    assert_eq!(host.current(), "server");
}

#[test]
fn a_guard_held_in_a_span_that_is_left_comes_back_above_it() {
    let (host, mut stack) = setup();
    let within = stack.new_foreign();
    let task = stack.enter_again(host.span("task"), within);
    let guard = stack.enter(host.span("guard"));
    stack.exit(task);
    assert_eq!(host.current(), "server");
    let task = stack.enter_again(host.span("task"), within);
    assert_eq!(host.current(), "guard");
    stack.leave(guard);
    assert_eq!(host.current(), "task");
    stack.exit(task);
    assert_eq!(host.current(), "server");
    assert!(stack.parked.is_empty());
}

#[test]
fn spans_of_another_crate_may_be_left_in_any_order() {
    let (host, mut stack) = setup();
    let (in_a, in_b) = (stack.new_foreign(), stack.new_foreign());
    let a = stack.enter_again(host.span("a"), in_a);
    let of_a = stack.enter(host.span("of_a"));
    let b = stack.enter_again(host.span("b"), in_b);
    let of_b = stack.enter(host.span("of_b"));
    stack.exit(a);
    assert_eq!(host.current(), "of_b");
    stack.leave(of_b);
    assert_eq!(host.current(), "b");
    stack.exit(b);
    assert_eq!(host.current(), "server");
    let a = stack.enter_again(host.span("a"), in_a);
    assert_eq!(host.current(), "of_a");
    stack.leave(of_a);
    stack.exit(a);
    assert_eq!(host.current(), "server");
}

#[test]
fn a_guard_dropped_while_its_span_is_left_ends_and_does_not_come_back() {
    let (host, mut stack) = setup();
    let within = stack.new_foreign();
    let task = stack.enter_again(host.span("task"), within);
    let guard = stack.enter(host.span("guard"));
    stack.exit(task);
    assert_eq!(host.spans(), 1);
    stack.leave(guard);
    assert_eq!(host.spans(), 0);
    let task = stack.enter_again(host.span("task"), within);
    assert_eq!(host.current(), "task");
    stack.exit(task);
    assert_eq!(host.spans(), 0);
}

#[test]
fn futures_that_share_a_span_keep_what_they_hold_within_it_apart() {
    let (host, mut stack) = setup();
    let shared = stack.new_foreign();
    let (one, two) = (stack.new_future(), stack.new_future());
    let outer = stack.enter(host.span("outer"));

    stack.resume(one);
    let task = stack.enter_again(host.span("task"), shared);
    let held = stack.enter(host.span("held"));
    stack.exit(task);
    stack.suspend();
    assert_eq!(host.current(), "outer");

    stack.resume(two);
    let task = stack.enter_again(host.span("task"), shared);
    assert_eq!(host.current(), "task");
    stack.exit(task);
    stack.suspend();

    // Nor has it whoever polls them both.
    let task = stack.enter_again(host.span("task"), shared);
    assert_eq!(host.current(), "task");
    stack.exit(task);

    stack.resume(one);
    let task = stack.enter_again(host.span("task"), shared);
    assert_eq!(host.current(), "held");
    stack.leave(held);
    stack.exit(task);
    stack.suspend();
    stack.leave(outer);
    assert_eq!((host.current(), host.spans()), ("server", 0));
}

#[test]
fn what_a_future_held_that_was_lent_comes_back_where_it_runs_next() {
    let (host, mut stack) = setup();
    let of_task = stack.new_foreign();
    let (race, other) = (stack.new_future(), stack.new_future());
    stack.resume(race);
    let task = stack.enter_again(host.span("task"), of_task);
    let first = stack.enter(host.span("first"));
    let second = stack.enter(host.span("second"));
    stack.exit(task);
    stack.suspend();
    stack.forget_future(race);

    stack.resume(other);
    let task = stack.enter_again(host.span("task"), of_task);
    assert_eq!(host.current(), "second");
    stack.leave(second);
    assert_eq!(host.current(), "first");
    stack.exit(task);
    stack.suspend();
    stack.leave(first);
    assert_eq!((host.current(), host.spans()), ("server", 0));
}

#[test]
fn nothing_is_kept_for_spans_and_futures_that_are_gone() {
    let (host, mut stack) = setup();
    let (of_task, future) = (stack.new_foreign(), stack.new_future());
    for future in [None, Some(future)] {
        if let Some(future) = future {
            stack.resume(future);
        }
        let task = stack.enter_again(host.span("task"), of_task);
        let parked = stack.enter(host.span("parked"));
        stack.exit(task);
        let suspended = stack.enter(host.span("suspended"));
        if let Some(future) = future {
            stack.suspend();
            stack.forget_future(future);
        }
        stack.forget_foreign(of_task);
        stack.leave(parked);
        stack.leave(suspended);
        assert_eq!((host.current(), host.spans()), ("server", 0));
        assert!(stack.parked.is_empty() && stack.suspended.is_empty());
    }
}

#[test]
fn a_span_left_within_another_future_leaves_that_futures_part_alone() {
    let (host, mut stack) = setup();
    let (within, future) = (stack.new_foreign(), stack.new_future());
    let task = stack.enter_again(host.span("task"), within);
    let guard = stack.enter(host.span("guard"));
    stack.resume(future);
    let a = stack.enter(host.span("a"));
    stack.exit(task);
    assert_eq!(host.current(), "a");
    stack.suspend();
    assert_eq!(host.current(), "server");
    stack.resume(future);
    assert_eq!(host.current(), "a");
    stack.leave(a);
    stack.suspend();
    stack.leave(guard);
    assert_eq!(host.current(), "server");
}

#[test]
fn a_guard_that_outlives_its_future_is_one_of_whoever_waited_for_that() {
    let (host, mut stack) = setup();
    let (race, next) = (
        stack.new_future(),
        stack.new_future_within(host.span("task")),
    );
    stack.resume(race);
    let lent = stack.enter(host.span("lent"));
    stack.suspend();
    assert_eq!(host.current(), "server");
    stack.forget_future(race);
    assert_eq!(host.current(), "lent");
    stack.resume(next);
    stack.suspend();
    // What a future runs within is left with it.
    stack.forget_future(next);
    assert_eq!(host.current(), "lent");
    stack.leave(lent);
    assert_eq!((host.current(), host.spans()), ("server", 0));
}
