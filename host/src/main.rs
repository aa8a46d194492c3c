//! The `fanlight` program.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// A request makes some hundred small allocations, most of which live as long as
/// it does, and its spans are freed by another thread than the one that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often memory goes back to the system that nobody has used for as long.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    give_back_memory();
    fanlight::Cli::parse().run()
}

/// Gives memory back after a burst of requests. mimalloc does it by itself a
/// while after memory was freed, but only when somebody allocates next, and then
/// nobody does. To give back at once would cost a call to the kernel for each of
/// many requests.
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
