//! Bounds on what guests may record.

/// Bounds on what one request of a guest, and all of them together, may say.
#[derive(Clone, Copy, Debug)]
pub struct GuestLimits {
    /// Spans a request; over it `start` gives spans that record nothing.
    pub spans: usize,
    /// Log records and lines on stdout and stderr, a request.
    pub log_records: usize,
    /// Bytes of spans, attributes, events, links and log records, a request.
    pub telemetry_bytes: usize,
    /// Instruments of all guests together.
    pub instruments: usize,
    /// Series of all instruments of all guests together: an instrument has one
    /// for each set of attributes.
    pub series: usize,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            spans: 1_000,
            log_records: 1_000,
            telemetry_bytes: 8 * 1024 * 1024,
            instruments: 1_000,
            series: 10_000,
        }
    }
}
