//! Taking more than there is: time, memory, stack.

use std::hint::{black_box, spin_loop};
use std::mem;

use fanlight_guest::Response;

/// Touched at once, so that the memory is really needed.
const PIECE_BYTES: usize = 1024 * 1024;

/// Never returns.
pub(crate) fn spin() -> Response {
    loop {
        spin_loop();
    }
}

/// Takes memory until there is none.
pub(crate) fn grow() -> Response {
    loop {
        mem::forget(black_box(vec![1_u8; PIECE_BYTES]));
    }
}

/// Takes memory until it is refused some, and keeps it.
pub(crate) fn grow_to_the_bound() {
    loop {
        let mut piece = Vec::<u8>::new();
        if piece.try_reserve(PIECE_BYTES).is_err() {
            return;
        }
        mem::forget(black_box(piece));
    }
}

/// Calls itself until the stack is full.
pub(crate) fn recurse() -> Response {
    Response::text(format!("{}\n", deeper(1)))
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the fault")]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    deeper(depth + 1) + frame[0]
}
