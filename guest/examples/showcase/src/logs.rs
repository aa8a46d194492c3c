//! Log records, and lines that are printed.

use std::io::{Write, stdout};
use std::time::{Duration, UNIX_EPOCH};

use fanlight_guest::{LogRecord, Response, Severity, debug, error, fatal, info, span, trace, warn};

use crate::done;

/// A record of each severity within `logging`, and one that says all it can.
pub(crate) fn records() -> Response {
    let _span = span!("logging");
    let number = 7;
    trace!("a trace");
    debug!("a debug {}", number);
    info!("an info {number}"; "number" = number, "list" = ["a", "b"]);
    warn!("a warning");
    error!("an error");
    fatal!("a fatal one");
    LogRecord::new(Severity::Info2, ["a", "list"])
        .event_name("showcase.event")
        .attribute("user.id", 42)
        .time(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .scope("showcase-library", "1.2.3")
        .emit();
    done()
}

/// Lines on both streams within `printing`, one in two halves, the last unfinished.
pub(crate) fn printed() -> Response {
    let _span = span!("printing");
    println!("a line on stdout");
    eprintln!("a line on stderr");
    print!("the first half ");
    // An error means that nobody reads it.
    stdout().flush().ok();
    println!("and the second");
    print!("unfinished");
    stdout().flush().ok();
    done()
}
