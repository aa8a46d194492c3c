//! Leaving as much as possible behind, and looking for what others have left.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{Write, stderr, stdout};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fanlight_guest::bindings::wasi::http::types::Fields;
use fanlight_guest::{
    Request, Response, Status, attributes, current_context, info, random_u64, server_span, sleep,
    span,
};

use crate::greed::spin;
use crate::trap::trap_on_purpose;

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(600);
/// How often the secret is left in memory, far beyond what a module begins with.
const COPIES: usize = 200_000;
/// Digits of a secret, behind a word that all secrets have in common.
const DIGITS: usize = 6;

/// Tells what it finds, one thing a line: the current span, two random numbers,
/// how many requests this instance has seen, and secrets of others. Then it
/// leaves its own `secret` wherever it can, and ends as `how` has it.
pub(crate) async fn leave(request: &Request) -> Response {
    let secret = request.query_param("secret").unwrap_or_default();
    let current = current_context();
    let found = format!(
        "{} {}\n{:016x}\n{:016x}\n{}\n{}\n",
        current.trace_id,
        current.span_id,
        random_u64(),
        // The standard library seeds its hash maps from the host as well.
        RandomState::new().hash_one(0),
        requests_seen(),
        others(&secret).into_iter().collect::<Vec<_>>().join(" "),
    );
    leave_everywhere(&secret);
    match request.query_param("how").as_deref() {
        Some("trap") => trap_on_purpose(),
        Some("loop") => spin(),
        Some("sleep") => {
            sleep(FOR_EVER).await;
            Response::text("slept\n")
        }
        _ => Response::text(found),
    }
}

fn leave_everywhere(secret: &str) {
    let server = server_span();
    server.set_route(&format!("/leave/{secret}"));
    server.set_attributes(&attributes!["secret" = secret]);
    server.record_exception_as("Secret", secret);
    server.set_status(Status::Error(secret));
    // Never left and never ended: it is the current span to the end.
    mem::forget(span!("left", "secret" = secret));
    info!("{secret}");
    for n in 0..20 {
        let fields = Fields::new();
        fields.append(&format!("x-{n}"), secret.as_bytes()).ok();
        mem::forget(fields);
    }
    mem::forget(secret.repeat(COPIES));
    // Lines without an end.
    print!("out {secret}");
    eprint!("err {secret}");
    stdout().flush().ok();
    stderr().flush().ok();
}

fn requests_seen() -> u64 {
    static SEEN: AtomicU64 = AtomicU64::new(0);

    SEEN.fetch_add(1, Ordering::Relaxed) + 1
}

/// Secrets in this instance's memory that are not this request's: in its
/// static data, on its stack, on its heap.
fn others(secret: &str) -> BTreeSet<String> {
    let Some(prefix) = secret.len().checked_sub(DIGITS).map(|end| &secret[..end]) else {
        return BTreeSet::new();
    };
    let mut found = BTreeSet::new();
    let memory = memory();
    for at in places(memory, prefix.as_bytes()) {
        let digits = &memory[at + prefix.len()..(at + secret.len()).min(memory.len())];
        let own = &secret.as_bytes()[prefix.len()..];
        if digits.len() == DIGITS && digits != own && digits.iter().all(u8::is_ascii_digit) {
            found.insert(String::from_utf8_lossy(digits).into_owned());
        }
    }
    found
}

/// Where a text begins in the memory.
fn places<'a>(memory: &'a [u8], text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = text.first().copied();
    memory.iter().enumerate().filter_map(move |(at, byte)| {
        (Some(*byte) == first && memory[at..].starts_with(text)).then_some(at)
    })
}

/// The whole memory of this instance.
#[cfg(target_family = "wasm")]
#[expect(
    unsafe_code,
    reason = "what others have left is nowhere in Rust's view"
)]
fn memory() -> &'static [u8] {
    const PAGE_BYTES: usize = 64 * 1024;
    let end = core::arch::wasm32::memory_size(0) * PAGE_BYTES;
    // SAFETY: every address below the size can be read. Address 0 is none for
    // Rust, so it begins at 1. Nothing is written while it is looked at.
    unsafe { std::slice::from_raw_parts(std::ptr::without_provenance(1), end - 1) }
}

#[cfg(not(target_family = "wasm"))]
fn memory() -> &'static [u8] {
    &[]
}
