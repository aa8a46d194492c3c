//! Traps and exits: before the head, in the midst of the body, after all.

use std::process::{abort, exit};
use std::time::Duration;

use fanlight_guest::{Request, Response, sleep, span};

/// How long a part of a body gets to reach the client.
pub(crate) const UNDERWAY: Duration = Duration::from_millis(50);

/// Traps with a child span open, which the host ends.
pub(crate) fn with_open_span() -> Response {
    let _span = span!("open_at_trap");
    trap_on_purpose()
}

/// Is named by the backtrace. Aborting is a bare trap, without a message.
#[inline(never)]
pub(crate) fn trap_on_purpose() -> ! {
    abort()
}

#[inline(never)]
#[expect(clippy::panic, reason = "that is the fault")]
pub(crate) fn panic_with_message() -> Response {
    panic!("said by the panic")
}

pub(crate) fn after_head() -> Response {
    Response::stream(200, async |body| {
        body.write("the first half, ").await?;
        body.flush().await?;
        sleep(UNDERWAY).await;
        trap_on_purpose()
    })
}

pub(crate) fn after_last_byte(status: u16, delay: Duration) -> Response {
    Response::text("complete\n")
        .status(status)
        .after(async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            trap_on_purpose()
        })
}

/// Gives up in the midst of the body, without a trap.
pub(crate) fn abort_after_head() -> Response {
    Response::stream(200, async |body| {
        body.write("the first half, ").await?;
        body.flush().await?;
        sleep(UNDERWAY).await;
        Err("the second half is missing".into())
    })
}

/// Exits with the code and at the time that the query says, with a span open.
pub(crate) fn exits(request: &Request) -> Response {
    let code = i32::from(request.query_param("code").as_deref() == Some("1"));
    match request.query_param("when").as_deref() {
        Some("during") => Response::stream(200, async move |body| {
            body.write("the first half, ").await?;
            body.flush().await?;
            sleep(UNDERWAY).await;
            exit(code)
        }),
        Some("after") => Response::text("complete\n").after(async move { exit(code) }),
        Some("late") => Response::text("complete\n").after(async move {
            sleep(UNDERWAY).await;
            exit(code)
        }),
        _ => {
            let _span = span!("open_at_exit");
            exit(code)
        }
    }
}
