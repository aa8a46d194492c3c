//! What a guest prints: each line becomes a log record with the ids of the
//! span that was current, and a line of the host's own log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use opentelemetry::logs::Severity;
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use parking_lot::Mutex;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::guest_api::budget::TelemetryBudget;
use crate::guest_api::current_span::CurrentSpan;
use crate::guest_api::log_records::Record;
use crate::guest_api::signals::GuestSignals;
use fanlight_telemetry::GUEST_SCOPE;
use fanlight_telemetry::clock::RequestClock;
use fanlight_telemetry::sanitize::Printable;

/// The longest line, in bytes; a longer one becomes several records.
const MAX_LINE: usize = 8 * 1024;
/// What is kept of the end of stderr for the event of a trap.
const STDERR_TAIL: usize = 4 * 1024;
/// What a log record of a line takes besides its text.
const RECORD_BYTES: usize = 256;
/// What a stream takes in one write.
const WRITE_BUDGET: usize = 64 * 1024;

/// Which of the two streams.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output: `log.iostream` = `stdout`, severity INFO.
    Stdout,
    /// Standard error: `log.iostream` = `stderr`, severity WARN.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Both streams of one request.
pub(crate) struct StdioShared {
    signals: Arc<GuestSignals>,
    current: Arc<CurrentSpan>,
    clock: RequestClock,
    /// Log records that the request may still make, by either way.
    budget: AtomicUsize,
    /// The bytes of telemetry that it may still leave here.
    room: TelemetryBudget,
    text: Mutex<Text>,
}

#[derive(Default)]
struct Text {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    stderr_tail: Vec<u8>,
}

impl StdioShared {
    pub(crate) fn new(
        signals: Arc<GuestSignals>,
        current: Arc<CurrentSpan>,
        clock: RequestClock,
    ) -> Self {
        Self {
            room: TelemetryBudget::new(signals.limits.telemetry_bytes),
            budget: AtomicUsize::new(signals.limits.log_records),
            signals,
            current,
            clock,
            text: Mutex::default(),
        }
    }

    pub(crate) fn room(&self) -> &TelemetryBudget {
        &self.room
    }

    /// Whether another log record of that many bytes may be made; counts the
    /// one that may not.
    pub(crate) fn take_from_budget(&self, bytes: usize) -> bool {
        let taken = self.room.take(bytes) && self.take_record();
        if !taken {
            self.signals.dropped().log_records(1);
        }
        taken
    }

    fn take_record(&self) -> bool {
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }

    pub(crate) fn stderr_tail(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().stderr_tail).into_owned()
    }

    /// Tells what was printed without a line's end.
    pub(crate) fn finish(&self) {
        let (stdout, stderr) = {
            let mut text = self.text.lock();
            (
                std::mem::take(&mut text.stdout),
                std::mem::take(&mut text.stderr),
            )
        };
        self.tell(Stream::Stdout, &stdout);
        self.tell(Stream::Stderr, &stderr);
    }

    fn write(&self, stream: Stream, mut bytes: &[u8]) {
        if stream == Stream::Stderr {
            let mut text = self.text.lock();
            text.stderr_tail.extend_from_slice(bytes);
            let over = text.stderr_tail.len().saturating_sub(STDERR_TAIL);
            text.stderr_tail.drain(..over);
        }
        while !bytes.is_empty() {
            let line = {
                let mut text = self.text.lock();
                let part = match stream {
                    Stream::Stdout => &mut text.stdout,
                    Stream::Stderr => &mut text.stderr,
                };
                let room = MAX_LINE - part.len();
                let within = &bytes[..bytes.len().min(room)];
                match within.iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        part.extend_from_slice(&bytes[..end]);
                        bytes = &bytes[end + 1..];
                        Some(std::mem::take(part))
                    }
                    None => {
                        part.extend_from_slice(within);
                        bytes = &bytes[within.len()..];
                        (part.len() == MAX_LINE).then(|| std::mem::take(part))
                    }
                }
            };
            if let Some(line) = line {
                self.tell(stream, &line);
            }
        }
    }

    fn tell(&self, stream: Stream, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || !self.take_from_budget(line.len() + RECORD_BYTES) {
            return;
        }
        let line = &*String::from_utf8_lossy(line);
        let context = self.current.context();
        ::tracing::info!(
            target: "guest",
            stream = stream.name(),
            trace_id = %context.trace_id(),
            "{}",
            Printable(line)
        );
        let record = Record {
            severity: match stream {
                Stream::Stdout => Severity::Info,
                Stream::Stderr => Severity::Warn,
            },
            body: Value::String(line.to_owned().into()),
            attributes: vec![KeyValue::new("log.iostream", stream.name())],
            event_name: None,
            time: self.clock.now(),
            scope: InstrumentationScope::builder(GUEST_SCOPE).build(),
        };
        self.signals.logs.emit(record, &context);
    }
}

/// One of the guest's streams, as WASI writes to it. It is always ready.
pub(crate) struct GuestStdio {
    shared: Arc<StdioShared>,
    stream: Stream,
}

impl GuestStdio {
    pub(crate) fn new(shared: Arc<StdioShared>, stream: Stream) -> Self {
        Self { shared, stream }
    }
}

impl OutputStream for GuestStdio {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BUDGET {
            let error = wasmtime::format_err!("write exceeded budget");
            return Err(StreamError::Trap(error));
        }
        self.shared.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BUDGET)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStdio {
    async fn ready(&mut self) {}
}
