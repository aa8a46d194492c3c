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

#[test]
fn a_guard_held_in_a_span_that_is_left_comes_back_above_it() {
    let (host, mut stack) = setup();
    let mut within = Suspended::new();
    let task = stack.enter_again(host.span("task"), &mut within);
    let guard = stack.enter(host.span("guard"));
    stack.exit(task, &mut within);
    assert_eq!(host.current(), "server");
    let task = stack.enter_again(host.span("task"), &mut within);
    assert_eq!(host.current(), "guard");
    stack.leave(guard);
    assert_eq!(host.current(), "task");
    stack.exit(task, &mut within);
    assert_eq!(host.current(), "server");
    assert!(within.0.is_empty() && stack.left.is_empty());
}

#[test]
fn spans_of_another_crate_may_be_left_in_any_order() {
    let (host, mut stack) = setup();
    let (mut in_a, mut in_b) = (Suspended::new(), Suspended::new());
    let a = stack.enter_again(host.span("a"), &mut in_a);
    let of_a = stack.enter(host.span("of_a"));
    let b = stack.enter_again(host.span("b"), &mut in_b);
    let of_b = stack.enter(host.span("of_b"));
    stack.exit(a, &mut in_a);
    assert_eq!(host.current(), "of_b");
    stack.leave(of_b);
    assert_eq!(host.current(), "b");
    stack.exit(b, &mut in_b);
    assert_eq!(host.current(), "server");
    let a = stack.enter_again(host.span("a"), &mut in_a);
    assert_eq!(host.current(), "of_a");
    stack.leave(of_a);
    stack.exit(a, &mut in_a);
    assert_eq!(host.current(), "server");
}

#[test]
fn a_guard_dropped_while_its_span_is_left_does_not_come_back() {
    let (host, mut stack) = setup();
    let mut within = Suspended::new();
    let task = stack.enter_again(host.span("task"), &mut within);
    let guard = stack.enter(host.span("guard"));
    stack.exit(task, &mut within);
    stack.leave(guard);
    let task = stack.enter_again(host.span("task"), &mut within);
    assert_eq!(host.current(), "task");
    stack.exit(task, &mut within);
    assert!(stack.left.is_empty());
}

#[test]
fn a_span_left_within_another_future_leaves_that_futures_part_alone() {
    let (host, mut stack) = setup();
    let (mut within, mut future) = (Suspended::new(), Suspended::new());
    let task = stack.enter_again(host.span("task"), &mut within);
    let guard = stack.enter(host.span("guard"));
    stack.resume(&mut future);
    let a = stack.enter(host.span("a"));
    stack.exit(task, &mut within);
    assert_eq!(host.current(), "a");
    stack.suspend(&mut future);
    assert_eq!(host.current(), "server");
    stack.resume(&mut future);
    assert_eq!(host.current(), "a");
    stack.leave(a);
    stack.suspend(&mut future);
    stack.leave(guard);
    assert_eq!(host.current(), "server");
}
