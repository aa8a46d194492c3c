//! The identity of a span as it travels in headers.

use std::fmt;

use crate::{SpanContext, TraceFlags};

impl SpanContext {
    /// Returns the W3C `traceparent` header that names this span as the parent.
    pub fn traceparent(&self) -> String {
        format!(
            "00-{}-{}-{:02x}",
            self.trace_id,
            self.span_id,
            self.trace_flags.bits()
        )
    }

    /// Reads the W3C headers `traceparent` and, empty where absent, `tracestate`.
    ///
    /// # Errors
    ///
    /// Fails when `traceparent` is not of version 00, or names no span.
    pub fn from_headers(traceparent: &str, tracestate: &str) -> Result<Self, InvalidTraceparent> {
        let mut parts = traceparent.split('-');
        let (Some("00"), Some(trace_id), Some(span_id), Some(flags), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(InvalidTraceparent);
        };
        if !is_id(trace_id, 32) || !is_id(span_id, 16) || !is_hex(flags, 2) {
            return Err(InvalidTraceparent);
        }
        let flags = u8::from_str_radix(flags, 16).map_err(|_| InvalidTraceparent)?;
        Ok(Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
            trace_flags: TraceFlags::from_bits_truncate(flags),
            trace_state: tracestate.to_owned(),
            is_remote: true,
        })
    }
}

/// A `traceparent` header does not follow the W3C trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTraceparent;

impl fmt::Display for InvalidTraceparent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("invalid traceparent")
    }
}

impl std::error::Error for InvalidTraceparent {}

fn is_id(text: &str, length: usize) -> bool {
    is_hex(text, length) && text.bytes().any(|byte| byte != b'0')
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_header_is_read_and_written() {
        let context = SpanContext::from_headers(HEADER, "a=b").unwrap();
        assert_eq!(context.trace_flags, TraceFlags::SAMPLED);
        assert_eq!(context.trace_state, "a=b");
        assert!(context.is_remote);
        assert_eq!(context.traceparent(), HEADER);
    }

    #[test]
    fn a_header_that_names_no_span_is_refused() {
        for header in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
        ] {
            let context = SpanContext::from_headers(header, "");
            assert_eq!(context.unwrap_err(), InvalidTraceparent, "{header}");
        }
    }
}
