//! The `fanlight` program.

mod admin_client;
mod args;
mod cli;
mod commands;
mod config_file;
mod help;
mod log;
#[cfg(test)]
mod reference;
mod signals;
mod span_tree;
mod stderr;
mod terminal;
mod variables;
mod viewer_client;

use std::process::ExitCode;
use std::time::Duration;

/// A request makes some hundred small allocations, most of which live as long as
/// it does, and its spans are freed by another thread than the one that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often unused memory is returned to the system.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);

/// mimalloc's option `page_reclaim_on_free`, which its crate has no name for: the
/// place in `mi_option_t`, the same in all of version 3.
const PAGE_RECLAIM_ON_FREE: libmimalloc_sys::mi_option_t = 35;

fn main() -> ExitCode {
    leave_pages();
    give_back_memory();
    cli::Cli::read().run()
}

/// Makes threads leave pages of memory that they gave up. By default the thread that
/// frees something in such a page takes it again; what others free in it from then
/// on waits for that thread to allocate, and after a burst of requests none does:
/// of 420 MiB it held, the server kept 280 to 400.
fn leave_pages() {
    #[expect(unsafe_code, reason = "mimalloc has it as a function of C alone")]
    // SAFETY: it writes a number to a table that holds as many; a thread that reads it
    // meanwhile has the one or the other. What the environment says goes first.
    unsafe {
        libmimalloc_sys::mi_option_set_default(PAGE_RECLAIM_ON_FREE, -1);
    }
}

/// Returns memory to the system after a burst of requests. mimalloc does so by
/// itself a while after memory was freed, but only at the next allocation, and
/// after a burst there is none. To return memory at once would cost a call to the
/// kernel for each of many requests.
fn give_back_memory() {
    let thread = std::thread::Builder::new().name("memory".to_owned());
    // Without the thread all works as well, in more memory.
    let _ = thread.spawn(|| {
        loop {
            std::thread::sleep(GIVE_BACK_EVERY);
            #[expect(unsafe_code, reason = "mimalloc has it as a function of C alone")]
            // SAFETY: any thread may call it at any time; it touches no block in use.
            unsafe {
                libmimalloc_sys::mi_collect(false);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::PAGE_RECLAIM_ON_FREE;

    #[test]
    fn the_option_is_where_it_is_thought_to_be() {
        let first = PAGE_RECLAIM_ON_FREE - 1;
        #[expect(unsafe_code, reason = "mimalloc has it as a function of C alone")]
        // SAFETY: it reads numbers from a table that holds as many.
        let around = unsafe {
            [first, first + 1, first + 2, first + 3].map(|it| libmimalloc_sys::mi_option_get(it))
        };
        // What generic_collect, page_reclaim_on_free, page_full_retain and
        // page_max_candidates are by default.
        assert_eq!(around, [10_000, 0, 2, 4]);
    }
}
