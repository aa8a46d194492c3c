//! The program's standard error, which may be a pipe that is not read.
//!
//! A write to a full pipe blocks, and would block the threads that serve requests
//! and signals. So a thread of its own writes the lines. Up to 4 MiB of them wait;
//! further lines are dropped and counted.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait; as many again may be on their way.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long the end waits for them.
const AT_THE_END: Duration = Duration::from_secs(1);

/// There is one standard error for all of a process.
static LINES: Lines = Lines::new();

/// Lines on their way.
struct Lines {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    text: Vec<u8>,
    /// Lines that there was no room for.
    left_out: u64,
    /// Whether the thread has some that are not written yet.
    is_writing: bool,
}

impl Lines {
    const fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                text: Vec::new(),
                left_out: 0,
                is_writing: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.text.len() + line.len() > MAX_BYTES {
            waiting.left_out += 1;
        } else {
            waiting.text.extend_from_slice(line);
        }
        self.changed.notify_all();
    }

    /// Waits for lines and takes them all; a line behind them says how many were
    /// dropped.
    fn take(&self) -> Vec<u8> {
        let waiting = self.lock();
        let is_quiet = |waiting: &mut Waiting| waiting.text.is_empty() && waiting.left_out == 0;
        let waited = self.changed.wait_while(waiting, is_quiet);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        let mut text = std::mem::take(&mut waiting.text);
        let left_out = std::mem::take(&mut waiting.left_out);
        if left_out > 0 {
            let line = format!("{left_out} lines are left out: standard error was full");
            let line = crate::log::line(tracing::Level::WARN, &line);
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        waiting.is_writing = true;
        text
    }

    fn written(&self) {
        self.lock().is_writing = false;
        self.changed.notify_all();
    }

    /// Waits until all is written, but not for long.
    fn flush(&self, time: Duration) {
        let is_under_way = |waiting: &mut Waiting| waiting.is_writing || !waiting.text.is_empty();
        let waiting = self.lock();
        // When the time is over, the lines are given up.
        let _ = self.changed.wait_timeout_while(waiting, time, is_under_way);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes by the thread. Each piece is whole lines.
#[derive(Clone, Copy)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        LINES.put(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Waits, when it is dropped, for what was said: a second at most.
pub(crate) struct Flushed;

impl Drop for Flushed {
    fn drop(&mut self) {
        end();
    }
}

/// Starts the thread, once in a process.
pub(crate) fn begin() -> Flushed {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let thread = thread::Builder::new().name("stderr".to_owned());
        let writes = || {
            loop {
                let text = LINES.take();
                // There is no other place to report the failure to.
                let _ = io::stderr().write_all(&text);
                LINES.written();
            }
        };
        // Without it the system has room for no thread, and the runtime says so.
        let _ = thread.spawn(writes);
    });
    Flushed
}

/// Says a line, after those that wait.
pub(crate) fn say(line: &str) {
    LINES.put(format!("{line}\n").as_bytes());
}

/// Waits for what was said, where the process is about to end.
pub(crate) fn end() {
    LINES.flush(AT_THE_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_left_out_and_counted_once() {
        let lines = Lines::new();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..MAX_BYTES / line.len() {
            lines.put(&line);
        }
        lines.put(&line);
        lines.put(b"\n");
        let text = lines.take();
        let told = b"2 lines are left out: standard error was full\n";
        assert_eq!(text.len(), MAX_BYTES + told.len());
        assert!(text.ends_with(told));
        lines.put(b"after\n");
        assert_eq!(lines.take(), b"after\n");
    }

    #[test]
    fn the_end_waits_for_what_is_under_way_and_no_longer_than_it_may() {
        let lines = Lines::new();
        lines.put(b"one\n");
        lines.flush(Duration::from_millis(1));
        assert_eq!(lines.take(), b"one\n");
        lines.flush(Duration::from_millis(1));
        lines.written();
        // At once, or the test would not end.
        lines.flush(Duration::MAX);
    }
}
